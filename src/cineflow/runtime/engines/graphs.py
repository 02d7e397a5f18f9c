"""Runs of an ONNX Runtime session on a card, with one CUDA graph for each set of shapes.

ONNX Runtime captures a run as a CUDA graph, and launches the graph from then on. A graph has the
addresses of its inputs and outputs in it. So each set of shapes has tensors of its own. They are
filled before a run and copied after it; a model's state is copied within the card.

A captured run gives its scratch memory back to the session's arena, and its graph goes on writing
there. So nothing that outlives a run may come from the arena after a capture. What is kept is
allocated outside it, and the tensors of a set of shapes are allocated before its capture.

The same code runs on the CPU, which captures nothing.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.errors import DeviceMemoryError
from cineflow.runtime.engines.bound import DEVICES, require_finite, state_checks
from cineflow.runtime.engines.faults import fault_of
from cineflow.runtime.engines.launches import MOST_SHAPES
from cineflow.runtime.engines.providers import CUDA_PROVIDER, provider_options
from cineflow.spec import ModelSpec

#: Run option: which graph of the session a run is, as a number.
GRAPH_ID = "gpu_graph_id"

#: A run that is not captured.
NO_GRAPH = -1

#: Environment variable: 0 turns the graphs off.
GRAPHS_VARIABLE = "CINEFLOW_CUDA_GRAPHS"

_Key = tuple[tuple[int, ...], ...]


def open_for_graphs(ort: Any, path: Path, options: Any) -> tuple[Any, str]:
    """An `InferenceSession` whose runs on the card can be captured.

    Args:
        ort: The module onnxruntime.
        path: The graph.
        options: Of the session.

    Returns:
        The session, and an empty sentence; or None, and why its runs cannot be captured.
    """
    if os.environ.get(GRAPHS_VARIABLE, "") == "0":
        return None, f"{GRAPHS_VARIABLE} is 0"
    if not _copies_tensors(ort):
        return None, f"ONNX Runtime {ort.__version__} does not copy within a card"
    provider = (CUDA_PROVIDER, {**provider_options(CUDA_PROVIDER), "enable_cuda_graph": "1"})
    try:
        session = ort.InferenceSession(
            str(path), sess_options=options, providers=[provider], enable_fallback=0
        )
    except Exception as error:  # ORT raises pybind exceptions without a common base class
        return None, str(error).strip().splitlines()[0][:200]
    if session.get_providers()[0] != CUDA_PROVIDER:
        return None, f"ONNX Runtime took {session.get_providers()[0]}"
    return session, ""


def _copies_tensors(ort: Any) -> bool:
    """Whether an `OrtValue` can be filled from another one, as newer versions can."""
    source, target = (ort.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32)) for _ in range(2))
    try:
        target.update_inplace(source)
    except Exception:  # as above
        return False
    return True


class GraphRuns:
    """Runs of a session that was opened for CUDA graphs. Any thread may use it; one runs at a time.

    Args:
        ort: The module onnxruntime.
        session: An `InferenceSession`.
        spec: Its model.
        provider: The session's execution provider.
    """

    def __init__(self, ort: Any, session: Any, spec: ModelSpec, provider: str) -> None:
        self._ort = ort
        self._session = session
        self._device = DEVICES[provider]
        self._states = {f"{state.name}_out": state.name for state in spec.states}
        states = {state.name: np.dtype(state.dtype) for state in spec.states}
        self._inputs = {tensor.name: np.dtype(tensor.dtype) for tensor in spec.inputs}
        self._inputs |= {f"{name}_in": dtype for name, dtype in states.items()}
        self._outputs = {tensor.name: np.dtype(tensor.dtype) for tensor in spec.outputs}
        self._outputs |= {f"{name}_out": dtype for name, dtype in states.items()}
        self._checks = state_checks(ort, spec, provider)
        self._known: OrderedDict[_Key, _Shapes] = OrderedDict()
        self._captured = 0
        self._lock = threading.Lock()

    def run(
        self, arrays: Mapping[str, np.ndarray], held: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """See `BoundRuns.run`. Each state after the run has memory of its own."""
        with self._lock:
            found = self._computed({**arrays, **held})
            after = {self._states[name]: self._copy(found[name], name) for name in self._states}
            outputs = {
                name: self._fetched(value)
                for name, value in found.items()
                if name not in self._states
            }
        require_finite(self._checks, after)
        return outputs, after

    def run_into(
        self, arrays: Mapping[str, np.ndarray], places: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """See `BoundRuns.run_into`."""
        with self._lock:
            found = self._computed(arrays)
            return {name: self._fetched(value, places.get(name)) for name, value in found.items()}

    def _computed(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The outputs on the device, which the next run of these shapes overwrites."""
        key = tuple(_shape(inputs[name]) for name in self._inputs)
        shapes = self._known.pop(key, None)  # gone if it fails, so that it begins again
        if shapes is None:
            while len(self._known) >= MOST_SHAPES:
                self._forget_oldest()
            shapes = self._first_run(inputs, key)
        else:
            shapes.run(inputs)
        self._known[key] = shapes
        return shapes.outputs

    def _first_run(self, inputs: Mapping[str, Any], key: _Key) -> _Shapes:
        try:
            return self._bound(inputs, key)
        except Exception as error:  # as above
            if not self._known or not issubclass(fault_of(error), DeviceMemoryError):
                raise
        while self._known:  # the memory of the other shapes may be enough
            self._forget_oldest()
        return self._bound(inputs, key)

    def _bound(self, inputs: Mapping[str, Any], key: _Key) -> _Shapes:
        self._captured += 1
        fixed = {
            name: self._empty(shape, dtype)
            for (name, dtype), shape in zip(self._inputs.items(), key, strict=True)
        }
        shapes = _Shapes(self._ort, self._session, self._device, fixed, self._captured)
        shapes.run_first(inputs, self._outputs)
        return shapes

    def _forget_oldest(self) -> None:
        """Give up the shapes that were not used for the longest time."""
        _, shapes = self._known.popitem(last=False)
        # ONNX Runtime before 1.31 keeps a graph until the session ends.
        release = getattr(self._session, "release_captured_graph", None)
        if release is not None:
            release(shapes.number)

    def _copy(self, value: Any, name: str) -> Any:
        copy = self._empty(value.shape(), self._outputs[name])
        copy.update_inplace(value)
        return copy

    def _fetched(self, value: Any, place: np.ndarray | None = None) -> np.ndarray:
        array: np.ndarray = value.numpy()
        if place is not None:
            np.copyto(place, array)
            return place
        # On the CPU this is the tensor itself, on a card a copy of it.
        return array.copy() if self._device == "cpu" else array

    def _empty(self, shape: Collection[int], dtype: np.dtype) -> Any:
        """A tensor on the device, outside the session's arena."""
        make = self._ort.OrtValue.ortvalue_from_shape_and_type
        return make(list(shape), dtype.type, self._device)


