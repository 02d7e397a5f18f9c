"""Runs of an ONNX Runtime session on a card, with one CUDA graph for each set of shapes.

ONNX Runtime captures a graph by itself, with these rules (its provider option `enable_cuda_graph`
and its run option `gpu_graph_id`):

- Every tensor of a graph stays at its address. So each set of shapes has its own inputs and
  outputs, a frame is copied into them, and a new state is copied out of them within the card.
- The first run with a new number runs the model several times: to warm up, to capture, to replay.
  So no output may be an input at the same time.
- A graph belongs to the thread that captured it, and no other thread may use CUDA meanwhile. So
  all sessions of a process run on one thread (`on_card_thread`).
- A graph writes to memory of the session that was free when it was captured. So nothing that
  outlives a run is in the session's memory: these tensors and the states are in ONNX Runtime's
  memory for the whole process.
- No graph is made of a model with loops or branches, or with nodes on the CPU that tensors are
  copied for. Such a session does not open with graphs.

Where a graph cannot be had, the reason is logged, and the kernels are launched one by one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from cineflow.errors import DeviceLostError, DeviceMemoryError, EngineError
from cineflow.runtime.bundle import graph_inputs, graph_outputs
from cineflow.runtime.engines.bound import DEVICES, BoundRuns, Leaving
from cineflow.runtime.engines.faults import fault_of
from cineflow.runtime.engines.launches import MOST_SHAPES
from cineflow.runtime.engines.providers import CUDA_PROVIDER
from cineflow.spec import ModelSpec

#: Options of the provider with which it captures graphs.
GRAPH_OPTIONS = {"enable_cuda_graph": "1"}

#: The number of a graph, as a run option; a run with `_NO_GRAPH` neither captures nor replays.
_NUMBER, _NO_GRAPH = "gpu_graph_id", -1

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_thread = ThreadPoolExecutor(1, "cineflow-card")  # it starts with its first task


#: Whoever holds it may use CUDA: this thread, or our kernels in another one. A capture would end
#: where another thread allocates.
CARD_TURN = threading.RLock()


def on_card_thread(work: Callable[[], _T]) -> _T:
    """Run `work` on the one thread of this process that uses ONNX Runtime's sessions on a card."""

    def in_turn() -> _T:
        with CARD_TURN:
            return work()

    return _thread.submit(in_turn).result()


