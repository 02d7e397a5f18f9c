"""A series of launches on one CUDA stream, and its CUDA graph once a shape repeats.

A step is an engine or one of our kernels. It is bound to buffers once per shape. After that, a
frame is copied in, launched and copied out in the order of one stream, and the host waits for that
stream only.

On a cart the beamformer shares the GPU. So the stream has the lowest priority, and the steps
allocate from CuPy's pool, which has a cap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from cineflow.errors import EngineError
from cineflow.runtime.segments import Kernel, SegmentStep

#: Most memory that CuPy's pool may take for the buffers and the scratch memory of the engines.
MEMORY_CAP_BYTES = 1 << 30

#: CUDA gives larger numbers to lower priorities; 0 is the lowest.
LOWEST_PRIORITY = 0

#: Runs of one shape before its CUDA graph is captured. The first runs may still allocate.
CAPTURE_AFTER = 2


class Launch(Protocol):
    """One step on the device."""

    def bind(self, values: dict[str, Any]) -> int:
        """Take the inputs from `values` and add the outputs; returns the scratch bytes it needs."""
        ...

    def give_scratch(self, scratch: Any) -> None:
        """Take the scratch memory. All steps share it, because they run one after the other."""
        ...

    def capturable(self, stream: Any) -> bool:
        """Whether this step can become part of a CUDA graph now."""
        ...

    def launch(self, stream: Any) -> None:
        """Queue the work.

        Raises:
            EngineError: The runtime refuses it.
        """
        ...


class KernelLaunch:
    """One of our kernels between two engines.

    Args:
        step: Its inputs, output and attributes.
        kernel: An op of `cineflow.ops`, which queues on CuPy's current stream.
    """

    def __init__(self, step: SegmentStep, kernel: Kernel) -> None:
        self._step = step
        self._kernel = kernel
        self._arguments: tuple[Any, ...] = ()
        self._out: Any = None

    def bind(self, values: dict[str, Any]) -> int:
        tensors = (values[name] for name in self._step.inputs)
        self._arguments = (*tensors, *self._step.attributes.values())
        # The op itself knows the shape of its result: it makes the buffer in this first call.
        self._out = values[self._step.outputs[0]] = self._kernel(*self._arguments)
        return 0

    def give_scratch(self, scratch: Any) -> None:
        pass  # our kernels need no scratch memory

    def capturable(self, stream: Any) -> bool:
        return True

    def launch(self, stream: Any) -> None:
        self._kernel(*self._arguments, out=self._out)


class LaunchSeries:
    """Steps that run in order on their own stream.

    Args:
        cupy: The CuPy module.
        steps: In order.
        inputs: Names of the arrays that `run` takes.
        outputs: Names of the arrays that it returns.
    """

    def __init__(
        self, cupy: Any, steps: Sequence[Launch], inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        self._cupy = cupy
        self._steps = steps
        self._inputs = inputs
        self._outputs = outputs
        cupy.get_default_memory_pool().set_limit(size=MEMORY_CAP_BYTES)
        self._stream = cupy.cuda.Stream(non_blocking=True, priority=LOWEST_PRIORITY)
        self._shapes: tuple[tuple[int, ...], ...] | None = None
        self._values: dict[str, Any] = {}
        self._runs = 0
        self._graph: Any = None

    def run(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Copy `arrays` in, launch everything, copy the outputs out.

        Raises:
            EngineError: A shape is outside an engine's profile, memory runs out, a launch fails.
        """
        shapes = tuple(arrays[name].shape for name in self._inputs)
        with self._stream:
            if shapes != self._shapes:
                self._bind(arrays)
                self._shapes = shapes
            for name in self._inputs:
                self._values[name].set(arrays[name], stream=self._stream)
            self._launch()
            results = {
                name: self._cupy.asnumpy(self._values[name], stream=self._stream, blocking=False)
                for name in self._outputs
            }
        self._stream.synchronize()  # this stream only: the beamformer's streams continue
        return results

    def _bind(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Make buffers for new shapes. A graph of the old shapes is dropped."""
        self._graph, self._runs, self._shapes = None, 0, None
        self._values.clear()  # returns the old buffers to the pool first
        try:
            for name in self._inputs:
                self._values[name] = self._cupy.empty(arrays[name].shape, arrays[name].dtype)
            wanted = max(step.bind(self._values) for step in self._steps)
            scratch = self._cupy.empty(max(wanted, 1), np.uint8)
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise EngineError(
                f"buffers for {[list(array.shape) for array in arrays.values()]} within "
                f"{MEMORY_CAP_BYTES >> 20} MiB of GPU memory",
                str(error),
                "Smaller frames, or an engine with a narrower --profile",
            ) from error
        self._values[""] = scratch  # kept as long as the buffers; no value of a graph has this name
        for step in self._steps:
            step.give_scratch(scratch)

    def _launch(self) -> None:
        if self._graph is not None:
            self._graph.launch(self._stream)
            return
        self._runs += 1
        if self._runs <= CAPTURE_AFTER or not all(
            step.capturable(self._stream) for step in self._steps
        ):
            self._launch_all()
            return
        self._stream.begin_capture()
        try:
            self._launch_all()
        finally:
            # Also after a failure: a stream that is still capturing cannot be used again.
            graph = self._stream.end_capture()
        self._graph = graph
        self._graph.launch(self._stream)

    def _launch_all(self) -> None:
        for step in self._steps:
            step.launch(self._stream)
