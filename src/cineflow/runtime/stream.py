"""MotionStream: tracks the frames of a live stream one after the other.

The same object works in process, inside Triton's Python backend and in tests. Its state can be
taken out and put back. That is how a stream survives a restart or moves to another server: the
displacement was composed over every frame since the reference frame, so it cannot be computed from
a picture.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cineflow.errors import EngineError, FrameError, SpecError
from cineflow.motion.compose import compose
from cineflow.motion.finder import BeatFinder
from cineflow.motion.quality import Quality, assess, halved
from cineflow.motion.rhythm import Intervals, Rhythm
from cineflow.runtime.engine import Engine
from cineflow.runtime.renewal import at_beat
from cineflow.runtime.sizes import shape_at, takes, takes_extent
from cineflow.runtime.state import BeatInfo, Cause, MotionResult, StreamState
from cineflow.spec import Axis, ModelSpec

__all__ = ["BeatInfo", "Cause", "MotionResult", "MotionStream", "StreamState"]


class MotionStream:
    """Tracks one sequence of frames of one size.

    Args:
        engine: Runs the model on a pair of frames. Its `model` is kept in the state and compared
            when a state is put back.
        spec: The model: two images in (previous, current), `flow` out.
        state: A state taken from another stream of the same model; this stream continues from it.
        backward: Also track each pair backward, and use both directions for the quality. This
            costs a quarter of the engine's time per frame where the model takes half the size, and
            the whole time again where it does not. The quality is also given without it.

    Raises:
        SpecError: The model is of another kind, or `backward` was asked of a model with state;
            `state` is not a `StreamState`, or does not fit (`StreamState.require_fits`).
    """

    def __init__(
        self,
        engine: Engine,
        spec: ModelSpec,
        state: StreamState | None = None,
        *,
        backward: bool = False,
    ) -> None:
        require_streamable(spec)
        if backward and spec.states:
            raise SpecError(
                "a model without state, to run it backward",
                f"{spec.name} with {[tensor.name for tensor in spec.states]}",
            )
        self.spec = spec
        self.model = engine.model
        self._engine = engine
        self._images = spec.inputs
        if state is not None:
            if not isinstance(state, StreamState):
                raise SpecError(
                    "a StreamState", type(state).__name__, "Take it from `stream.state()`."
                )
            state.require_fits(spec, engine.model)
        self._state = state
        self._backward = backward

    def state(self) -> StreamState | None:
        """What another stream needs to continue from here; None before the first frame."""
        return self._state

    def push(
        self,
        frame: np.ndarray,
        index: int | None = None,
        *,
        beat: bool | None = None,
        time_ms: float | None = None,
    ) -> MotionResult:
        """Track one frame.

        Args:
            frame: Grey levels 0..255, u8 or f32 [H, W]; it is copied.
            index: The frame's number, larger than the last one; by default the last one plus 1. A
                gap means that frames were dropped.
            beat: Whether an R wave came with this frame. True makes the frame the reference at
                once: the displacement starts at zero and the beat's number grows. None means that
                there are no triggers; end-diastole is then looked for in the motion
                (`cineflow.motion.finder`) until a frame says True or False.
            time_ms: When the frame was taken, so that impossible heart rates are noticed. Give it
                for every frame of a stream or for none.

        Raises:
            FrameError: Rank, type, size, index, beat or time do not fit, or a value is not finite.
                The state is unchanged, and the next good frame is tracked against the last good
                one.
            EngineError: The engine failed or gave a flow that is not finite. The state is
                unchanged.
        """
        before = self._state
        image = self._checked(frame)
        number = self._numbered(index)
        self._check_time(time_ms)
        if beat is not None and not isinstance(beat, (bool, np.bool_)):
            raise FrameError("a beat of True, False or None", repr(beat))
        if before is None:
            after = self._first(image, number, beat, time_ms)
            flow, quality = np.zeros((2, *image.shape), np.float32), Quality.untracked()
        else:
            outputs = self._engine.run(self._inputs(before, image))
            flow = outputs["flow"][0]
            if not np.isfinite(flow).all():
                raise EngineError("a finite flow", f"NaN or infinite values from {self.spec.name}")
            quality, motion = assess(
                before.frame,
                image,
                flow,
                before=before.motion,
                frames=number - before.index,
                backward=self._back(before.frame, image) if self._backward else None,
            )
            moved = replace(
                before,
                frame=image,
                displacement=compose(before.displacement, flow),
                index=number,
                time_ms=time_ms,
                motion=motion,
                finder=before.finder if beat is None else None,
                tensors={state.name: outputs[f"{state.name}_out"] for state in self.spec.states},
            )
            after = at_beat(moved, flow, beat)
        self._state = after  # the only assignment, and last: a frame counts wholly or not at all
        late = after.intervals.overdue(after.clock)
        return MotionResult(
            flow=flow,
            displacement=after.displacement,
            quality_parts=quality,
            previous=number if before is None else before.index,
            current=number,
            reference=after.reference,
            beat_info=replace(after.beat, rhythm=Rhythm.LATE) if late else after.beat,
        )

    def _first(
        self, image: np.ndarray, number: int, beat: bool | None, time_ms: float | None
    ) -> StreamState:
        still = np.zeros((2, *image.shape), np.float32)
        state = StreamState(
            image,
            still,
            number,
            reference=number,
            model=self.model,
            intervals=Intervals(milliseconds=time_ms is not None, start=time_ms),
            time_ms=time_ms,
            finder=BeatFinder() if beat is None else None,
        )
        if not beat:
            return state
        intervals, _ = state.intervals.begin(state.clock)
        return replace(state, intervals=intervals, beat=BeatInfo(cause=Cause.TRIGGER))

    def _back(self, previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        """Flow from current to previous: [2, H, W] px, or [2, H / 2, W / 2] px at half the size."""
        first, second = current, previous
        half = [extent // 2 for extent in current.shape]
        even = not any(extent % 2 for extent in current.shape)
        if even and takes(self._images[0].shape[-2:], half):
            first, second = halved(current), halved(previous)
        pair = zip(self._images, (first, second), strict=True)
        flow: np.ndarray = self._engine.run(
            {tensor.name: picture[None, None] for tensor, picture in pair}
        )["flow"][0]
        return flow

    def _check_time(self, time_ms: float | None) -> None:
        number = isinstance(time_ms, (int, float, np.integer, np.floating))
        if time_ms is not None and not (number and np.isfinite(time_ms)):
            raise FrameError("a finite time_ms", repr(time_ms))
        if self._state is None:
            return
        last = self._state.time_ms
        if (time_ms is None) != (last is None):
            raise FrameError(
                "a time for every frame of a stream, or for none",
                "a frame without one" if time_ms is None else "a first frame with one",
            )
        if time_ms is not None and last is not None and time_ms <= last:
            raise FrameError(f"a time above {last:g} ms, that of the last frame", f"{time_ms:g} ms")

    def _inputs(self, before: StreamState, image: np.ndarray) -> dict[str, np.ndarray]:
        inputs = {
            tensor.name: picture[None, None]
            for tensor, picture in zip(self._images, (before.frame, image), strict=True)
        }
        for state in self.spec.states:
            start = before.tensors.get(state.name)
            if start is None:
                start = np.zeros(shape_at(state.shape, image.shape), state.dtype)
            inputs[f"{state.name}_in"] = start
        return inputs

    def _checked(self, frame: np.ndarray) -> np.ndarray:
        """A copy of the frame as f32, if this stream can take it."""
        if not isinstance(frame, np.ndarray):
            raise FrameError("a grey frame, uint8 or float32 [H, W]", type(frame).__name__)
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
            if not takes_extent(dim, size):
                wanted = dim.describe() if isinstance(dim, Axis) else str(dim)
                raise FrameError(
                    f"a {side} of {wanted} pixels, which {self.spec.name} takes",
                    str(size),
                    "Resize or pad the frame first: cineflow.cine.fit_to keeps the geometry.",
                )
        image = frame.astype(np.float32)  # a copy: the caller's memory may be a slot of a ring
        if frame.dtype == np.float32 and not np.isfinite(image).all():
            count = int((~np.isfinite(image)).sum())
            raise FrameError("finite grey levels", f"{count} NaN or infinite values")
        return image

    def _numbered(self, index: int | None) -> int:
        if index is not None and (
            isinstance(index, bool) or not isinstance(index, (int, np.integer))
        ):
            raise FrameError("a whole frame index", repr(index))
        last = -1 if self._state is None else self._state.index
        number = last + 1 if index is None else int(index)
        if number <= last:
            raise FrameError(f"a frame index above {last}, that of the last frame", str(number))
        return number


def require_streamable(spec: ModelSpec) -> None:
    """Raise `SpecError` unless a `MotionStream` can run this model."""
    shape = spec.inputs[0].shape if spec.inputs else ()
    images = len(spec.inputs) == 2 and all(
        (tensor.shape, tensor.dtype) == ((1, 1, *shape[2:]), "float32") for tensor in spec.inputs
    )
    flow = any(tensor.name == "flow" for tensor in spec.outputs[:1])
    if not (images and flow and spec.outputs[0].shape == (1, 2, *shape[2:])):
        found = (f"{one.name} {one.dtype} [{one.describe_shape()}]" for one in spec.tensors())
        raise SpecError(
            "a model of two images float32 [1, 1, H, W] whose first output is `flow` [1, 2, H, W]",
            f"{spec.name}: {'; '.join(found)}",
        )
    for state in spec.states:
        if unknown := {axis.name for axis in state.axes} - {"height", "width"}:
            raise SpecError("a state whose dynamic axes are height and width", str(unknown))


def _words(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]} pixels (height x width)"
