"""Scan conversion: the lines of a probe to a Cartesian image, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from cineflow import _C
from cineflow.errors import ArgumentError
from cineflow.ops.arrays import (
    Array,
    current_stream,
    empty_output,
    require_array,
    require_sides,
)
from cineflow.ops.dispatch import run
from cineflow.ops.operator import Operator
from cineflow.ops.polar import PolarGrid, polar_resample
from cineflow.ops.probe import ProbeGeometry
from cineflow.ops.scalars import is_whole, real


def scan_convert(
    src: Array,
    geometry: ProbeGeometry,
    size: tuple[int, int],
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    to_bytes: bool = False,
    out: Array | None = None,
) -> Array:
    """The Cartesian image of the lines of a probe, bilinear between lines and samples.

    The sector ends sharply at its first and last line and sample: see `scan_mask`.

    Args:
        src: Lines [N, C, L, S] of `geometry`, any strides; float32, float16, bfloat16 or uint8.
        geometry: Where the lines lie.
        size: (H, W) of the Cartesian image.
        scale: Factor of the result; 1 / 255 normalises uint8 lines in the same pass.
        offset: Added to the result, so it is the value outside of the sector.
        to_bytes: Whether the result is uint8: rounded to the nearest level, ties to even, and
            clamped to 0..255; NaN gives 0.
        out: Where to write. It may not overlap `src`. Its dtype is that of the result, so it must
            be uint8 with `to_bytes`.

    Returns:
        [N, C, H, W] in `src`'s dtype (float32 for uint8), or uint8: `out` if it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps `src`.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    require_array("src", src, _LINES)
    _require_geometry(geometry)
    if tuple(src.shape[2:]) != (geometry.lines, geometry.samples):
        raise ArgumentError(
            f"src of shape [N, C, {geometry.lines}, {geometry.samples}], the geometry's",
            f"shape {list(src.shape)}",
        )
    _require_size(size)
    scale, offset = real("scale", scale), real("offset", offset)
    if not isinstance(to_bytes, (bool, np.bool_)):
        raise ArgumentError("to_bytes as True or False", repr(to_bytes))
    if to_bytes and out is not None and not str(getattr(out, "dtype", "")).endswith("uint8"):
        raise ArgumentError("out of uint8 with to_bytes", str(getattr(out, "dtype", type(out))))
    arguments = (src, *size, *geometry.apex, *geometry.steps, scale, offset, bool(to_bytes))
    return run(_scan_convert, *arguments, out=out)


def scan_mask(geometry: ProbeGeometry, size: tuple[int, int]) -> np.ndarray:
    """The sector in the Cartesian image: where `scan_convert` samples lines.

    Args:
        geometry: Where the lines lie.
        size: (H, W) of the Cartesian image.

    Returns:
        bool [H, W].

    Raises:
        ArgumentError: An argument is of the wrong kind, or the image is too large.
    """
    _require_geometry(geometry)
    ones = np.ones((1, 1, geometry.lines, geometry.samples), np.uint8)
    inside: np.ndarray = scan_convert(ones, geometry, size, to_bytes=True)[0, 0] > 0
    return inside


def scan_unconvert(
    src: Array,
    geometry: ProbeGeometry,
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    out: Array | None = None,
) -> Array:
    """The lines of a probe from a Cartesian image, bilinear: the inverse of `scan_convert`.

    It is `polar_resample` around the apex: neighbours outside of the image count 0.

    Args:
        src: Cartesian images [N, C, H, W], any strides; dtypes as in `scan_convert`.
        geometry: Where the lines lie.
        scale: Factor of the result.
        offset: Added to the result, so it is the value outside of the image.
        out: Where to write. It may not overlap `src`.

    Returns:
        [N, C, L, S] in `src`'s dtype (float32 for uint8): `out` if it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps `src`.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    _require_geometry(geometry)
    first_angle, angle_step, first_radius, radius_step = geometry.steps
    grid = PolarGrid(
        geometry.lines,
        geometry.samples,
        last_radius=first_radius + geometry.samples * radius_step,
        first_radius=first_radius,
        first_angle=first_angle,
        sweep=geometry.lines * angle_step,
    )
    return polar_resample(src, geometry.apex, grid, scale=scale, offset=offset, out=out)


def _require_geometry(geometry: ProbeGeometry) -> None:
    if not isinstance(geometry, ProbeGeometry):
        raise ArgumentError("geometry as a cineflow.ops.ProbeGeometry", type(geometry).__name__)


def _require_size(size: tuple[int, int]) -> None:
    if not isinstance(size, tuple) or len(size) != 2 or not all(map(is_whole, size)):
        raise ArgumentError("size as two whole numbers, (H, W)", repr(size))
    require_sides("out", size)  # first, because torch's dispatcher takes 64-bit sizes only
    if min(size) < 0:
        raise ArgumentError("a size of 0 x 0 pixels or more", f"{size[0]} x {size[1]}")


def _allocate(src: Array, rows: int, columns: int, *numbers: Any) -> Array:
    shape = (src.shape[0], src.shape[1], rows, columns)
    to_bytes = len(numbers) > _TO_BYTES and numbers[_TO_BYTES]
    return empty_output(src, shape, to_bytes=to_bytes)


def _fill(
    out: Array,
    src: Array,
    rows: int,
    columns: int,
    apex_x: float,
    apex_y: float,
    first_angle: float,
    angle_step: float,
    first_radius: float,
    radius_step: float,
    scale: float,
    offset: float,
    to_bytes: bool = False,
) -> None:
    steps = (first_angle, angle_step, first_radius, radius_step)
    _C.scan_convert(src, out, apex_x, apex_y, *steps, scale, offset, current_stream(src))


_LINES = "[N, C, lines, samples]"
_TO_BYTES = 8  # arguments of the schema between the size and this flag
_scan_convert = Operator(
    "scan_convert(Tensor src, SymInt rows, SymInt columns, float apex_x, float apex_y,"
    " float first_angle, float angle_step, float first_radius, float radius_step,"
    " float scale, float offset, bool to_bytes=False) -> Tensor",
    {"src": _LINES},
    _allocate,
    _fill,
)