class CardRuns:
    """Runs of one model on a card. Any thread may use it; one runs at a time.

    Args:
        ort: The module onnxruntime.
        open_session: Opens a session of the model, given more options of its provider.
        spec: The model.
        provider: The session's execution provider.
        graphs: Whether CUDA graphs are wanted.

    Attributes:
        graph_fault: Why the kernels are launched one by one; empty if graphs are captured.

    Raises:
        Exception: As `open_session` without graphs.
    """

    def __init__(
        self,
        ort: Any,
        open_session: Callable[[Mapping[str, str]], Any],
        spec: ModelSpec,
        provider: str = CUDA_PROVIDER,
        *,
        graphs: bool = True,
    ) -> None:
        self._ort = ort
        self._open_session = open_session
        self._spec = spec
        self._provider = provider
        self.graph_fault = "" if graphs else "graphs are not wanted"
        self._graphs: _Graphs | None = None
        self._plain: BoundRuns | None = None
        on_card_thread(self._open)

    def run(
        self,
        arrays: Mapping[str, np.ndarray],
        held: Mapping[str, Any],
        left: Leaving = MappingProxyType({}),
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """See `BoundRuns.run`. The state is in memory of its own, which nothing writes to again."""
        return on_card_thread(lambda: self._run(arrays, held, left))

    def run_all(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `BoundRuns.run_all`."""
        return self.run_into(arrays, {})

    def run_into(
        self, arrays: Mapping[str, np.ndarray], places: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """See `BoundRuns.run_into`."""
        return on_card_thread(lambda: self._run_into(arrays, places))

    def fetch(self, value: Any) -> np.ndarray:
        """A state that a run has given, in host memory."""
        array: np.ndarray = on_card_thread(value.numpy)
        return array

    def _open(self) -> None:
        if not self.graph_fault:
            try:
                session = self._open_session(GRAPH_OPTIONS)
                self._graphs = _Graphs(self._ort, session, self._spec, self._provider)
                return
            except EngineError:  # also without graphs
                raise
            except Exception as error:  # ORT's errors have no common base class
                self._give_up(error)
        self._without()

    def _without(self) -> BoundRuns:
        """The session without graphs."""
        if self._plain is None:
            session = self._open_session({})
            self._plain = BoundRuns(self._ort, session, self._spec, self._provider)
        return self._plain

    def _run(
        self,
        arrays: Mapping[str, np.ndarray],
        held: Mapping[str, Any],
        left: Leaving,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        if (values := self._by_graph({**arrays, **held})) is None:
            return self._without().run(arrays, held, left)
        assert self._graphs is not None
        fetch: Callable[[Any], Any] = self._graphs.array
        after = self._graphs.states(values)
        names = [one.name for one in self._spec.outputs]
        return {name: left.get(name, fetch)(values[name]) for name in names}, after

    def _run_into(
        self, arrays: Mapping[str, np.ndarray], places: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        if (values := self._by_graph(arrays)) is None:
            return self._without().run_into(arrays, places)
        assert self._graphs is not None
        found = {name: self._graphs.array(value) for name, value in values.items()}
        for name, place in places.items():
            if place.shape != found[name].shape:
                raise EngineError(f"{name} {list(place.shape)}", f"{list(found[name].shape)}")
            np.copyto(place, found[name])
            found[name] = place
        return found

    def _by_graph(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The outputs where they lie, or None where the session runs without graphs."""
        if self._graphs is None:
            return None
        try:
            return self._graphs.run(values)
        except Exception as error:  # as above
            if not self._graphs.captures or issubclass(fault_of(error), DeviceLostError):
                raise
            self._give_up(error)
        self._graphs = None  # a session whose capture has failed is not used again
        return None

    def _give_up(self, error: Exception) -> None:
        self.graph_fault = str(error).splitlines()[0][:200] or type(error).__name__
        _log.warning("%s runs without a CUDA graph: %s", self._spec.name, self.graph_fault)


class _Graphs:
    """The graphs of one session.

    Attributes:
        captures: Whether the latest run went through a graph.

    Raises:
        TypeError: This ONNX Runtime cannot copy within the card.
    """

    def __init__(self, ort: Any, session: Any, spec: ModelSpec, provider: str) -> None:
        self._checks = BoundRuns(ort, session, spec, provider)
        self.captures = False
        self._ort, self._session, self._device = ort, session, DEVICES[provider]
        self._spec = spec
        self._inputs = [one.name for one in graph_inputs(spec)]
        self._dtypes = {one.name: np.dtype(one.dtype) for one in graph_inputs(spec)}
        self._dtypes |= {one.name: np.dtype(one.dtype) for one in graph_outputs(spec)}
        self._outputs = [one.name for one in graph_outputs(spec)]
        self._known: dict[tuple[tuple[int, ...], ...], _Fixed] = {}
        self._most_shapes = MOST_SHAPES  # further ones run without: a graph cannot be given back
        self._check_copies()

    def run(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """One run; every output by name, which the next run may overwrite.

        Args:
            values: Every input by name: an array in host memory, or a tensor on the card.
        """
        # An array has its shape as an attribute, a tensor as a method.
        shapes = {
            name: tuple(value.shape if isinstance(value, np.ndarray) else value.shape())
            for name, value in values.items()
        }
        key = tuple(shapes[name] for name in self._inputs)
        fixed = self._known.get(key)
        self.captures = fixed is not None
        if fixed is not None:
            return fixed.run(self._session, values)
        found = self._run_singly(values)
        if len(self._known) < self._most_shapes:
            shapes |= {name: tuple(value.shape()) for name, value in found.items()}
            try:
                self._known[key] = self._fixed(shapes)
            except Exception as error:  # as above
                if not issubclass(fault_of(error), DeviceMemoryError):
                    raise
                self._most_shapes = len(self._known)  # this frame has its results all the same
                _log.warning("no memory for a CUDA graph of %s: %s", key, error)
        return found

    def states(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Copies of the states among the outputs, by state name.

        Raises:
            EngineError: A value of a state is not finite.
        """
        found = {one.name: values[f"{one.name}_out"] for one in self._spec.states}
        self._checks.check(found)
        copies = {}
        for name, value in found.items():
            copies[name] = self._empty(f"{name}_out", value.shape())
            copies[name].update_inplace(value)
        return copies

    def array(self, value: Any) -> np.ndarray:
        """A copy of a tensor in host memory."""
        array: np.ndarray = value.numpy()
        return array.copy() if self._device == "cpu" else array  # on the CPU it is the tensor

    def _run_singly(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The first run of a shape finds the shapes of the outputs."""
        binding = self._session.io_binding()
        for name, value in values.items():
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(name, np.ascontiguousarray(value))
            else:
                binding.bind_ortvalue_input(name, value)
        for name in self._outputs:
            binding.bind_output(name, self._device)
        self._session.run_with_iobinding(binding, self._options(_NO_GRAPH))
        return dict(zip(self._outputs, binding.get_outputs(), strict=True))

    def _fixed(self, shapes: Mapping[str, tuple[int, ...]]) -> _Fixed:
        tensors = {name: self._empty(name, shape) for name, shape in shapes.items()}
        # The first number is 1: ONNX Runtime takes 0 for runs that name none.
        options = self._options(len(self._known) + 1)
        return _Fixed(self._session, tensors, self._inputs, options)

    def _options(self, number: int) -> Any:
        options = self._ort.RunOptions()
        options.add_run_config_entry(_NUMBER, str(number))
        return options

    def _empty(self, name: str, shape: tuple[int, ...]) -> Any:
        """A tensor outside the session's memory, for an input or an output of the graph."""
        dtype = self._dtypes[name]
        return self._ort.OrtValue.ortvalue_from_shape_and_type(list(shape), dtype, self._device)

    def _check_copies(self) -> None:
        make = self._ort.OrtValue.ortvalue_from_shape_and_type
        one, other = (make([1], np.float32, self._device) for _ in range(2))
        one.update_inplace(np.ones(1, np.float32))
        try:
            other.update_inplace(one)
        except Exception as error:  # as above; a TypeError where arrays alone are taken
            raise TypeError(f"this ONNX Runtime does not copy within the card: {error}") from error


class _Fixed:
    """The tensors of one set of shapes, at fixed addresses, and the number of its graph."""

    def __init__(
        self, session: Any, tensors: Mapping[str, Any], inputs: list[str], options: Any
    ) -> None:
        self._options = options
        self._inputs = {name: tensors[name] for name in inputs}
        self._outputs = {name: one for name, one in tensors.items() if name not in self._inputs}
        self._binding = session.io_binding()
        for name, tensor in self._inputs.items():
            self._binding.bind_ortvalue_input(name, tensor)
        for name, tensor in self._outputs.items():
            self._binding.bind_ortvalue_output(name, tensor)

    def run(self, session: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        for name, tensor in self._inputs.items():
            tensor.update_inplace(values[name])
        session.run_with_iobinding(self._binding, self._options)
        return self._outputs
