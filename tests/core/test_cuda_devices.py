"""Calls for a GPU that is not current, in threads without a context, and through torch's C API."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.core.cuda_backend import Backend, DeviceArray
from tests.core.kernel_calls import launch
from tests.op_calls import OPS, Call, agree, make_call
from tests.stand_ins.dlpack import DL_CUDA, Tensor, new_capsule

ROOT = Path(__file__).resolve().parents[2]


def warp_call() -> Call:
    return make_call(OPS["warp"], shape=(2, 3, 9, 11))


def in_a_thread(work: Callable[[], Any]) -> Any:
    """The result of `work` in a thread of its own."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    (result,) = results
    return result


def test_a_thread_without_a_context_has_none_afterwards(cuda: Backend, shim: ctypes.CDLL) -> None:
    call = warp_call()
    arrays = call.inputs | {"out": np.zeros(call.shape, np.float32)}

    def work() -> tuple[int, int]:
        shim.cuda_shim_forget_context(0)
        launch(
            cuda, call, **{name: DeviceArray(values, device=1) for name, values in arrays.items()}
        )
        return shim.cuda_shim_current_device(), shim.cuda_shim_has_context(0)

    assert in_a_thread(work) == (-1, False)
    assert shim.cuda_shim_device() == 1
    agree(arrays["out"], call)


_View = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(Tensor))


class _Api(ctypes.Structure):
    """DLPack's exchange API: header, then functions, of which only one is called."""

    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("previous", ctypes.c_void_p),
        ("others", ctypes.c_void_p * 3),
        ("view", _View),
        ("current_stream", ctypes.c_void_p),
    )


@_View
def _view(array: Any, out: Any) -> int:
    values = array.values
    out[0] = Tensor(
        values.ctypes.data, DL_CUDA, 1, values.ndim, 2, 32, 1, array.shape, array.strides, 0
    )
    return 0


def exchange(major: int, previous: _Api | None = None) -> _Api:
    return _Api(major, 0, None if previous is None else ctypes.addressof(previous), view=_view)


def type_with(api: _Api) -> type:
    """A type of arrays on device 1 that behave like torch's while device 0 is current."""

    class OnDeviceOne:
        __dlpack_c_exchange_api__ = new_capsule(ctypes.addressof(api), b"dlpack_exchange_api", None)

        def __init__(self, values: np.ndarray) -> None:
            self.values = values
            steps = [step // values.itemsize for step in values.strides]
            self.shape = (ctypes.c_int64 * values.ndim)(*values.shape)
            self.strides = (ctypes.c_int64 * values.ndim)(*steps)

        def __dlpack_device__(self) -> tuple[int, int]:
            return DL_CUDA, 1

        def __dlpack__(self, **_: Any) -> object:
            raise BufferError("Can't export tensors on a different CUDA device index.")

    return OnDeviceOne


V1 = exchange(1)
#: A table of a later version, which leads to the one that is understood.
V2 = exchange(2, V1)
FUTURE = exchange(2)


@pytest.mark.parametrize("api", [V1, V2], ids=["1", "2-then-1"])
def test_a_tensor_that_is_not_on_the_current_device(
    cuda: Backend, shim: ctypes.CDLL, api: _Api
) -> None:
    call = warp_call()
    tensor = type_with(api)
    out = np.zeros(call.shape, np.float32)
    shim.cuda_shim_set_device(0)
    given = {name: tensor(values) for name, values in call.inputs.items()}
    launch(cuda, call, **given, out=tensor(out))
    assert (shim.cuda_shim_device(), shim.cuda_shim_current_device()) == (1, 0)
    agree(out, call)


def test_an_exchange_api_of_another_version_is_not_used(cuda: Backend, shim: ctypes.CDLL) -> None:
    call = warp_call()
    tensor = type_with(FUTURE)
    given = {name: tensor(values) for name, values in call.inputs.items()}
    with pytest.raises(BufferError, match="different CUDA device"):
        launch(cuda, call, **given, out=tensor(np.zeros(call.shape, np.float32)))


THREADS = """
import os
import numpy as np
from tests.core.cuda_backend import DeviceArray, open_backend
from tests.core.test_cuda_devices import warp_call
from tests.core.kernel_calls import launch, run_kernel
cuda, call = open_backend(), warp_call()
def threads():
    return len(os.listdir("/proc/self/task"))
before = threads()
run_kernel(cuda, call)
after = threads()
launch(cuda, call, **call.inputs, out=np.zeros(call.shape, np.float32))
print(after - before, threads() - after)
"""


def test_a_call_for_a_gpu_starts_no_thread(cuda: Backend, shim: ctypes.CDLL) -> None:
    done = subprocess.run(
        [sys.executable, "-c", THREADS],
        cwd=ROOT,
        env={**os.environ, "CINEFLOW_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["0", "2"]
