"""Holds the peers to the instruction set of our kernels, and tells which one each of them used.

On a processor without AVX-512 the peers lack it as well. `--isa avx2` says something about such a
processor only if the peers stay within AVX2. Each library has an environment variable for that,
which it reads once, as it is loaded. So `hold` starts the process again with these variables.

ONNX Runtime, SciPy and SimpleITK have no such variable, and neither have FBGEMM's conversions to
and from half precision, which torch calls. On Linux the kernel tells whether a thread used AVX-512
(`used_avx512`), so the table can name those that did.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

#: Variables whose values do not depend on the library's version, with the page that documents them.
#: - ATEN_CPU_CAPABILITY: ATen, aten/src/ATen/native/DispatchStub.cpp
#: - MKL_ENABLE_INSTRUCTIONS: Intel oneMKL, "Instruction Set Specific Dispatching"
#: - ONEDNN_MAX_CPU_ISA: oneDNN, "CPU Dispatcher Control". OpenVINO's kernels read it as well.
#: - OPENCV_IPP: OpenCV, "Environment variables reference"
#: - GLIBC_TUNABLES: GNU C library, "Hardware Capability Tunables"; memcpy and its kind
FIXED = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENCV_IPP": "avx2",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD",
    },
    "baseline": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENCV_IPP": "sse42",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD,-AVX2",
    },
}

#: Parts of the names of peers that no variable holds.
FREE = ("ONNX Runtime", "SciPy", "SimpleITK")

#: Where a thread's last use of AVX-512 stands, on Linux on processors that have it.
THREADS = Path("/proc/self/task")
LAST_USE = re.compile(r"AVX512_elapsed_ms:\s*(-?\d+)")


def variables(instruction_set: str) -> dict[str, str]:
    """The environment that holds every library to `instruction_set`."""
    narrow = instruction_set == "baseline"

    def beyond(feature: str) -> bool:
        """Whether a feature that a library chooses at run time is more than the set has."""
        if feature.startswith(("AVX512", "X86_V4")):
            return True
        return narrow and not feature.startswith("SSE")

    return FIXED[instruction_set] | {
        # "Environment variables reference" of OpenCV; "Runtime dispatch" of NumPy.
        "OPENCV_CPU_DISABLE": ",".join(filter(beyond, _opencv_features())),
        "NPY_DISABLE_CPU_FEATURES": " ".join(filter(beyond, _numpy_dispatch())),
    }


def hold(instruction_set: str | None) -> None:
    """Starts this process again with `variables`, unless it already runs with them.

    None leaves the libraries as they are.
    """
    wanted = {} if instruction_set is None else variables(instruction_set)
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted})


def reported() -> dict[str, str]:
    """What each library says of itself. A library that says nothing is left out."""
    import cv2
    import torch

    numpy_core = _numpy_core()
    numpy_sets = [name for name in _numpy_dispatch() if numpy_core.__cpu_features__[name]]
    features = [name for name in _opencv_features() if f"*{name}?" not in _opencv_line()]
    found = {
        "torch": torch.backends.cpu.get_cpu_capability(),
        "MKL": _mkl_set(),
        "NumPy": numpy_sets[-1] if numpy_sets else numpy_core.__cpu_baseline__[-1],
        "OpenCV": features[-1] if features else "",
        "IPP": " ".join(cv2.ipp.getIppVersion().split()[1:2]),
        "OpenVINO": _openvino_kernel(),
    }
    return {library: name for library, name in found.items() if name}


def used_avx512(call: Callable[[], Any], seconds: float = 0.03) -> bool | None:
    """Whether any thread of this process uses AVX-512 in `call`; None if the kernel does not say.

    The kernel looks at the registers where it switches from a thread to another one. A second
    thread wakes up all the time on the same core, so that it does so in the middle of the call.
    """
    if _milliseconds_since_use() is None:
        return None
    call()
    done = threading.Event()

    def interrupt() -> None:
        while not done.wait(2e-4):
            pass

    cores = os.sched_getaffinity(0)
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        _pin({max(cores)})
        # The kernel counts in ticks of up to 10 ms, so what came before must be longer ago.
        time.sleep(0.02)
        begin = time.monotonic()
        while time.monotonic() < begin + seconds:
            call()
        elapsed = _milliseconds_since_use()
        return elapsed is not None and elapsed < 1e3 * (time.monotonic() - begin)
    finally:
        done.set()
        interrupter.join()
        _pin(cores)


def set_of(peer: str, call: Callable[[], Any], held: str | None) -> str:
    """For the table: the set that a peer is held to, or what is known of one that is not."""
    if held is None:
        return "any"
    if used_avx512(call):
        return "avx512"
    # The kernel has no such mark for AVX2.
    return "any" if held == "baseline" and any(name in peer for name in FREE) else held


def sentence(held: str | None, libraries: dict[str, str]) -> str:
    """What stands below the table."""
    said = ", ".join(f"{library} {name}" for library, name in libraries.items())
    if held is None:
        return f"peers as they are: {said}"
    return (
        f"peers held to {held}, and so is the roof (torch.mm): {said};"
        f' without a switch: {", ".join(FREE)}. "its set" says what was seen'
    )


def _milliseconds_since_use() -> int | None:
    """Since any thread of this process used AVX-512; None if the kernel does not say."""
    found = []
    for file in THREADS.glob("*/arch_status"):
        try:
            match = LAST_USE.search(file.read_text())
        except OSError:  # the thread has ended
            continue
        if match:
            found.append(int(match[1]))
    if not found:
        return None
    return min((value for value in found if value >= 0), default=sys.maxsize)


def _pin(cores: set[int]) -> None:
    """Lets every thread of this process run on these cores only."""
    for thread in THREADS.iterdir():
        try:
            os.sched_setaffinity(int(thread.name), cores)
        except ProcessLookupError:
            continue


def _opencv_line() -> str:
    import cv2

    line: str = cv2.getCPUFeaturesLine()
    return f"{line} "


def _opencv_features() -> list[str]:
    """What OpenCV chooses at run time; a question mark stands behind what is not used."""
    return re.findall(r"\*([^\s?]+)", _opencv_line())


def _numpy_core() -> Any:
    """The module that chooses NumPy's loops; it has no type stubs."""
    return import_module("numpy._core._multiarray_umath")


