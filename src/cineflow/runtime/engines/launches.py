"""A series of launches on one CUDA stream, with one CUDA graph for each shape that repeats.

A step is an engine or one of our kernels. It is bound to buffers once for each set of shapes. After
that, a frame is copied in, launched and copied out in the order of one stream, and the host waits
for that stream only. What a model carries to its next frame is copied within the card.

On a cart the beamformer shares the GPU. So the stream has the lowest priority, and the steps
allocate from CuPy's pool, which has a cap.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from cineflow.errors import DeviceMemoryError, EngineError
from cineflow.ops.held import Held
from cineflow.runtime.engines.cupy_card import CupyCard
from cineflow.runtime.engines.faults import fault_of
from cineflow.runtime.segments import Kernel, SegmentStep

#: Runs of one shape before its CUDA graph is captured. The first runs may still allocate.
CAPTURE_AFTER = 2

#: Sets of shapes that keep their buffers and graph: streams of several frame sizes take turns.
MOST_SHAPES = 4


class BoundLaunch(Protocol):
    """One step, bound to buffers.

    Attributes:
        scratch_bytes: The scratch memory that it needs.
    """

    scratch_bytes: int

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


class Launch(Protocol):
    """One step on the device."""

    def bind(self, values: dict[str, Any]) -> BoundLaunch:
        """Take the inputs from `values`, and add buffers for the outputs.

        Raises:
            EngineError: A shape does not fit.
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

    def bind(self, values: dict[str, Any]) -> _BoundKernel:
        tensors = (values[name] for name in self._step.inputs)
        arguments = (*tensors, *self._step.attributes.values())
        # The op itself knows the shape of its result: it makes the buffer in this first call.
        out = values[self._step.outputs[0]] = self._kernel(*arguments)
        return _BoundKernel(self._kernel, arguments, out)


class _BoundKernel:
    def __init__(self, kernel: Kernel, arguments: tuple[Any, ...], out: Any) -> None:
        self._kernel, self._arguments, self._out = kernel, arguments, out
        # Memory that a kernel made itself would belong to another array when the graph is replayed.
        floats = getattr(kernel, "workspace_floats", None)
        self.scratch_bytes = 4 * floats(*arguments) if floats is not None else 0
        self._memory: dict[str, Any] = {}

    def give_scratch(self, scratch: Any) -> None:
        if self.scratch_bytes:
            floats = scratch[: self.scratch_bytes].view(np.float32)
            self._memory = {"workspace": floats}

    def capturable(self, stream: Any) -> bool:
        return True

    def launch(self, stream: Any) -> None:
        self._kernel(*self._arguments, out=self._out, **self._memory)


class _Shapes:
    """What belongs to one set of shapes: its buffers, its steps, and its graph once there is one.

    A captured graph has the addresses of the buffers in it, and TensorRT's context must not change
    after it. So each set of shapes has its own.
    """

    def __init__(
        self, cupy: Any, steps: Sequence[Launch], arrays: Mapping[str, Any], inputs: Sequence[str]
    ) -> None:
        self.values: dict[str, Any] = {
            name: cupy.empty(arrays[name].shape, arrays[name].dtype) for name in inputs
        }
        self._steps = [step.bind(self.values) for step in steps]
        wanted = max(step.scratch_bytes for step in self._steps)
        self._scratch = cupy.empty(max(wanted, 1), np.uint8)
        for step in self._steps:
            step.give_scratch(self._scratch)
        self._runs = 0
        self._graph: Any = None

    def launch(self, stream: Any) -> None:
        """Queue every step, through the graph where there is one."""
        if self._graph is None:
            self._runs += 1
            ready = all(step.capturable(stream) for step in self._steps)
            if self._runs <= CAPTURE_AFTER or not ready:
                self._launch_all(stream)
                return
            self._capture(stream)
        self._graph.launch(stream)

    def _capture(self, stream: Any) -> None:
        stream.begin_capture()
        try:
            self._launch_all(stream)
        finally:
            # Also after a failure: a stream that is still capturing cannot be used again.
            graph = stream.end_capture()
        self._graph = graph

    def _launch_all(self, stream: Any) -> None:
        for step in self._steps:
            step.launch(stream)


class LaunchSeries(CupyCard):
    """Steps that run in order on their own stream. Any thread may use it; one runs at a time.

    Args:
        cupy: The CuPy module.
        steps: In order.
        inputs: Names of the arrays that `run` takes.
        outputs: Names of the arrays that it returns.
        memory_bytes: What CuPy's pool may take for buffers and scratch memory.
    """

    def __init__(
        self,
        cupy: Any,
        steps: Sequence[Launch],
        inputs: Sequence[str],
        outputs: Sequence[str],
        memory_bytes: int,
    ) -> None:
        super().__init__(cupy, memory_bytes)
        self._steps = steps
        self._inputs = inputs
        self._outputs = outputs
        self._known: OrderedDict[tuple[tuple[int, ...], ...], _Shapes] = OrderedDict()

    def run(
        self, arrays: Mapping[str, Any], kept: Sequence[str] = ()
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Copy `arrays` in, launch everything, copy the outputs out.

        Args:
            arrays: In host memory, outputs that an earlier run has kept, or other arrays that are
                held on this card.
            kept: Outputs that stay on the card, each in memory of its own.

        Returns:
            The other outputs in host memory, and those that were kept, by name.

        Raises:
            EngineError: A shape is outside an engine's profile, a launch fails, or a kept output is
                not finite.
            DeviceMemoryError: Memory runs out. Smaller frames still run.
            DeviceLostError: Nothing runs on the card any more in this process.
        """
        with self.working(arrays):
            return self._run(arrays, kept)

    def _run(
        self, arrays: Mapping[str, Any], kept: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        shapes = self._of(arrays)
        for name in self._inputs:
            value = arrays[name]
            if isinstance(value, Held):
                value = value.on(self)
            if isinstance(value, self._cupy.ndarray):
                self._cupy.copyto(shapes.values[name], value)  # within the card
            else:
                shapes.values[name].set(value, stream=self._stream)
        shapes.launch(self._stream)
        held = {name: shapes.values[name].copy() for name in kept}
        checks = {
            name: self._fetched(self._cupy.isfinite(value).all())
            for name, value in held.items()
            if value.dtype.kind == "f"
        }
        results = {
            name: self._fetched(shapes.values[name]) for name in self._outputs if name not in held
        }
        self._stream.synchronize()  # this stream only: the beamformer's streams continue
        if spoiled := [name for name, finite in checks.items() if not finite]:
            raise EngineError(f"a finite {spoiled[0]}", "NaN or infinite values")
        return results, held

    def _of(self, arrays: Mapping[str, Any]) -> _Shapes:
        """The buffers for these shapes; those of the shapes that were not used longest give way."""
        key = tuple(arrays[name].shape for name in self._inputs)
        found = self._known.get(key)
        if found is None:
            while len(self._known) >= MOST_SHAPES:
                self._known.popitem(last=False)
            found = self._bound(arrays)
            self._known[key] = found
        self._known.move_to_end(key)
        return found

    def _bound(self, arrays: Mapping[str, Any]) -> _Shapes:
        try:
            return _Shapes(self._cupy, self._steps, arrays, self._inputs)
        except Exception as error:  # as above
            if not self._known or not issubclass(fault_of(error), DeviceMemoryError):
                raise
        self._known.clear()  # the memory of the other shapes may be enough
        self._pool.free_all_blocks()
        return _Shapes(self._cupy, self._steps, arrays, self._inputs)
