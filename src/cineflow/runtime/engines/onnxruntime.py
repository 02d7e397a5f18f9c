"""ONNX Runtime: the engine of every machine.

Our ops run through `libcineflow_ort.so` if it is built, otherwise through the standard-operator
bodies inside the graph. Both compute the same function to f32 rounding; the library is faster.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.errors import EngineError, MissingDependencyError
from cineflow.ops.dispatch import cuda_architectures
from cineflow.ops.held import Held
from cineflow.runtime.bundle import Bundle, graph_inputs
from cineflow.runtime.carried import Carried
from cineflow.runtime.checks import check_inputs
from cineflow.runtime.engines.bound import BoundRuns
from cineflow.runtime.engines.cupy_card import MEMORY_CAP_BYTES, CupyCard
from cineflow.runtime.engines.faults import fault_of
from cineflow.runtime.engines.graphs import CARD_TURN, CardRuns, on_card_thread
from cineflow.runtime.engines.providers import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    memory_limit,
    provider_fault,
    provider_options,
)
from cineflow.runtime.segments import SegmentedEngine, SegmentStep

OP_LIBRARY = "libcineflow_ort.so"

_log = logging.getLogger(__name__)

#: Threads inside one call, if there are enough cores. More would starve the server and the client.
DEFAULT_THREADS = 2


class OnnxRuntimeEngine:
    """A bundle opened in ONNX Runtime.

    Args:
        bundle: The model.
        threads: Threads inside one call; None means `default_threads()`.
        provider: Execution provider ("CPUExecutionProvider").
        use_op_library: False runs the bodies even where the op library is built.
        graph: Another form of the bundle's graph, with the same interface; None means its own.
        cuda_graph: Whether a card captures a CUDA graph for each shape, where it can.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        EngineError: The graph does not load, or the provider does not start.
    """

    takes_held = False

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None = None,
        *,
        provider: str = CPU_PROVIDER,
        use_op_library: bool = True,
        graph: Path | None = None,
        cuda_graph: bool = True,
    ) -> None:
        ort = _import_onnxruntime()
        self.name = "onnxruntime-cuda" if provider == CUDA_PROVIDER else "onnxruntime"
        #: A session may run in several threads; on a card they would share one stream.
        self.concurrent = provider == CPU_PROVIDER
        self.model = bundle.served_name
        self.spec = bundle.spec
        self._inputs = graph_inputs(bundle.spec)
        self._dtypes = {one.name: np.dtype(one.dtype) for one in bundle.spec.outputs}
        self.card = card_of(provider)

        options = session_options(ort, threads)
        self.kernels = "bodies in the graph"
        if use_op_library:
            self.kernels = register_op_library(options, provider)

        def open_session(more: Mapping[str, str]) -> Any:
            settings = {**provider_options(provider), **more}
            session = ort.InferenceSession(
                str(graph or bundle.onnx_path), options, [(provider, settings)], enable_fallback=0
            )
            # ORT falls back to the CPU without an error. On a cart that must not pass unnoticed.
            if (used := session.get_providers()[0]) != provider:
                raise EngineError(
                    f"ONNX Runtime with {provider}",
                    provider_fault(provider) or f"it fell back to {used}",
                    "`cineflow doctor` says what is missing",
                )
            return session

        try:
            self._bound: BoundRuns | CardRuns
            if provider == CUDA_PROVIDER:
                self._bound = CardRuns(ort, open_session, bundle.spec, graphs=cuda_graph)
            else:
                self._bound = BoundRuns(ort, open_session({}), bundle.spec, provider)
        except EngineError:
            raise
        except Exception as error:  # ORT raises pybind exceptions without a common base class
            raise EngineError(
                f"{bundle.served_name} to load in ONNX Runtime {ort.__version__}",
                f"{type(error).__name__}: {error}",
                "`cineflow doctor` shows what is installed",
            ) from error

    @property
    def graph_fault(self) -> str:
        """Why kernels are launched one by one; empty where CUDA graphs are captured, and on a CPU.

        It is found while the model runs: a capture may fail.
        """
        return self._bound.graph_fault

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once.

        Args:
            inputs: Every input of the graph by name: the spec's inputs and `<state>_in`.

        Returns:
            Every output by name: the spec's outputs and `<state>_out`.

        Raises:
            ArgumentError: An input is missing or unknown, or has the wrong dtype or shape.
            EngineError: ONNX Runtime failed.
        """
        arrays = check_inputs(self._inputs, inputs)
        try:
            return self._bound.run_all(arrays)
        except Exception as error:  # as above
            raise self._failure(error) from error

    def run_into(
        self, inputs: Mapping[str, np.ndarray], places: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """See `cineflow.runtime.engine.WritesInto`."""
        arrays = check_inputs(self._inputs, inputs)
        try:
            return self._bound.run_into(arrays, places)
        except Exception as error:  # as above
            raise self._failure(error) from error

    def run_keeping(
        self, inputs: Mapping[str, np.ndarray], carried: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], Carried]:
        """See `KeepsState`: the state stays in the memory of the execution provider."""
        return self.run_leaving(inputs, carried, ())

    def run_leaving(
        self,
        inputs: Mapping[str, np.ndarray],
        carried: Mapping[str, np.ndarray],
        left: Sequence[str],
    ) -> tuple[dict[str, Any], Carried]:
        """See `LeavesOutputs`. What stays is copied to memory of `card`, within the card."""
        held = carried.held_by(self) if isinstance(carried, Carried) else None
        states = {f"{name}_in": value for name, value in (held or carried).items()}
        if held is None:
            arrays, states = check_inputs(self._inputs, {**inputs, **states}), {}
        else:
            arrays = check_inputs(self.spec.inputs, inputs)
        try:
            outputs, after = self._bound.run(
                arrays, states, {name: partial(self._held, name) for name in left}
            )
        except EngineError:
            raise
        except Exception as error:  # as above
            raise self._failure(error) from error
        return outputs, Carried(self, after, self._fetched)

    def _held(self, name: str, value: Any) -> Held:
        """An output that stays on the card."""
        assert self.card is not None
        shape, dtype = tuple(value.shape()), self._dtypes[name]
        return Held(self.card.copy_of(name, value.data_ptr(), shape, dtype), self.card)

    def _fetched(self, value: Any) -> np.ndarray:
        try:
            array = self._bound.fetch(value)
        except Exception as error:  # as above
            raise self._failure(error) from error
        return array

    def _failure(self, error: Exception) -> EngineError:
        remedy = "" if self.concurrent else "`nvidia-smi` shows the card's state"
        return fault_of(error)(f"{self.spec.name} to run in {self.name}", str(error), remedy)


