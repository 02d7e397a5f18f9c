"""Feed: how the frames of a stream reach a model's inputs.

    frame      each frame by itself
    pair       previous and current frame
    reference  reference and current frame; the reference is renewed at each beat
    window     the last T frames, every `hop` frames; with two inputs the reference comes first
    call       no frames: named arrays of one study, all at once

Frames are pushed as grey levels. The feed says in which unit, with how many channels and at which
axes the model wants them; `cineflow.runtime.feed` converts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from cineflow.errors import SpecError
from cineflow.spec.axes import Axis, Dim, describe_dim
from cineflow.spec.checks import as_tuple, is_whole, require_text, require_texts
from cineflow.spec.tensors import TensorSpec

#: Grey levels that 8-bit frames have.
GREY = (0.0, 255.0)

#: Range that the feed's grey levels are mapped to, by the unit of a frame input.
FRAME_UNITS = {"grey level": None, "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}


class FeedKind(str, Enum):
    """Which frames a model sees at once."""

    FRAME = "frame"
    PAIR = "pair"
    REFERENCE = "reference"
    WINDOW = "window"
    CALL = "call"


@dataclass(frozen=True)
class Feed:
    """How frames reach the model.

    Attributes:
        kind: "frame", "pair", "reference", "window" or "call".
        inputs: Names of the inputs that take frames: one for frame; two for pair (previous,
            current) and reference (reference, current), or one that takes both along `time_axis`,
            or one that takes the current frame alone, without a `time_axis`: the model then keeps
            what it needs of the other frame in its state; one for window, or two (reference,
            window); none for call.
        volume: Whether a frame is a volume [D, H, W] and not an image [H, W].
        length: T, the frames of a window.
        hop: Frames from one window's result to the next.
        latency: Frames by which a window's result lags behind the newest frame.
        time_axis: Axis of the input that takes several frames: a window, or both frames of a pair.
        scale: Factor from grey levels to the input's values; None: its unit says it.
        offset: Added after `scale`; None: the unit says it.
        grey: Lowest and highest grey level of a frame; values outside are refused.
        at_start: Inputs that are given once, with the first frame (points, landmarks, spacing).
            Inputs that are neither frames nor named here are given with every frame.
    """

    kind: str
    inputs: tuple[str, ...] = ()
    volume: bool = False
    length: int = 1
    hop: int = 1
    latency: int = 0
    time_axis: int | None = None
    scale: float | None = None
    offset: float | None = None
    grey: tuple[float, float] = GREY
    at_start: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_text("a feed", kind=self.kind)
        require_texts("a feed", inputs=self.inputs, at_start=self.at_start)
        if not isinstance(self.volume, bool):
            raise SpecError("a feed with volume True or False", repr(self.volume))
        if self.time_axis is not None and not (is_whole(self.time_axis) and self.time_axis >= 0):
            raise SpecError(
                "a whole time_axis of 0 or more",
                repr(self.time_axis),
                "time_axis=1 for frames along the second axis of the input",
            )
        kinds = [kind.value for kind in FeedKind]
        if self.kind not in kinds:
            raise SpecError(f"a feed of {', '.join(kinds)}", repr(self.kind))
        object.__setattr__(self, "kind", FeedKind(self.kind).value)
        numbers = (self.length, self.hop, self.latency)
        if not all(map(is_whole, numbers)) or self.hop < 1 or not 0 <= self.latency < self.length:
            raise SpecError(
                "a feed with length >= 1, hop >= 1 and 0 <= latency < length",
                f"length {self.length!r}, hop {self.hop!r}, latency {self.latency!r}",
                "Frames count from the window's newest one, which has latency 0",
            )
        if self.kind != FeedKind.WINDOW and numbers != (1, 1, 0):
            raise SpecError(
                f"length, hop and latency with the feed window, not {self.kind}",
                f"length {self.length}, hop {self.hop}, latency {self.latency}",
            )
        one = self.kind in _PAIRED and len(self.inputs) == 1  # stacked, or of the current frame
        window = self.kind == FeedKind.WINDOW
        if window != (self.time_axis is not None) and not one:
            raise SpecError(
                "a time_axis exactly where one input takes several frames",
                f"feed {self.kind} with inputs {list(self.inputs)} and time_axis {self.time_axis}",
                "time_axis=1 for frames along the second axis of the input",
            )
        if len(self.inputs) not in _INPUTS[FeedKind(self.kind)]:
            raise SpecError(
                f"{_INPUT_WORDS[FeedKind(self.kind)]} for the feed {self.kind}",
                f"{list(self.inputs)}",
                'Name the inputs that take frames: inputs=("previous", "current")',
            )
        for name, value in (("scale", self.scale), ("offset", self.offset)):
            if value is not None and not _is_finite(value):
                raise SpecError(f"a finite {name}", repr(value))
        if self.scale == 0 or (self.offset is not None and self.scale is None):
            raise SpecError(
                "a scale other than 0, also where an offset is given",
                f"scale {self.scale!r}, offset {self.offset!r}",
            )
        if not (isinstance(self.grey, tuple) and len(self.grey) == 2):
            raise SpecError(
                "two grey levels of a frame, the lowest and the highest",
                repr(self.grey),
                "Feed(..., grey=(0, 255))",
            )
        low, high = self.grey
        if not (_is_finite(low) and _is_finite(high) and low < high):
            raise SpecError("grey levels from a lowest to a higher one", f"{low!r} to {high!r}")

    @property
    def rank(self) -> int:
        """Spatial axes of a frame: 2 or 3."""
        return 3 if self.volume else 2

    @property
    def stacked(self) -> bool:
        """Whether one input takes both frames of a pair or of reference and current."""
        return self.kind in _PAIRED and len(self.inputs) == 1 and self.time_axis is not None

    @property
    def remembered(self) -> bool:
        """Whether the model takes the current frame alone and keeps the other in its state."""
        return self.kind in _PAIRED and len(self.inputs) == 1 and self.time_axis is None

    @property
    def streams(self) -> bool:
        """Whether frames come one after the other; a call takes named arrays all at once."""
        return self.kind != FeedKind.CALL

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Feed:
        """Read back what `dataclasses.asdict` wrote."""
        lists = {key: as_tuple(item[key]) for key in ("inputs", "at_start", "grey") if key in item}
        return cls(**{**item, **lists})

    def frames_of(self, name: str) -> int:
        """Frames that the input `name` takes at once."""
        if self.kind == FeedKind.WINDOW:
            return self.length if name == self.inputs[-1] else 1
        return 2 if self.stacked else 1


#: Kinds with two frames.
_PAIRED = (FeedKind.PAIR, FeedKind.REFERENCE)

#: How many inputs may take frames.
_INPUTS = {
    FeedKind.FRAME: (1,),
    FeedKind.PAIR: (1, 2),
    FeedKind.REFERENCE: (1, 2),
    FeedKind.WINDOW: (1, 2),
    FeedKind.CALL: (0,),
}
_INPUT_WORDS = {
    FeedKind.FRAME: "one input",
    FeedKind.PAIR: "two inputs (or one for both frames, or for the current one)",
    FeedKind.REFERENCE: "two inputs (or one for both frames, or for the current one)",
    FeedKind.WINDOW: "one input (or two: reference, window)",
    FeedKind.CALL: "no input",
}


@dataclass(frozen=True)
class FrameLayout:
    """Where the frames lie in one input.

    Attributes:
        rank: Axes of the input.
        time_axis: Axis of the frames; None where the input takes one.
        channel_axis: Axis of the channels; None without channels.
        channels: 1, or 3 copies of a grey frame.
        size: The frame's own axes: height and width, or depth, height and width.
        scale: From grey levels to the input's values.
        offset: Added after `scale`.
    """

    rank: int
    time_axis: int | None
    channel_axis: int | None
    channels: int
    size: tuple[Dim, ...]
    scale: float
    offset: float


def frame_layout(tensor: TensorSpec, feed: Feed) -> FrameLayout:
    """Where the frames of `feed` lie in the input `tensor`.

    Raises:
        SpecError: The shape has no place for the frames, or the unit is not one that grey levels
            can be converted to.
    """
    frames = feed.frames_of(tensor.name)
    time_axis = feed.time_axis if frames > 1 or tensor.name == feed.inputs[-1] else None
    leading = len(tensor.shape) - feed.rank
    channel_axis, channels = None, 1
    wrong = leading < 0 or (time_axis is not None and time_axis >= leading)
    for position, dim in enumerate(tensor.shape[: max(leading, 0)]):
        if position == time_axis:
            wrong |= not _admits(dim, frames)
        elif dim == 3 and channel_axis is None:
            channel_axis, channels = position, 3
        else:
            wrong |= not _admits(dim, 1)
    if wrong:
        size = "depth, height, width" if feed.volume else "height, width"
        time = f"{frames} frames at axis {time_axis}, " if time_axis is not None else ""
        raise SpecError(
            f"{tensor.name}: {time}1 or 3 channels, and {size} last",
            f"[{tensor.describe_shape()}]",
            "Reshape inside the model, or correct the feed (volume, time_axis, length)",
        )
    scale, offset = _conversion(tensor, feed)
    _require_room(tensor, feed, scale)
    return FrameLayout(
        rank=len(tensor.shape),
        time_axis=time_axis,
        channel_axis=channel_axis,
        channels=channels,
        size=tensor.shape[leading:],
        scale=scale,
        offset=offset,
    )


def _conversion(tensor: TensorSpec, feed: Feed) -> tuple[float, float]:
    """Scale and offset from grey levels to the values of a frame input."""
    if feed.scale is not None:
        return float(feed.scale), float(feed.offset or 0.0)
    if tensor.unit not in FRAME_UNITS:
        raise SpecError(
            f"{tensor.name}: frames in {', '.join(repr(unit) for unit in FRAME_UNITS)}, or a feed "
            "that says scale and offset",
            repr(tensor.unit),
            "Feed(..., scale=1 / 255) if the model wants grey levels divided by 255",
        )
    span = FRAME_UNITS[tensor.unit]
    if span is None:
        return 1.0, 0.0
    low, high = feed.grey
    scale = (span[1] - span[0]) / (high - low)
    return scale, span[0] - scale * low


def _require_room(tensor: TensorSpec, feed: Feed, scale: float) -> None:
    """Raise `SpecError` where the dtype rounds every frame to black and white."""
    span = abs(scale) * (feed.grey[1] - feed.grey[0])
    if tensor.dtype == "bool" or (np.dtype(tensor.dtype).kind in "ui" and span <= 2):
        raise SpecError(
            f"{tensor.name}: a dtype that can hold frames in {tensor.unit!r}",
            f"{tensor.dtype}, which rounds them to black and white",
            'float32, or the unit "grey level": convert inside the model',
        )


def _admits(dim: Dim, size: int) -> bool:
    return dim == size if isinstance(dim, int) else dim.accepts(size)


def _is_finite(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


def accepts_frame(layout: FrameLayout, shape: tuple[int, ...]) -> str:
    """Why a frame of `shape` does not fit, in words; "" where it fits."""
    labels = ("depth", "height", "width")[-len(layout.size) :]
    for label, dim, size in zip(labels, layout.size, shape, strict=True):
        if not _admits(dim, size):
            wanted = dim.describe() if isinstance(dim, Axis) else describe_dim(dim)
            return f"a {label} of {wanted}, not {size}"
    return ""
