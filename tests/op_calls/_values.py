"""Random values, memory layouts and options that several rows share."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias
from unittest import mock

import numpy as np

Inputs: TypeAlias = dict[str, np.ndarray]
Options: TypeAlias = dict[str, Any]
Shape: TypeAlias = tuple[int, int, int, int]
Pick: TypeAlias = Callable[[Sequence[Any]], Any]
Sides: TypeAlias = tuple[range, range]

F32 = ("float32",)
FLOATS = ("float32", "float16", "bfloat16")
IMAGES = (*FLOATS, "uint8")
BORDERS = ("zeros", "clamp")

#: Heights and widths of random images and grids.
SIDES: Sides = (range(1, 13), range(1, 41))

#: Depths of random volumes, and that of a typical one.
DEPTHS = range(1, 6)
DEPTH = 3

#: Coordinates that are not finite, far outside, or on an edge.
NASTY = np.float32([np.nan, np.inf, -np.inf, 1e20, -1e20, 3.4e38, -1.0, -0.5, 0.0, 0.5])

#: Pixels that are not finite, in every float storage type.
HOLES = np.float32([np.nan, np.inf, -np.inf])

#: Relative rounding of a result in its storage type; f32's is that of a sum of products.
ROUNDING = {"float32": 1e-6, "float16": 2**-11 * 1.01, "bfloat16": 2**-8 * 1.01, "uint8": 0.0}

#: Values that `border` refuses.
WRONG_BORDERS = (3, np.ones(3))


def zeros(*shape: int, dtype: str = "float32") -> np.ndarray:
    """An array of zeros."""
    return np.zeros(shape, dtype)


def images(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Grey levels: whole numbers that every storage type holds exactly."""
    return rng.integers(0, 256, shape).astype(np.float32)


def features(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Small whole numbers: the sums of their products are exact in f32."""
    return rng.integers(-8, 9, shape).astype(np.float32)


def nasty(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """`values` with a tenth of them huge, on an edge, or not finite."""
    chosen = rng.random(values.shape) < 0.1
    values = values.astype(np.float32)
    values[chosen] = rng.choice(NASTY, int(chosen.sum()))
    return values


def holed(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """`values` with one in thirty infinite or NaN."""
    chosen = rng.random(values.shape) < 1 / 30
    return np.where(chosen, rng.choice(HOLES, values.shape), values)


def motion(rng: np.random.Generator, batch: int, size: tuple[int, ...]) -> np.ndarray:
    """A few pixels of motion [N, 2, h, w] or [N, 3, d, h, w], some of it nasty."""
    values = rng.normal(0, 4, (batch, len(size), *size))
    if len(size) == 3:
        values[:, 2] /= 3  # volumes of the tests are thin
    return nasty(rng, values)


def pick_grid(pick: Pick, sides: Sides) -> tuple[int, int] | None:
    """Height and width of a flow's grid; None for the image's own."""
    return (pick(sides[0]), pick(sides[1])) if pick((False, True)) else None


def pick_volume_grid(pick: Pick, sides: Sides) -> tuple[int, int, int] | None:
    """Depth, height and width of a flow's grid; None for the volume's own."""
    grid = pick_grid(pick, sides)
    return grid and (pick(DEPTHS), *grid)


def deep(shape: Shape, options: Options) -> tuple[int, ...]:
    """The shape of a volume with the sides of an image and the option "depth", which is removed."""
    batch, channels, *sides = shape
    return (batch, channels, options.pop("depth"), *sides)


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values with other strides. `array` is [N, C, H, W] or [N, C, D, H, W], or [M, 2],
    which has neither channels nor rows.

    Two layouts change the values: "broadcast" repeats channel 0, and "stretched" puts rows 2^31
    elements apart, so that nothing may be read.
    """
    if array.ndim < 4 and layout in ("channels_last", "broadcast", "stretched"):
        return array
    if layout == "channels_last":
        return np.moveaxis(np.moveaxis(array, 1, -1).copy(), -1, 1)
    if layout == "transposed":
        return array.swapaxes(-1, -2).copy().swapaxes(-1, -2)
    if layout == "reversed":
        return array[..., ::-1, ::-1].copy()[..., ::-1, ::-1]
    if layout == "gapped":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if layout == "broadcast":
        steps = list(array.strides)
        steps[1] = 0
        return np.lib.stride_tricks.as_strided(array, array.shape, steps)
    if layout == "stretched":
        steps = (*[0] * (array.ndim - 2), 2**31 * array.itemsize, array.itemsize)
        return np.lib.stride_tricks.as_strided(array, array.shape, steps)
    return array


@contextlib.contextmanager
def sampling_aside(aside: tuple[float, ...]) -> Iterator[None]:
    """Move the coordinates at which the reference samples, clamped ones on both sides of the edge.

    A neighbour of weight 0 then changes the result on one of the diagonal sides.
    """

    def moved(position: Sequence[float], sizes: Sequence[int], border: str) -> list[float]:
        if border == "clamp" and all(map(math.isfinite, position)):
            pairs = zip(position, sizes, strict=True)
            position = [min(max(one, 0.0), size - 1.0) for one, size in pairs]
        return [one + step for one, step in zip(position, aside, strict=True)]

    def in_plane(plane: np.ndarray, x: float, y: float, border: str) -> float:
        return float(sample(plane, *moved((x, y), plane.shape[::-1], border), "zeros"))

    def in_volume(volume: np.ndarray, position: Sequence[float], border: str) -> np.ndarray:
        found: np.ndarray = sample_volume(
            volume, moved(position, volume.shape[:0:-1], border), "zeros"
        )
        return found

    if not any(aside):
        yield
        return
    users = [
        sys.modules[f"cineflow.reference.{name}"]
        for name in ("warp", "correlation_pyramid", "patch_correlation", "polar", "scan_convert")
    ]
    sample, sample_volume = users[0].sample, users[0].sample_volume
    with contextlib.ExitStack() as patches:
        for user in users:
            patches.enter_context(mock.patch.object(user, "sample", in_plane))
            if hasattr(user, "sample_volume"):
                patches.enter_context(mock.patch.object(user, "sample_volume", in_volume))
        yield
