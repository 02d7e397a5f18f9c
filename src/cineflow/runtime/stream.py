"""MotionStream: what a live stream knows from one frame to the next.

The same object works in process, inside Triton's Python backend and in tests. Its state can be
taken out and put back, and that is how a stream survives a restart or moves to another server: the
displacement was composed over every frame since the reference, so no picture can stand in for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cineflow.errors import FrameError, SpecError
from cineflow.motion.compose import compose
from cineflow.motion.quality import frame_quality
from cineflow.runtime.engine import Engine
from cineflow.spec import Axis, ModelSpec


@dataclass(frozen=True, eq=False)
class MotionResult:
    """Motion of one frame. Pixels; x right, y down; channel 0 = x, 1 = y.

    Attributes:
        flow: f32 [2, H, W], previous to current, on the previous frame's grid; zeros for the first.
        displacement: f32 [2, H, W], reference to current, on the reference frame's grid.
        quality: Agreement of the two frames under the flow, 0..1; 1 for the first frame.
        previous: Index of the frame that the flow starts from.
        current: Index of this frame.
        reference: Index of the frame that the displacement refers to.
        beat: Number of the heart beat, from 0.
    """

    flow: np.ndarray
    displacement: np.ndarray
    quality: float
    previous: int
    current: int
    reference: int
    beat: int


@dataclass(frozen=True, eq=False)
class StreamState:
    """Everything that the next frame needs; the arrays are never written to again.

    Attributes:
        frame: The last frame, f32 [H, W], grey levels 0..255.
        displacement: f32 [2, H, W] px, since the reference frame, on its grid.
        index: Index of the last frame.
        reference: Index of the reference frame.
        beat: Number of the heart beat, from 0.
        tensors: The model's own state, `<name>_out` of the last frame by `<name>`; empty for a
            model without state, and before its first pair.
    """

    frame: np.ndarray
    displacement: np.ndarray
    index: int
    reference: int
    beat: int
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)


class MotionStream:
    """Tracks one sequence of frames of one size.

    Args:
        engine: Runs the model on a pair of frames.
        spec: The model: two images in (previous, current), `flow` out.
        state: A state taken from another stream of the same model; it goes on from there.

    Raises:
        SpecError: The model is not of that kind.
    """

    def __init__(self, engine: Engine, spec: ModelSpec, state: StreamState | None = None) -> None:
        images = [tensor for tensor in spec.inputs if len(tensor.shape) == 4]
        if len(spec.inputs) != 2 or len(images) != 2 or spec.outputs[0].name != "flow":
            raise SpecError(
                "a model of two images [1, 1, H, W] whose first output is `flow`",
                f"{spec.name}: {[tensor.name for tensor in spec.tensors()]}",
            )
        self.spec = spec
        self._engine = engine
        self._images = images
        self._state = state

    def state(self) -> StreamState | None:
        """What the next frame needs, for another stream to go on from; None before any frame."""
        return self._state

    def push(
        self, frame: np.ndarray, index: int | None = None, *, beat: bool = False
    ) -> MotionResult:
        """Track one frame.

        Args:
            frame: Grey levels 0..255, u8 or f32 [H, W]; it is copied.
            index: The frame's number, above the last one's; one more than that by default. A gap
                says that frames were dropped.
            beat: This frame starts a heart beat: it becomes the reference, displacement starts at
                zero, and the beat's number grows.

        Raises:
            FrameError: Rank, type, size or index do not fit, or a value is not finite. The state is
                as before, and the next good frame is tracked against the last good one.
            EngineError: The engine failed; the state is as before.
        """
        before = self._state
        image = self._checked(frame)
        number = self._numbered(index)
        zero = np.zeros((2, *image.shape), np.float32)
        if before is None:
            flow, displacement, quality = zero, zero.copy(), 1.0
            after = StreamState(image, displacement, number, reference=number, beat=0)
        else:
            outputs = self._engine.run(self._inputs(before, image))
            flow = outputs["flow"][0]
            quality = frame_quality(before.frame, image, flow)
            after = replace(
                before,
                frame=image,
                displacement=zero if beat else compose(before.displacement, flow),
                index=number,
                reference=number if beat else before.reference,
                beat=before.beat + int(beat),
                tensors={state.name: outputs[f"{state.name}_out"] for state in self.spec.states},
            )
        self._state = after  # the only place, and last: a frame counts wholly or not at all
        return MotionResult(
            flow=flow,
            displacement=after.displacement,
            quality=quality,
            previous=number if before is None else before.index,
            current=number,
            reference=after.reference,
            beat=after.beat,
        )

    def _inputs(self, before: StreamState, image: np.ndarray) -> dict[str, np.ndarray]:
        inputs = {
            tensor.name: picture[None, None]
            for tensor, picture in zip(self._images, (before.frame, image), strict=True)
        }
        for state in self.spec.states:
            start = before.tensors.get(state.name)
            if start is None:
                start = np.zeros([_extent(dim, image.shape) for dim in state.shape], state.dtype)
            inputs[f"{state.name}_in"] = start
        return inputs

    def _checked(self, frame: np.ndarray) -> np.ndarray:
        """The frame as f32 of its own, if this stream can take it."""
        if frame.ndim != 2 or frame.dtype not in (np.uint8, np.float32):
            raise FrameError(
                "a grey frame, uint8 or float32 [H, W]", f"{frame.dtype} {list(frame.shape)}"
            )
        if self._state is not None and frame.shape != self._state.frame.shape:
            raise FrameError(
                f"a frame of {_words(self._state.frame.shape)}, as the frames before",
                _words(frame.shape),
                "Open a new stream after a change of depth or probe.",
            )
        for dim, size, side in zip(
            self._images[0].shape[-2:], frame.shape, ("height", "width"), strict=True
        ):
            if not (dim.accepts(size) if isinstance(dim, Axis) else dim == size):
                wanted = dim.describe() if isinstance(dim, Axis) else str(dim)
                raise FrameError(
                    f"a {side} of {wanted} pixels, which {self.spec.name} takes",
                    str(size),
                    "Resize or pad the frame first: cineflow.cine.fit_to keeps the geometry.",
                )
        image = frame.astype(np.float32)  # a copy: the caller's memory may be a ring's slot
        if frame.dtype == np.float32 and not np.isfinite(image).all():
            count = int((~np.isfinite(image)).sum())
            raise FrameError("finite grey levels", f"{count} NaN or infinite values")
        return image

    def _numbered(self, index: int | None) -> int:
        last = -1 if self._state is None else self._state.index
        number = last + 1 if index is None else int(index)
        if number <= last:
            raise FrameError(f"a frame index above {last}, the last frame's", str(number))
        return number


def _extent(dim: int | Axis, size: tuple[int, ...]) -> int:
    """A state tensor's extent: its own where fixed, the frame's where it names that axis."""
    if isinstance(dim, Axis):
        named = {"height": size[0], "width": size[1]}
        if dim.name not in named:
            raise SpecError("a state whose dynamic axes are height and width", dim.name)
        return named[dim.name]
    return dim


def _words(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]} pixels (height x width)"
