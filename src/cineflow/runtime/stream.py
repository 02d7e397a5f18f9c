"""MotionStream: what a live stream knows from one frame to the next.

The same object works in process, inside Triton's Python backend and in tests. Its state can be
taken out and put back, and that is how a stream survives a restart or moves to another server: the
displacement was composed over every frame since the reference, so no picture can stand in for it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cineflow.errors import EngineError, FrameError, SpecError
from cineflow.motion.blocks import block_size
from cineflow.motion.compose import compose
from cineflow.motion.finder import MOMENTS, BeatFinder
from cineflow.motion.quality import Quality, assess, halved
from cineflow.motion.rhythm import Intervals, Rhythm
from cineflow.runtime.engine import Engine
from cineflow.runtime.renewal import at_beat
from cineflow.runtime.state import BeatInfo, Cause, MotionResult, StreamState
from cineflow.spec import Axis, ModelSpec

__all__ = ["BeatInfo", "Cause", "MotionResult", "MotionStream", "StreamState"]


class MotionStream:
    """Tracks one sequence of frames of one size.

    Args:
        engine: Runs the model on a pair of frames; its `model` is kept in the state, and compared
            when a state comes back in.
        spec: The model: two images in (previous, current), `flow` out.
        state: A state taken from another stream of the same model; it goes on from there.
        backward: Also track each pair backward, at half size where the model takes that size, and
            judge the quality by both. A quarter of the engine's time more per frame (all of it
            again where the half size does not fit); without it the quality still stands.

    Raises:
        SpecError: The model is of another kind, or has a state and shall run backward; `state` is
            no `StreamState`, another model's, or its arrays are not what this model makes.
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
                "a model without state, to be run backward",
                f"{spec.name} with {[tensor.name for tensor in spec.states]}",
            )
        self.spec = spec
        self.model = engine.model
        self._engine = engine
        self._images = spec.inputs
        if state is not None:
            self._check_state(state)
        self._state = state
        self._backward = backward

    def state(self) -> StreamState | None:
        """What the next frame needs, for another stream to go on from; None before any frame."""
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
            index: The frame's number, above the last one's; one more than that by default. A gap
                says that frames were dropped.
            beat: Whether an R wave came with this frame: it becomes the reference at once,
                displacement starts at zero, and the beat's number grows. None: there are no
                triggers, and end-diastole is looked for in the motion (`cineflow.motion.finder`)
                until a first frame says True or False.
            time_ms: When the frame was taken, for heart rates that are absurd by themselves; for
                every frame of a stream or for none.

        Raises:
            FrameError: Rank, type, size, index, beat or time do not fit, or a value is not finite.
                The state is as before, and the next good frame is tracked against the last good
                one.
            EngineError: The engine failed or gave a flow that is not finite; the state is as
                before.
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
        self._state = after  # the only place, and last: a frame counts wholly or not at all
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

    def _check_state(self, state: StreamState) -> None:
        remedy = "Start a new stream, or go on with the model that the state was taken from."
        if not isinstance(state, StreamState):
            raise SpecError("a StreamState", type(state).__name__, "Take it from `stream.state()`.")
        if state.model != self.model:
            raise SpecError(f"a state of {self.model}", f"one of {state.model}", remedy)
        # before its first pair a model has none of its own, and zeros are right
        own = [] if state.motion is None else sorted(one.name for one in self.spec.states)
        if sorted(state.tensors) != own:
            raise SpecError(f"a state with the tensors {own}", f"{sorted(state.tensors)}", remedy)
        size = np.shape(state.frame)
        if len(size) != 2 or not all(map(_takes, self._images[0].shape[-2:], size)):
            raise SpecError(
                f"a state with a frame of a size that {self.spec.name} takes",
                f"one of {list(size)}",
                remedy,
            )
        counts = {"index": state.index, "reference": state.reference}
        arrays = {"frame": state.frame, "displacement": state.displacement}
        wanted = {"frame": ("float32", list(size)), "displacement": ("float32", [2, *size])}
        if state.candidate is not None:
            arrays["candidate"] = state.candidate.displacement
            wanted["candidate"] = wanted["displacement"]
        if state.motion is not None:
            counts["number of frames"] = state.motion.frames
            blocks = [extent // side for extent, side in zip(size, block_size(size), strict=True)]
            for part, shape in (
                ("flow", ("float32", [2, *blocks])),
                ("tissue", ("float64", blocks)),
                ("grey", ("float64", blocks)),
            ):
                arrays[part], wanted[part] = getattr(state.motion, part), shape
        if state.finder is not None:
            arrays["path"] = state.finder.path
            wanted["path"] = ("float64", [*np.shape(state.finder.path)[:1], MOMENTS])
        for one in self.spec.states if state.tensors else ():
            arrays[one.name] = state.tensors[one.name]
            wanted[one.name] = (one.dtype, [_extent(dim, size) for dim in one.shape])
        for name, number in counts.items():
            least = 1 if name == "number of frames" else 0
            if not isinstance(number, (int, np.integer)) or number < least:
                raise SpecError(f"a whole {name} of {least} or more", repr(number), remedy)
        for name, array in arrays.items():
            found = (str(np.asarray(array).dtype), list(np.shape(array)))
            if found != wanted[name]:
                raise SpecError(f"{name} of a state as {wanted[name]}", f"{found}", remedy)
            if not np.isfinite(array).all():
                raise SpecError(f"finite values in {name} of a state", "NaN or inf", remedy)

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
        """Flow from current to previous, [2, H, W] px, or [2, H / 2, W / 2] px of half the size."""
        first, second = current, previous
        half = [extent // 2 for extent in current.shape]
        if all(
            extent % 2 == 0 and _takes(dim, size)
            for dim, size, extent in zip(
                self._images[0].shape[-2:], half, current.shape, strict=True
            )
        ):
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
            raise FrameError(f"a time above {last:g} ms, the last frame's", f"{time_ms:g} ms")

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
            if not _takes(dim, size):
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
        if index is not None and (
            isinstance(index, bool) or not isinstance(index, (int, np.integer))
        ):
            raise FrameError("a whole frame index", repr(index))
        last = -1 if self._state is None else self._state.index
        number = last + 1 if index is None else int(index)
        if number <= last:
            raise FrameError(f"a frame index above {last}, the last frame's", str(number))
        return number


def require_streamable(spec: ModelSpec) -> None:
    """Raise `SpecError` unless a `MotionStream` can run models of this kind."""
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


def _takes(dim: int | Axis, size: int) -> bool:
    return dim.accepts(size) if isinstance(dim, Axis) else dim == size


def _extent(dim: int | Axis, size: tuple[int, ...]) -> int:
    """A state tensor's extent: its own where fixed, the frame's where it names that axis."""
    return {"height": size[0], "width": size[1]}[dim.name] if isinstance(dim, Axis) else dim


def _words(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]} pixels (height x width)"
