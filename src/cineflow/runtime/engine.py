"""Engine: one way to run a bundle, whatever executes it.

`open_engine` picks the runtime and says why in `choose_engine`; `engine_report` lists every runtime
this version knows, for `cineflow doctor`. A runtime is added by one row in `_RUNTIMES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cineflow.errors import EngineError
from cineflow.runtime.bundle import Bundle
from cineflow.runtime.engines import onnxruntime as ort_engine
from cineflow.runtime.engines import tensorrt as tensorrt_engine


class Engine(Protocol):
    """A model that is loaded and ready.

    Attributes:
        name: Runtime and device ("onnxruntime").
        kernels: In words, what runs our own ops (kernels or the bodies in the graph).
    """

    name: str
    kernels: str

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of the graph by name, for every input by name; see the ModelSpec."""
        ...


@dataclass(frozen=True)
class EngineStatus:
    """What is known of one runtime on this machine.

    Attributes:
        name: Runtime and device ("onnxruntime-cuda").
        version: Version of its library; empty where it is not installed.
        available: Whether an engine can be opened.
        chosen: Whether `open_engine` would take it.
        reason: Why it is chosen, available or not, in one sentence.
        remedy: What makes it available; empty where nothing is missing.
    """

    name: str
    version: str
    available: bool
    chosen: bool
    reason: str
    remedy: str = ""


def open_engine(bundle: Bundle, threads: int | None = None, *, runtime: str = "auto") -> Engine:
    """Open `bundle` in a runtime.

    Args:
        bundle: The model.
        threads: CPU threads inside one call; None means the runtime's default.
        runtime: A name of `engine_report()`, or "auto" for the best one here.

    Raises:
        EngineError: The runtime is unknown or not available here, or the model does not load.
    """
    if runtime == "auto":
        return _open_best(bundle, threads)
    name = runtime
    if name not in _RUNTIMES:
        raise EngineError(f"a runtime of {sorted(_RUNTIMES)}", repr(name))
    status, opener = _RUNTIMES[name]
    found = status()
    if not found.available:
        raise EngineError(f"the runtime {name}", found.reason, found.remedy)
    return opener(bundle, threads)


def _open_best(bundle: Bundle, threads: int | None) -> Engine:
    """The chosen runtime; where it has no engine of this bundle, the next one that can open it."""
    refusals = []
    for status in engine_report():
        if status.available:
            try:
                return _RUNTIMES[status.name][1](bundle, threads)
            except EngineError as error:
                refusals.append(error)
    raise (
        refusals[0]
        if refusals
        else EngineError("one runtime", "none is installed", "`pip install onnxruntime`")
    )


def choose_engine() -> EngineStatus:
    """The runtime that `open_engine` takes here, with the reason.

    Raises:
        EngineError: None is available.
    """
    for status in engine_report():
        if status.chosen:
            return status
    raise EngineError("one runtime", "none is installed", "`pip install onnxruntime`")


def engine_report() -> list[EngineStatus]:
    """Every runtime, best first; the first available one is chosen."""
    report: list[EngineStatus] = []
    for status, _ in _RUNTIMES.values():
        found = status()
        first = found.available and not any(other.chosen for other in report)
        report.append(
            EngineStatus(
                found.name, found.version, found.available, first, found.reason, found.remedy
            )
        )
    return report


def _onnxruntime_status(name: str, provider: str, remedy: str) -> EngineStatus:
    try:
        import onnxruntime
    except ImportError:
        return EngineStatus(name, "", False, False, "onnxruntime is not installed", remedy)
    version = str(onnxruntime.__version__)
    if provider not in onnxruntime.get_available_providers():
        return EngineStatus(name, version, False, False, f"it was built without {provider}", remedy)
    kernels = ort_engine.register_op_library(onnxruntime.SessionOptions())
    return EngineStatus(name, version, True, False, f"our ops run through the {kernels}")


def _onnxruntime_cpu() -> EngineStatus:
    return _onnxruntime_status("onnxruntime", ort_engine.CPU_PROVIDER, "`pip install onnxruntime`")


def _onnxruntime_cuda() -> EngineStatus:
    return _onnxruntime_status(
        "onnxruntime-cuda", ort_engine.CUDA_PROVIDER, "`pip install onnxruntime-gpu`"
    )


def _tensorrt_status(flavour: str, remedy: str) -> EngineStatus:
    try:
        trt = importlib.import_module(tensorrt_engine.MODULES[flavour])
        cupy = importlib.import_module("cupy")
    except (ImportError, OSError) as error:
        return EngineStatus(flavour, "", False, False, str(error), remedy)
    version = str(trt.__version__)
    try:
        capability = tensorrt_engine.card_capability(cupy)
    except EngineError as error:
        return EngineStatus(
            flavour, version, False, False, f"no GPU: {error.got}", "A card and its driver"
        )
    return EngineStatus(flavour, version, True, False, f"on SM {capability}, from the engine store")


def _tensorrt_rtx() -> EngineStatus:
    return _tensorrt_status("tensorrt-rtx", "`pip install cineflow[gpu]` on a machine with a card")


def _tensorrt() -> EngineStatus:
    return _tensorrt_status("tensorrt", "NVIDIA's container, or `pip install tensorrt`")


def _open_tensorrt_rtx(bundle: Bundle, threads: int | None) -> Engine:
    return tensorrt_engine.TensorRtEngine(bundle, "tensorrt-rtx")


def _open_tensorrt(bundle: Bundle, threads: int | None) -> Engine:
    return tensorrt_engine.TensorRtEngine(bundle, "tensorrt")


def _open_onnxruntime_cpu(bundle: Bundle, threads: int | None) -> Engine:
    return ort_engine.OnnxRuntimeEngine(bundle, threads)


def _open_onnxruntime_cuda(bundle: Bundle, threads: int | None) -> Engine:
    return ort_engine.OnnxRuntimeEngine(bundle, threads, provider=ort_engine.CUDA_PROVIDER)


#: Runtime name -> (status on this machine, opener); the order is the order of preference.
_RUNTIMES: Mapping[
    str, tuple[Callable[[], EngineStatus], Callable[[Bundle, int | None], Engine]]
] = {
    "tensorrt": (_tensorrt, _open_tensorrt),
    "tensorrt-rtx": (_tensorrt_rtx, _open_tensorrt_rtx),
    "onnxruntime-cuda": (_onnxruntime_cuda, _open_onnxruntime_cuda),
    "onnxruntime": (_onnxruntime_cpu, _open_onnxruntime_cpu),
}