def _numpy_dispatch() -> list[str]:
    """What NumPy chooses at run time."""
    return list(_numpy_core().__cpu_dispatch__)


def _mkl_set() -> str:
    """The first line that MKL writes if it is asked to tell about its calls."""
    import torch

    one = torch.ones(4, 4)
    sys.stdout.flush()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            with torch.backends.mkl.verbose(torch.backends.mkl.VERBOSE_ON):
                torch.mm(one, one)
            ctypes.CDLL(None).fflush(None)
        finally:
            os.dup2(kept, 1)
            os.close(kept)
        file.seek(0)
        text = file.read().decode(errors="replace")
    names = re.findall(r"Intel\(R\) (AVX-512|AVX2|AVX|SSE[\d.]*)\)", text)
    return str(names[0]) if names else ""


def _openvino_kernel() -> str:
    """The kernel that OpenVINO's CPU plugin chooses for GridSample: "jit_avx2_f32"."""
    if find_spec("openvino") is None:
        return ""
    from benchmarks.ops.peers import openvino_grid_sample_model

    nodes = openvino_grid_sample_model((1, 1, 2, 2), 1).get_runtime_model().get_ops()
    facts = [node.get_rt_info() for node in nodes]
    kernels = [
        fact["primitiveType"].astype(str)
        for fact in facts
        if fact["layerType"].astype(str) == "GridSample"
    ]
    return kernels[0] if kernels else ""