class _Shapes:
    """The tensors of one set of shapes, and the run that is bound to them.

    Args:
        ort: The module onnxruntime.
        session: Its session.
        device: Of the session.
        inputs: The tensors that the graph reads, by name.
        number: Of the graph.
    """

    def __init__(
        self, ort: Any, session: Any, device: str, inputs: Mapping[str, Any], number: int
    ) -> None:
        self.number = number
        self.outputs: dict[str, Any] = {}
        self._session = session
        self._device = device
        self._inputs = inputs
        self._binding = self._bound()
        self._options = run_options(ort, number)
        self._uncaptured = run_options(ort, NO_GRAPH)

    def run_first(self, inputs: Mapping[str, Any], outputs: Collection[str]) -> None:
        """A run that takes the memory it needs, which a captured run must not do."""
        self._fill(inputs)
        binding = self._bound()
        for name in outputs:
            binding.bind_output(name, self._device)
        self._session.run_with_iobinding(binding, self._uncaptured)
        self.outputs = dict(zip(outputs, binding.get_outputs(), strict=True))
        for name, value in self.outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def run(self, inputs: Mapping[str, Any]) -> None:
        """A run of the graph, which is captured first where that has not happened yet."""
        self._fill(inputs)
        self._session.run_with_iobinding(self._binding, self._options)

    def _fill(self, inputs: Mapping[str, Any]) -> None:
        for name, tensor in self._inputs.items():
            value = inputs[name]
            if isinstance(value, np.ndarray):
                value = np.ascontiguousarray(value)
            tensor.update_inplace(value)

    def _bound(self) -> Any:
        binding = self._session.io_binding()
        for name, tensor in self._inputs.items():
            binding.bind_ortvalue_input(name, tensor)
        return binding


def run_options(ort: Any, number: int) -> Any:
    """The options of a run that is graph `number` of its session, or `NO_GRAPH`."""
    options = ort.RunOptions()
    options.add_run_config_entry(GRAPH_ID, str(number))
    return options


def _shape(value: Any) -> tuple[int, ...]:
    return value.shape if isinstance(value, np.ndarray) else tuple(value.shape())
