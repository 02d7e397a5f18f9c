"""A session of ONNX Runtime that captures and replays graphs as its CUDA provider does, on the CPU.

The real session computes. What the CUDA provider adds is here, as its source has it: the first run
with a number runs the model until it is captured; a later run with that number, from the same
thread, uses the tensors of the capture, whatever is bound to it; a replay writes to memory of the
session that was free at the capture, which may have been given out since.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from cineflow.runtime import Bundle
from cineflow.runtime.engines.graphs import GRAPH_OPTIONS, CardRuns
from cineflow.runtime.engines.providers import CPU_PROVIDER

#: Runs of the model within the run that captures it: two before it, the capture, the replay.
CAPTURE_RUNS = 4


class GraphBinding:
    """Bindings that know whether every tensor has its place."""

    def __init__(self, real: Any) -> None:
        self.real = real
        self.places: dict[str, int] = {}
        self.loose: list[str] = []

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        self.places[name] = value.data_ptr()
        self.real.bind_ortvalue_input(name, value)

    def bind_ortvalue_output(self, name: str, value: Any) -> None:
        assert value.data_ptr() not in self.places.values(), "the model runs more than once"
        self.places[name] = value.data_ptr()
        self.real.bind_ortvalue_output(name, value)

    def bind_cpu_input(self, name: str, array: np.ndarray) -> None:
        self.loose.append(name)
        self.real.bind_cpu_input(name, array)

    def bind_output(self, name: str, device: str = "cpu") -> None:
        self.loose.append(name)
        self.real.bind_output(name, device)

    def get_outputs(self) -> Any:
        return self.real.get_outputs()


class GraphSession:
    """A session that was opened with graphs.

    Attributes:
        log: "single", "capture N" and "replay N", in order.
        threads: Those that have used it.
        fault: What the next capture raises.
    """

    def __init__(self, real: Any) -> None:
        self._real = real
        self._captured: dict[tuple[int, int], GraphBinding] = {}
        self._given_out: list[Any] = []
        self.log: list[str] = []
        self.threads: set[int] = set()
        self.fault: Exception | None = None

    def io_binding(self) -> GraphBinding:
        return GraphBinding(self._real.io_binding())

    def run_with_iobinding(self, binding: GraphBinding, options: Any = None) -> None:
        number = int(options.get_run_config_entry("gpu_graph_id")) if options is not None else 0
        thread = threading.get_ident()
        self.threads.add(thread)
        if number == -1:
            self.log.append("single")
            self._real.run_with_iobinding(binding.real)
            self._given_out += binding.get_outputs()
        elif (captured := self._captured.get((thread, number))) is not None:
            self.log.append(f"replay {number}")
            for value in self._given_out:
                value.numpy().view(np.uint8)[...] = 0x55
            self._real.run_with_iobinding(captured.real)
        else:
            self.log.append(f"capture {number}")
            if self.fault is not None:
                raise self.fault
            assert not binding.loose, "a graph needs fixed places for these"
            for _ in range(CAPTURE_RUNS):
                self._real.run_with_iobinding(binding.real)
            self._captured[thread, number] = binding


def card_runs(bundle: Bundle, fault: Exception | None = None) -> tuple[CardRuns, list[Any]]:
    """`CardRuns` of a bundle on the CPU's device, and the sessions that it opens.

    Args:
        bundle: The model.
        fault: What opening a session with graphs raises.
    """
    opened: list[Any] = []

    def open_session(more: Mapping[str, str]) -> Any:
        if more and fault is not None:
            raise fault
        assert more in ({}, GRAPH_OPTIONS)
        real = onnxruntime.InferenceSession(str(bundle.onnx_path), providers=[CPU_PROVIDER])
        opened.append(GraphSession(real) if more else real)
        return opened[-1]

    return CardRuns(onnxruntime, open_session, bundle.spec, CPU_PROVIDER), opened
