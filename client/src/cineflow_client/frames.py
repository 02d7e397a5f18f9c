"""Checks on what is sent, so that bad input costs no round trip."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from cineflow_client.card_array import CardArray
from cineflow_client.cuda_arrays import Picture, array_of
from cineflow_client.errors import CineflowClientError, FrameRejected
from cineflow_client.metadata import ModelInfo
from cineflow_client.padding import Padding
from cineflow_client.served import LAST_INDEX
from cineflow_client.shapes import describe_shape, fits


def checked_frame(
    frame: Picture,
    model: ModelInfo,
    stream_size: tuple[int, ...] | None,
    *,
    dark: bool,
) -> np.ndarray | CardArray:
    """The frame, C-contiguous, if the model and the stream can take it.

    One on a card is still there. Its producer has written it, and its values are checked when they
    are copied.

    Args:
        frame: Grey levels, uint8 or float32 [H, W], or [D, H, W] for models of volumes.
        model: The model that will take it.
        stream_size: Sizes of the stream's frames so far; None before the first.
        dark: Whether every frame of the stream so far was black; True before the first.

    Raises:
        FrameRejected: Rank, type or size do not fit, or a value is not finite or out of range.
        CardUnavailable: The frame's card or its driver does not work.
    """
    array = _native(array_of(frame))
    sizes = "D, H, W" if model.frame_rank == 3 else "H, W"
    low, high = model.spec["feed"]["grey"]
    if array.ndim != model.frame_rank:
        raise FrameRejected(
            f"a grey frame [{sizes}]",
            f"{array.dtype} {list(array.shape)}",
            "Send one volume at a time, as an array of its slices."
            if model.frame_rank == 3
            else "Convert colour to grey levels, and send one frame at a time.",
        )
    if array.dtype not in (np.uint8, np.float32):
        raise FrameRejected(
            f"uint8 or float32 grey levels {low:g}..{high:g}",
            str(array.dtype),
            f"Convert it to float32 and scale it to {low:g}..{high:g}: a 16-bit frame is divided "
            f"by its own white level, then multiplied by {high:g}.",
        )
    if stream_size is not None and array.shape != stream_size:
        raise FrameRejected(
            f"a frame of {_words(stream_size)} pixels, as the stream's frames before",
            _words(array.shape),
            "After a change of depth or probe, close this stream and open a new one.",
        )
    if stream_size is None:
        model.axis_sizes(Padding(model, array.shape).size)
    if isinstance(array, CardArray):
        array.check(partial(_check_values, low=low, high=high, dark=dark), notes_light=dark)
        array.wait()
        return array
    _check_values(array, low, high, dark=dark)
    return np.ascontiguousarray(array)


def _check_values(array: np.ndarray, low: float, high: float, *, dark: bool) -> None:
    """As the server checks them, so that a wrong scale costs no round trip."""
    if array.dtype == np.uint8 and low <= 0 and high >= 255:
        return
    least, most = float(array.min()), float(array.max())
    if not math.isfinite(least + most):  # NumPy's extremes are NaN where a value is
        bad = np.argwhere(~np.isfinite(array))
        y, x = bad[0][-2:]
        raise FrameRejected(
            "finite grey levels",
            f"{len(bad)} NaN or infinite values, the first at x {x}, y {y}",
            "Replace them (np.nan_to_num) or leave the frame out.",
        )
    if least < low or most > high:
        raise FrameRejected(
            f"grey levels from {low:g} to {high:g}",
            f"values from {least:g} to {most:g}",
            f"Scale the frames to {low:g}..{high:g}, the range that the model's spec declares.",
        )
    if dark and array.dtype == np.float32 and high >= 255 and 0 < most <= 1:
        raise FrameRejected(
            f"grey levels from {low:g} to {high:g}",
            f"a first frame whose highest value is {most:g}: it looks scaled to 0..1",
            f"Multiply float frames by {high:g}.",
        )


def require_numbers(index: object, beat: object, time_ms: object) -> None:
    """Raise `FrameRejected` unless a frame's index, beat and time are of their types, or None.

    The server checks that index and time grow. A value of a wrong type would be converted on its
    way there (1.7 to 1), and the server could not notice.
    """
    if index is not None and (
        isinstance(index, bool)
        or not isinstance(index, (int, np.integer))
        or not 0 <= int(index) <= LAST_INDEX
    ):
        raise FrameRejected(
            f"a whole frame index from 0 to {LAST_INDEX}",
            repr(index),
            "Count the frames, or leave the index out: the server counts then.",
        )
    if beat is not None and not isinstance(beat, (bool, np.bool_)):
        raise FrameRejected(
            "a beat of True, False or None",
            repr(beat),
            "True: an R wave came with this frame. None: there are no triggers.",
        )
    number = isinstance(time_ms, (int, float, np.integer, np.floating))
    if time_ms is not None and not (number and _finite(time_ms)):
        raise FrameRejected(
            "a finite time_ms",
            repr(time_ms),
            "Give the time in milliseconds as a number, with every frame or with none.",
        )


def checked_arrays(
    model: str,
    tensors: Sequence[Mapping[str, Any]],
    arrays: Mapping[str, Any],
    sizes: dict[str, int],
) -> dict[str, np.ndarray]:
    """Named arrays, C-contiguous, if they are what the spec's tensors want.

    Args:
        model: Its name, for messages.
        tensors: The inputs of the spec that are sent now.
        arrays: Arrays by name.
        sizes: Sizes of the dynamic axes so far, by name; new ones are added.

    Raises:
        FrameRejected: A name is unknown or missing, or a dtype, a shape or a value does not fit.
        CardUnavailable: An array is on a card, which or whose driver does not work.
    """
    names = [tensor["name"] for tensor in tensors]
    if sorted(arrays) != sorted(names):
        raise FrameRejected(
            f"the inputs {names} of {model}" if names else f"no further inputs for {model}",
            f"{sorted(arrays)}",
            "Give each of them once, by its name.",
        )
    checked = {}
    for tensor in tensors:
        array = _native(array_of(arrays[tensor["name"]]))
        shape = tensor["shape"]
        known = dict(sizes)
        right = array.ndim == len(shape) and all(
            fits(dim, size, known) for dim, size in zip(shape, array.shape, strict=True)
        )
        if not right or array.dtype.name != tensor["dtype"]:
            so_far = "".join(f", with {name} = {size}" for name, size in sizes.items())
            raise FrameRejected(
                f"{tensor['name']}: {tensor['dtype']} [{describe_shape(shape)}] in "
                f"{tensor['unit']}{so_far}",
                f"{array.dtype.name} {list(array.shape)}",
                f"np.asarray(..., np.{tensor['dtype']}) sets the type."
                if right
                else "Give the axes in this order, each with a size that the model takes.",
            )
        array = array.copy() if isinstance(array, CardArray) else array
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise FrameRejected(
                f"{tensor['name']}: finite values",
                "NaN or infinite values",
                "Give a number for every value.",
            )
        sizes.update(known)
        checked[tensor["name"]] = np.ascontiguousarray(array)
    return checked


def _native(array: np.ndarray | CardArray) -> np.ndarray | CardArray:
    """The array in this machine's byte order, which the wire has; DICOM and NIfTI bring others."""
    if isinstance(array, CardArray):
        return array
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _finite(number: Any) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number that no float can hold
        return False


def _words(size: tuple[int, ...]) -> str:
    axes = " x ".join(("depth", "height", "width")[-len(size) :])
    return f"{'x'.join(map(str, size))} ({axes})"


def checked_spacing(spacing_mm: tuple[float, ...], rank: int) -> np.ndarray:
    """The size of a pixel as the wire has it. Raises `CineflowClientError` unless it is one."""
    try:
        array = np.asarray(spacing_mm, np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != (rank,) or not (np.isfinite(array).all() and (array > 0).all()):
        raise CineflowClientError(
            f"a spacing of {rank} positive numbers, (row, column) or (slice, row, column) in mm",
            repr(spacing_mm),
            "Leave it out without a calibration: lengths are in pixels then.",
        )
    return array
