"""libcineflow_ort.so as a file: its exports, and a runtime older than its headers."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import onnxruntime as ort
import pytest


@pytest.mark.skipif(shutil.which("nm") is None, reason="binutils' nm is not installed")
def test_the_library_exports_its_entry_point_only(library):
    symbols = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", library],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split()[0] for line in symbols.stdout.splitlines()] == ["RegisterCustomOps"]


class ApiBase(ctypes.Structure):
    """OrtApiBase: what a runtime hands to RegisterCustomOps."""

    GetApi = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)
    GetVersionString = ctypes.CFUNCTYPE(ctypes.c_void_p)  # a char pointer
    _fields_ = (("get_api", GetApi), ("get_version_string", GetVersionString))


def test_a_runtime_older_than_the_headers_is_told_so(library):
    (runtime,) = Path(ort.__file__).parent.glob("capi/libonnxruntime.so.*")
    get_base = ctypes.CDLL(str(runtime)).OrtGetApiBase
    get_base.restype = ctypes.POINTER(ApiBase)
    real = get_base().contents
    asked = []

    @ApiBase.GetApi
    def old(version: int) -> int | None:
        asked.append(version)
        return real.get_api(version) if version < 20 else None

    name = ctypes.create_string_buffer(b"1.19.2")
    base = ApiBase(old, ApiBase.GetVersionString(lambda: ctypes.addressof(name)))
    register = ctypes.CDLL(str(library)).RegisterCustomOps
    register.restype = ctypes.c_void_p
    status = register(None, ctypes.byref(base))
    # OrtApi begins with CreateStatus, GetErrorCode, GetErrorMessage.
    api = ctypes.cast(real.get_api(1), ctypes.POINTER(ctypes.c_void_p))
    message = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)(api[2])(status).decode()
    assert message == f"cineflow: wanted ONNX Runtime 1.{asked[0]} or newer; got 1.19.2"
