"""Runs of an ONNX Runtime session whose state stays where the session computes.

Inputs and outputs are bound to the session's own tensors (`OrtValue`), so the state that one run
gives is the input of the next one without a copy. The same code runs on the CPU and on a card. They
differ in the name of the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from cineflow.errors import EngineError
from cineflow.ops.finite import all_finite
from cineflow.runtime.engines.finite import FiniteCheck
from cineflow.runtime.engines.providers import CPU_PROVIDER, CUDA_PROVIDER
from cineflow.spec import ModelSpec

#: What makes an output of a tensor where it lies, by the output's name.
Leaving = Mapping[str, Callable[[Any], Any]]

#: Execution provider -> ONNX Runtime's name of its device.
DEVICES = {CPU_PROVIDER: "cpu", CUDA_PROVIDER: "cuda"}


class BoundRuns:
    """Runs of one session. Any thread may use it.

    Args:
        ort: The module onnxruntime.
        session: An `InferenceSession`.
        spec: Its model.
        provider: The session's execution provider.
    """

    graph_fault = ""  #: See `CardRuns`.

    def __init__(self, ort: Any, session: Any, spec: ModelSpec, provider: str) -> None:
        self._session = session
        self._device = DEVICES[provider]
        self._outputs = [tensor.name for tensor in spec.outputs]
        self._states = [state.name for state in spec.states]
        floats = {state.name: np.dtype(state.dtype) for state in spec.states}
        floats = {name: dtype for name, dtype in floats.items() if dtype.kind == "f"}
        self._checks: dict[str, Callable[[Any], bool]]
        if self._device == "cpu":
            self._checks = dict.fromkeys(floats, _finite_here)
        else:
            self._checks = device_checks(ort, floats, provider)

    def run_all(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One run of all inputs and outputs of the graph, in host memory.

        Raises:
            Exception: As `run`.
        """
        names = [*self._outputs, *(f"{name}_out" for name in self._states)]
        return dict(zip(names, self._session.run(names, arrays), strict=True))

    def run(
        self,
        arrays: Mapping[str, np.ndarray],
        held: Mapping[str, Any],
        left: Leaving = MappingProxyType({}),
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """One run.

        Args:
            arrays: Inputs of the graph in host memory, by name.
            held: The other ones, `<state>_in`, as an earlier run has given them.
            left: For outputs that are not fetched.

        Returns:
            The outputs of the spec, in host memory unless they are in `left`, and the state after
            the run by state name.

        Raises:
            EngineError: A value of a state is not finite.
            Exception: ONNX Runtime fails; its exceptions have no common base class.
        """
        binding = self._session.io_binding()
        for name, array in arrays.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name, value in held.items():
            binding.bind_ortvalue_input(name, value)
        for name in self._outputs:
            binding.bind_output(name, self._device if name in left else "cpu")
        for name in self._states:
            binding.bind_output(f"{name}_out", self._device)
        self._session.run_with_iobinding(binding)
        values = binding.get_outputs()
        after = dict(zip(self._states, values[len(self._outputs) :], strict=True))
        self.check(after)
        outputs = zip(self._outputs, values, strict=False)
        fetch: Callable[[Any], Any] = _numpy
        return {name: left.get(name, fetch)(value) for name, value in outputs}, after

    def check(self, states: Mapping[str, Any]) -> None:
        """Look at the states by name, where they lie.

        Raises:
            EngineError: A value of a state is not finite.
        """
        for name, finite in self._checks.items():
            if not finite(states[name]):
                raise EngineError(f"a finite {name}_out", "NaN or infinite values")

    def fetch(self, value: Any) -> np.ndarray:
        """A state that a run has given, in host memory."""
        array: np.ndarray = value.numpy()
        return array

    def run_into(
        self, arrays: Mapping[str, np.ndarray], places: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """One run of all inputs and outputs of the graph, in host memory; see `WritesInto`.

        Raises:
            Exception: As `run`.
        """
        binding = self._session.io_binding()
        for name, array in arrays.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        names = [*self._outputs, *(f"{name}_out" for name in self._states)]
        for name in names:
            if (place := places.get(name)) is None:
                binding.bind_output(name)
            else:
                binding.bind_output(
                    name, "cpu", 0, place.dtype.type, place.shape, place.ctypes.data
                )
        self._session.run_with_iobinding(binding)
        if all(name in places for name in names):  # to ask for them takes a while
            return {name: places[name] for name in names}
        values = dict(zip(names, binding.get_outputs(), strict=True))
        return {
            name: places[name] if name in places else value.numpy()
            for name, value in values.items()
        }


def device_checks(
    ort: Any, dtypes: Mapping[str, np.dtype], provider: str
) -> dict[str, Callable[[Any], bool]]:
    """A check of each state by name, which looks at it where it lies."""
    checks = {dtype: FiniteCheck(ort, dtype, provider) for dtype in set(dtypes.values())}
    return {name: checks[dtype] for name, dtype in dtypes.items()}


def _numpy(value: Any) -> np.ndarray:
    array: np.ndarray = value.numpy()
    return array


def _finite_here(value: Any) -> bool:
    """Whether a tensor in host memory is finite; NumPy sees it without a copy."""
    return all_finite(value.numpy())