def card_of(provider: str) -> CupyCard | None:
    """What our kernels run on after a session; None on the CPU, and without CuPy or kernels."""
    if provider != CUDA_PROVIDER or not cuda_architectures():
        return None
    try:
        import cupy

        memory_bytes = memory_limit() or MEMORY_CAP_BYTES
        return on_card_thread(lambda: CupyCard(cupy, memory_bytes, CARD_TURN))
    except Exception as error:  # CuPy does not say of what class
        _log.warning("flow comes to host memory with every frame, because of CuPy: %s", error)
        return None


def open_segments(bundle: Bundle, threads: int | None = None) -> SegmentedEngine:
    """A bundle exported with `--split-ops`: ONNX Runtime segments with our kernels between them.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        BundleError: The bundle has no segments.
        EngineError: A segment does not load.
    """
    ort = _import_onnxruntime()

    def open_one(step: SegmentStep) -> Any:
        options = session_options(ort, threads)
        try:
            session = ort.InferenceSession(str(step.segment), options, providers=[CPU_PROVIDER])
        except Exception as error:  # as above
            raise EngineError(f"{step.segment} to load", str(error)) from error
        outputs = list(step.outputs)
        return lambda values: dict(zip(outputs, session.run(outputs, dict(values)), strict=True))

    return SegmentedEngine(bundle, open_one)


def default_threads() -> int:
    """Two, or fewer where that would take the last core that this process may use.

    The runtime's threads spin while they wait. If every core has such a thread, other work (the
    caller's next frame, a server, a client) shares a core with one, and each waits for the other's
    time slice. On two cores with other work, two threads are then faster than one at best, but
    slower in the median. `python -m benchmarks.accuracy.pace` measures both.
    """
    return max(1, min(DEFAULT_THREADS, len(os.sched_getaffinity(0)) - 1))


def session_options(ort: Any, threads: int | None) -> Any:
    """The options of every session: few threads, and only errors in the log."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or default_threads()
    options.inter_op_num_threads = 1  # the graphs are chains, so a second pool would not help
    options.log_severity_level = 3
    return options


def op_library_path() -> Path | None:
    """`libcineflow_ort.so` next to `cineflow._C`, or None if it is not built."""
    found = importlib.util.find_spec("cineflow._C")
    if found is None or found.origin is None:
        return None
    library = Path(found.origin).with_name(OP_LIBRARY)
    return library if library.is_file() else None


def register_op_library(options: Any, provider: str = CPU_PROVIDER) -> str:
    """Register the op library if it has kernels for a provider; returns what runs our ops.

    A library without CUDA would move each of our nodes to the CPU, with copies before and after it.
    """
    library = op_library_path()
    if library is None:
        return f"bodies in the graph ({OP_LIBRARY} is not built)"
    if provider == CUDA_PROVIDER and not cuda_architectures():
        return f"bodies in the graph ({OP_LIBRARY} is built without CUDA)"
    try:
        options.register_custom_ops_library(str(library))
    except Exception as error:  # an ORT that is too old for it must not stop a stream
        return f"bodies in the graph ({OP_LIBRARY} does not load: {error})"
    return f"cineflow op library ({OP_LIBRARY})"


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            "onnxruntime", str(error), "`pip install onnxruntime`"
        ) from error
    return onnxruntime
