"""From the frames of a stream to the inputs of a model, as the spec's feed says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError, FrameError, SpecError
from cineflow.ops.held import Held, run_there, stays
from cineflow.runtime.checks import native
from cineflow.spec import Axis, Feed, FeedKind, ModelSpec, TensorSpec
from cineflow.spec.axes import mismatch, root_axis, size_of
from cineflow.spec.feed import FrameLayout, accepts_frame, frame_layout

_FRAME_TYPES = (np.uint8, np.float32)
#: Key in the metadata of a field that is not part of the bytes of a state.
STAYS = "stays in the process"


@dataclass(frozen=True, eq=False)
class FeedState:
    """The frames that the next run needs; the arrays are never written to again.

    Attributes:
        last: The last frame, f32, grey levels.
        reference: The reference frame; None where the feed has none.
        window: The last frames but the newest, oldest first, at most T - 1; empty without a window.
        since_run: Frames pushed since the window's last run; None before the first.
        last_grey: The last frame as it came, where that was in 8 bits. It only saves work, so it
            does not leave the process.
        there: The last frame as it came, where it is held on a card; likewise.
    """

    last: np.ndarray
    reference: np.ndarray | None = None
    window: tuple[np.ndarray, ...] = ()
    since_run: int | None = None
    last_grey: np.ndarray | None = field(default=None, metadata={STAYS: True})
    there: Held | None = field(default=None, metadata={STAYS: True})


class FrameFeed:
    """Checks frames and turns them into inputs, for one model.

    Args:
        spec: The model.

    Raises:
        SpecError: Frames cannot become its inputs: a call, an unknown unit, a shape without room.
    """

    def __init__(self, spec: ModelSpec) -> None:
        if not spec.feed.streams:
            raise SpecError(
                "a model that takes a stream of frames",
                f"{spec.name}, whose feed is a call of {[one.name for one in spec.inputs]}",
                "Call it with all its arrays: client.call(model, ...) or engine.run({...})",
            )
        self.spec = spec
        self.feed: Feed = spec.feed
        self.layouts = {one.name: frame_layout(one, spec.feed) for one in spec.frame_inputs}
        self._tensors = {one.name: one for one in spec.frame_inputs}
        self._sized: tuple[tuple[int, ...], dict[str, int]] = ((), {})
        sizes = {layout.size for layout in self.layouts.values()}
        if len(sizes) > 1:
            raise SpecError(
                f"{spec.name}: frame inputs of one size",
                ", ".join(one.describe_shape() for one in spec.frame_inputs),
            )

    @property
    def keeps_reference(self) -> bool:
        """Whether the model sees a reference frame."""
        return self.feed.kind == FeedKind.REFERENCE or (
            self.feed.kind == FeedKind.WINDOW and len(self.feed.inputs) == 2
        )

    # -- frames ------------------------------------------------------------------------------------

    def checked(self, frame: np.ndarray, before: FeedState | None) -> np.ndarray:
        """The frame as f32 of its own, if the model and the stream can take it.

        Raises:
            FrameError: Type, rank, size or a value does not fit.
        """
        size = "D, H, W" if self.feed.volume else "H, W"
        wanted = f"a grey frame, uint8 or float32 [{size}]"
        if not isinstance(frame, np.ndarray):
            raise FrameError(wanted, type(frame).__name__)
        frame = native(frame)
        if frame.ndim != self.feed.rank or frame.dtype not in _FRAME_TYPES:
            remedy = (
                "Send one volume at a time, as an array of its slices."
                if self.feed.volume
                else "Convert colour to grey levels, and send one frame at a time."
            )
            if frame.ndim == self.feed.rank and frame.dtype.kind in "uifb":
                low, high = self.feed.grey
                remedy = (
                    f"Convert it to float32 and scale it to {low:g}..{high:g}: a 16-bit frame is "
                    f"divided by its own white level, then multiplied by {high:g}."
                )
            raise FrameError(wanted, f"{frame.dtype} {list(frame.shape)}", remedy)
        if before is not None and frame.shape != before.last.shape:
            raise FrameError(
                f"a frame of {_words(before.last.shape)}, as the frames before",
                _words(frame.shape),
                "Open a new stream after a change of depth or probe.",
            )
        if before is None:
            self.require_size(frame.shape)
        image = frame.astype(np.float32)  # a copy: the caller's memory may be a ring's slot
        self._check_values(frame, image, None if before is None else before.last)
        return image

    def require_size(self, shape: tuple[int, ...]) -> None:
        """Raise `FrameError` unless the model takes frames of `shape`."""
        layout = next(iter(self.layouts.values()))
        if reason := accepts_frame(layout, shape):
            wanted, _, got = reason.rpartition(", not ")
            raise self._wrong_size(f"{wanted} pixels, which {self.spec.name} takes", got)
        self.image_sizes(shape)

    def _wrong_size(self, wanted: str, got: object) -> FrameError:
        remedy = (
            "Pad a smaller volume with black voxels (cineflow.cine.padded); crop or resample a "
            "larger one."
            if self.feed.volume
            else "Resize or pad the frame first: cineflow.cine.fit_to keeps the geometry."
        )
        return FrameError(wanted, str(got), remedy)

    def _check_values(self, frame: np.ndarray, image: np.ndarray, last: np.ndarray | None) -> None:
        low, high = self.feed.grey
        if frame.dtype == np.uint8 and low <= 0 and high >= 255:
            return
        least, most = float(image.min()), float(image.max())
        if frame.dtype == np.float32 and not np.isfinite(least + most):
            count = int((~np.isfinite(image)).sum())
            raise FrameError("finite grey levels", f"{count} NaN or infinite values")
        if least < low or most > high:
            raise FrameError(
                f"grey levels from {low:g} to {high:g}",
                f"values from {least:g} to {most:g}",
                f"Scale the frames to {low:g}..{high:g}, or state their range in the spec's feed: "
                "Feed(..., grey=(lowest, highest)).",
            )
        scaled = frame.dtype == np.float32 and high >= 255 and 0 < most <= 1
        if scaled and (last is None or not last.any()):  # black frames do not show their scale
            raise FrameError(
                f"grey levels from {low:g} to {high:g}",
                f"a first frame whose highest value is {most:g}: it looks scaled to 0..1",
                f"Multiply float frames by {high:g}.",
            )

    # -- inputs ------------------------------------------------------------------------------------

    def inputs(
        self,
        before: FeedState | None,
        image: np.ndarray,
        renew: bool,
        there: Held | None = None,
    ) -> tuple[dict[str, np.ndarray] | None, FeedState, str]:
        """What the model sees with this frame.

        Args:
            before: The state before this frame; None for the first.
            image: The frame, as `checked` returns it.
            renew: Whether this frame is a new reference.
            there: The frame as it came, on a card. What a model of one frame or of a pair sees is
                then made there.

        Returns:
            The frame inputs by name, or None where the model does not run for this frame; the state
            after it; why the model does not run, in words.
        """
        kind = self.feed.kind
        reference = None
        if self.keeps_reference:
            reference = image if before is None or renew else before.reference
        after = FeedState(last=image, reference=reference)
        if kind == FeedKind.FRAME or self.feed.remembered:
            seen: Any = image if there is None else there
            return self._placed([[seen]]), after, ""
        if kind == FeedKind.PAIR:
            if before is None:
                return None, after, "the first frame has no frame before it"
            pair: list[Any] = [before.last, image]
            if there is not None:
                pair = [before.there if stays(before.there) else before.last, there]
            return self._placed(self._split(pair)), after, ""
        assert reference is not None or kind == FeedKind.WINDOW
        if kind == FeedKind.REFERENCE:
            assert reference is not None
            return self._placed(self._split([reference, image])), after, ""
        return self._window(before, image, after)

    def _window(
        self, before: FeedState | None, image: np.ndarray, after: FeedState
    ) -> tuple[dict[str, np.ndarray] | None, FeedState, str]:
        frames = [*(before.window if before is not None else ()), image]
        since = None if before is None or before.since_run is None else before.since_run + 1
        length, hop = self.feed.length, self.feed.hop
        kept = tuple(frames[-(length - 1) :]) if length > 1 else ()
        after = replace(after, window=kept, since_run=since)
        if len(frames) < length:
            return None, after, f"the window has {len(frames)} of its {length} frames"
        if since is not None and since < hop:
            return None, after, f"the window moves on by {hop} frames; {hop - since} to go"
        groups = [frames] if after.reference is None else [[after.reference], frames]
        return self._placed(groups), replace(after, since_run=0), ""

    def _split(self, frames: list[np.ndarray]) -> list[list[np.ndarray]]:
        return [frames] if self.feed.stacked else [[frame] for frame in frames]

    def _placed(self, groups: list[list[np.ndarray]]) -> dict[str, np.ndarray]:
        return {
            name: place(frames, layout, self._tensors[name].dtype)
            for (name, layout), frames in zip(self.layouts.items(), groups, strict=True)
        }

    def image_sizes(self, shape: tuple[int, ...]) -> dict[str, int]:
        """Sizes of the dynamic axes for frames of `shape`, by name.

        Raises:
            FrameError: One axis would have two sizes: the model takes square frames only.
        """
        if shape == self._sized[0]:  # a stream has frames of one size
            return dict(self._sized[1])
        sizes: dict[str, int] = {}
        for tensor in self._tensors.values():
            layout = self.layouts[tensor.name]
            leading = tensor.shape[: len(tensor.shape) - len(shape)]
            for position, dim in enumerate(leading):
                if isinstance(dim, Axis):
                    at_time = position == layout.time_axis
                    sizes[dim.name] = self.feed.frames_of(tensor.name) if at_time else 1
            labels = ("depth", "height", "width")[-len(shape) :]
            for label, dim, size in zip(labels, layout.size, shape, strict=True):
                if mismatch(dim, size, sizes):
                    axis = root_axis(dim)
                    assert axis is not None  # a fixed size was compared before
                    raise self._wrong_size(
                        f"a {label} of {size_of(dim, sizes)} pixels, because {axis.name} is "
                        f"{sizes[axis.name]} for {self.spec.name}",
                        size,
                    )
        self._sized = shape, dict(sizes)
        return sizes


def place(frames: list[Any], layout: FrameLayout, dtype: str) -> Any:
    """Frames of grey levels as one input of a model: scaled, in its layout and dtype.

    Args:
        frames: f32, in host memory; or some of them u8 or f32 and held on a card, where the input
            is then made.
        layout: Of the input.
        dtype: Of the input.
    """
    if any(map(stays, frames)):
        return run_there(
            lambda *there: place([one.astype(np.float32) for one in there], layout, dtype), frames
        )
    values = frames[0][None] if len(frames) == 1 else np.stack(frames)
    if (layout.scale, layout.offset) != (1.0, 0.0):
        values = values * np.float32(layout.scale) + np.float32(layout.offset)
    shape = [1] * layout.rank
    shape[layout.rank - len(layout.size) :] = values.shape[1:]
    if layout.time_axis is not None:
        shape[layout.time_axis] = len(frames)
    placed = values.reshape(shape)
    if layout.channels > 1:
        assert layout.channel_axis is not None
        placed = np.repeat(placed, layout.channels, axis=layout.channel_axis)
    if dtype == "float32":
        return placed
    kind = np.dtype(dtype)
    if kind.kind in "ui":
        bounds = np.iinfo(kind)
        placed = np.clip(np.rint(placed), bounds.min, bounds.max)
    return placed.astype(kind)


def given_arrays(
    tensors: tuple[TensorSpec, ...],
    given: Mapping[str, np.ndarray],
    sizes: dict[str, int],
    when: str,
) -> dict[str, np.ndarray]:
    """The given inputs of a stream, checked against the spec.

    Args:
        tensors: The inputs that are given now.
        given: Arrays by name.
        sizes: Sizes of the dynamic axes so far; new ones are added.
        when: For messages: "with the first frame", "with each frame".

    Raises:
        FrameError: One is missing, unknown, of the wrong dtype or shape, or not finite.
    """
    names = [tensor.name for tensor in tensors]
    if sorted(given) != sorted(names):
        raise FrameError(
            f"the inputs {names} {when}" if names else f"no given inputs {when}",
            f"{sorted(given)}",
            "Give each of them once: given={name: array}",
        )
    arrays = {}
    for tensor in tensors:
        array = native(np.array(given[tensor.name]))  # a copy of its own
        try:
            tensor.check(array, sizes)
        except ArgumentError as error:
            raise FrameError(error.wanted, error.got, error.remedy) from error
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FrameError(
                f"{tensor.name}: finite values",
                "NaN or infinite values",
                "Give a number for every value.",
            )
        arrays[tensor.name] = array
    return arrays


def zero_states(spec: ModelSpec, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """What a model carries before its first run, by state name."""
    return {
        state.name: np.zeros([size_of(dim, sizes) for dim in state.shape], state.dtype)
        for state in spec.states
    }


def _words(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
