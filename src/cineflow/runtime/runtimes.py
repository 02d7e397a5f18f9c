"""The runtimes that this version knows: whether each works here, and how it opens a bundle.

A runtime is one row of `RUNTIMES`. Its status is found by using it: a CUDA build without a card is
installed but not available, and so is TensorRT without an engine of the model. The status says why.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cineflow.errors import CineflowError, EngineError
from cineflow.runtime.bundle import Bundle
from cineflow.runtime.engine import Engine, EngineStatus
from cineflow.runtime.engines import onnxruntime as ort_engine
from cineflow.runtime.engines import tensorrt as trt_engine
from cineflow.runtime.engines.providers import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    has_driver,
    provider_fault,
)
from cineflow.runtime.store import EngineStore


@dataclass(frozen=True)
class Runtime:
    """One way to run a bundle.

    Attributes:
        status: What is known of it here, given a bundle (None: any) and a precision (None: the
            bundle's own).
        open: Opens a bundle, given a number of CPU threads (None: its default) and a precision.
        on_card: Whether it runs on an NVIDIA card.
    """

    status: Callable[[Bundle | None, str | None], EngineStatus]
    open: Callable[[Bundle, int | None, str | None], Engine]
    on_card: bool = False


_A_CARD = "Install an NVIDIA card and its driver; the CPU is used until then"


def _onnxruntime(name: str, provider: str) -> Runtime:
    def status(bundle: Bundle | None, precision: str | None) -> EngineStatus:
        try:
            import onnxruntime
        except ImportError:
            return EngineStatus(name, "", False, "onnxruntime is not installed", _install(provider))
        version = str(onnxruntime.__version__)
        if fault := provider_fault(provider):
            return EngineStatus(name, version, False, fault, _remedy(provider))
        if bundle is not None and precision not in (None, bundle.precision):
            own = f"it runs a bundle as it was exported, this one in {bundle.precision}"
            return EngineStatus(name, version, False, own, f"Export with --precision {precision}")
        kernels = ort_engine.register_op_library(onnxruntime.SessionOptions(), provider)
        return EngineStatus(name, version, True, f"our ops run through the {kernels}")

    def open_(bundle: Bundle, threads: int | None, precision: str | None) -> Engine:
        return ort_engine.OnnxRuntimeEngine(bundle, threads, provider=provider)

    return Runtime(status, open_, on_card=provider == CUDA_PROVIDER)


def _install(provider: str) -> str:
    return "`pip install onnxruntime`" if provider == CPU_PROVIDER else _remedy(provider)


def _remedy(provider: str) -> str:
    """What makes an execution provider start on this machine."""
    if provider == CUDA_PROVIDER and not has_driver():
        return _A_CARD
    if provider == CUDA_PROVIDER:
        return (
            "`pip uninstall onnxruntime`, then `pip install onnxruntime-gpu[cuda,cudnn]`: the two "
            "packages share one folder"
        )
    return "`pip install --force-reinstall onnxruntime`"


def _tensorrt(flavour: str, segmented: bool, remedy: str) -> Runtime:
    name = trt_engine.engine_name(flavour, segmented)

    def status(bundle: Bundle | None, precision: str | None) -> EngineStatus:
        try:
            trt = importlib.import_module(trt_engine.MODULES[flavour])
            cupy = importlib.import_module("cupy")
        except (ImportError, OSError) as error:
            return EngineStatus(name, "", False, str(error), remedy)
        version = str(trt.__version__)
        try:
            capability = trt_engine.card_capability(cupy)
        except EngineError as error:
            return EngineStatus(name, version, False, f"no GPU: {error.got}", _A_CARD)
        if bundle is not None:
            try:
                trt_engine.find_plans(
                    bundle, flavour, version, capability, segmented, precision=precision
                )
            except CineflowError as error:
                return EngineStatus(name, version, False, error.got, error.remedy)
        store = EngineStore().root
        return EngineStatus(name, version, True, f"on SM {capability}, engines from {store}")

    def open_(bundle: Bundle, threads: int | None, precision: str | None) -> Engine:
        return trt_engine.TensorRtEngine(bundle, flavour, segmented=segmented, precision=precision)

    return Runtime(status, open_, on_card=True)


def _torch() -> Runtime:
    """The reference of comparisons. It runs a recipe's module, so it cannot open a bundle."""
    reason = "the reference of `cineflow verify`: it runs a recipe's module, not a bundle"

    def status(bundle: Bundle | None, precision: str | None) -> EngineStatus:
        try:
            version = importlib.metadata.version("torch")  # its import takes seconds
        except importlib.metadata.PackageNotFoundError:
            missing = "torch is not installed; `cineflow verify` compares with it"
            return EngineStatus("torch", "", False, missing, "`pip install 'cineflow[export]'`")
        ask = "`cineflow verify BUNDLE` compares every other runtime with it"
        return EngineStatus("torch", version, False, reason, ask, reference=True)

    def open_(bundle: Bundle, threads: int | None, precision: str | None) -> Engine:
        raise EngineError(f"{bundle.served_name} in torch", reason)

    return Runtime(status, open_)


_RTX = "`pip install cineflow[gpu]` on a machine with a card"
_FULL = "NVIDIA's container, or `pip install tensorrt` and CuPy on a machine with a card"

#: Runtime name -> runtime, best first. Segments come after the whole graph because it has not been
#: measured on a card which of them is faster.
RUNTIMES: Mapping[str, Runtime] = {
    "tensorrt": _tensorrt("tensorrt", False, _FULL),
    "tensorrt-segments": _tensorrt("tensorrt", True, _FULL),
    "tensorrt-rtx": _tensorrt("tensorrt-rtx", False, _RTX),
    "tensorrt-rtx-segments": _tensorrt("tensorrt-rtx", True, _RTX),
    "onnxruntime-cuda": _onnxruntime("onnxruntime-cuda", CUDA_PROVIDER),
    "onnxruntime": _onnxruntime("onnxruntime", CPU_PROVIDER),
    "torch": _torch(),
}
