"""Scan conversion: the lines of a probe to a Cartesian image or volume, and back."""

from __future__ import annotations

import sys
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
from cineflow.ops.volume_probe import VolumeGeometry, flow_to_samples
from cineflow.ops.warp import warp

#: Where the lines of an image lie, or the planes of a volume.
Geometry = ProbeGeometry | VolumeGeometry


def scan_convert(
    src: Array,
    geometry: Geometry,
    size: tuple[int, ...],
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    to_bytes: bool = False,
    out: Array | None = None,
) -> Array:
    """The Cartesian image or volume of a probe's lines, linear between lines, samples and planes.

    The sector ends sharply at its first and last line and sample, and a pyramid also at its first
    and last plane: see `scan_mask`.

    Args:
        src: Lines [N, C, L, S] of a `ProbeGeometry`, or planes of lines [N, C, P, L, S] of a
            `VolumeGeometry`, any strides; float32, float16, bfloat16 or uint8.
        geometry: Where they lie.
        size: (H, W) of the Cartesian image, or (D, H, W) of the volume.
        scale: Factor of the result; 1 / 255 normalises uint8 lines in the same pass.
        offset: Added to the result, so it is the value outside of the sector.
        to_bytes: Whether the result is uint8: rounded to the nearest level, ties to even, and
            clamped to 0..255; NaN gives 0.
        out: Where to write. It may not overlap `src`. Its dtype is that of the result, so it must
            be uint8 with `to_bytes`.

    Returns:
        [N, C, H, W] or [N, C, D, H, W] in `src`'s dtype (float32 for uint8), or uint8: `out` if it
        was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps `src`.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    _require_geometry(geometry)
    plane = geometry.plane if isinstance(geometry, VolumeGeometry) else geometry
    shape = geometry.shape
    require_array("src", src, _LINES if len(shape) == 2 else _PLANES)
    if tuple(src.shape[2:]) != shape:
        raise ArgumentError(
            f"src of shape [N, C, {', '.join(map(str, shape))}], the geometry's",
            f"shape {list(src.shape)}",
        )
    _require_size(size, len(shape))
    scale, offset = real("scale", scale), real("offset", offset)
    if not isinstance(to_bytes, (bool, np.bool_)):
        raise ArgumentError("to_bytes as True or False", repr(to_bytes))
    if to_bytes and out is not None and not str(getattr(out, "dtype", "")).endswith("uint8"):
        raise ArgumentError("out of uint8 with to_bytes", str(getattr(out, "dtype", type(out))))
    numbers = (*plane.apex, *plane.steps, scale, offset, bool(to_bytes))
    arguments = (src, *size[-2:], *numbers)
    if isinstance(geometry, VolumeGeometry):
        arguments += (size[0], *geometry.axis, *geometry.tilts)
    return run(_scan_convert, *arguments, out=out)


def scan_mask(geometry: Geometry, size: tuple[int, ...]) -> np.ndarray:
    """Where `scan_convert` samples: the sector in the image, or the pyramid in the volume.

    Args:
        geometry: Where the lines lie.
        size: (H, W) of the Cartesian image, or (D, H, W) of the volume.

    Returns:
        bool [H, W] or [D, H, W].

    Raises:
        ArgumentError: An argument is of the wrong kind, or the image is too large.
    """
    _require_geometry(geometry)
    ones = np.broadcast_to(np.uint8(1), (1, 1, *geometry.shape))
    inside: np.ndarray = scan_convert(ones, geometry, size, to_bytes=True)[0, 0] > 0
    return inside


def scan_unconvert(
    src: Array,
    geometry: Geometry,
    *,
    scale: float = 1.0,
    offset: float = 0.0,
    out: Array | None = None,
) -> Array:
    """The lines of a probe from a Cartesian image or volume: the inverse of `scan_convert`.

    Of images it is `polar_resample` around the apex, of volumes `warp` along a flow that is kept
    for the last two geometries. Neighbours outside count 0.

    Args:
        src: Cartesian images [N, C, H, W] or volumes [N, C, D, H, W], any strides; dtypes as in
            `scan_convert`.
        geometry: Where the lines lie.
        scale: Factor of the result.
        offset: Added to the result, so it is the value outside of the image.
        out: Where to write. It may not overlap `src`.

    Returns:
        [N, C, L, S] or [N, C, P, L, S] in `src`'s dtype (float32 for uint8): `out` if it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps `src`.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.
    """
    _require_geometry(geometry)
    if isinstance(geometry, VolumeGeometry):
        return _planes_of(src, geometry, scale, offset, out)
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


def _planes_of(
    src: Array, geometry: VolumeGeometry, scale: float, offset: float, out: Array | None
) -> Array:
    kind = require_array("src", src, "[N, C, D, H, W]")
    scale, offset = real("scale", scale), real("offset", offset)
    library: Any = sys.modules[kind]
    flow: Any = flow_to_samples(geometry)
    if kind == "torch":
        flow = library.from_numpy(flow).to(src.device)
    elif kind == "cupy":
        with src.device:
            flow = library.asarray(flow)
    planes = warp(src, library.broadcast_to(flow, (len(src), *flow.shape[1:])), out=out)
    if scale != 1.0:
        planes *= scale
    if offset != 0.0:
        planes += offset
    return planes


def _require_geometry(geometry: Geometry) -> None:
    if not isinstance(geometry, (ProbeGeometry, VolumeGeometry)):
        raise ArgumentError(
            "geometry as a cineflow.ops.ProbeGeometry or VolumeGeometry", type(geometry).__name__
        )


def _require_size(size: tuple[int, ...], axes: int) -> None:
    if not isinstance(size, tuple) or len(size) != axes or not all(map(is_whole, size)):
        count, form = ("two", "(H, W)") if axes == 2 else ("three", "(D, H, W)")
        raise ArgumentError(f"size as {count} whole numbers, {form}", repr(size))
    require_sides("out", size)  # first, because torch's dispatcher takes 64-bit sizes only
    if min(size) < 0:
        raise ArgumentError("a size of 0 pixels or more", " x ".join(map(str, size)))


def _allocate(src: Array, rows: int, columns: int, *numbers: Any) -> Array:
    to_bytes = len(numbers) > _TO_BYTES and numbers[_TO_BYTES]
    slices = numbers[_SLICES] if len(numbers) > _SLICES else 0
    sides: tuple[int, ...] = (rows, columns)
    if src.ndim == 5:
        sides = (slices, *sides)
    elif slices != 0:
        require_array("src", src, _PLANES)
    return empty_output(src, (src.shape[0], src.shape[1], *sides), to_bytes=to_bytes)


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
    slices: int = 0,
    axis_y: float = 0.0,
    axis_z: float = 0.0,
    first_tilt: float = 0.0,
    tilt_step: float = 1.0,
) -> None:
    steps = (first_angle, angle_step, first_radius, radius_step)
    tilts = (axis_y, axis_z, first_tilt, tilt_step)
    stream = current_stream(src)
    _C.scan_convert(src, out, apex_x, apex_y, *steps, scale, offset, *tilts, stream)


_LINES = "[N, C, lines, samples]"
_PLANES = "[N, C, planes, lines, samples]"
#: Arguments of the schema between the columns and `to_bytes`, and `slices`.
_TO_BYTES, _SLICES = 8, 9
_scan_convert = Operator(
    "scan_convert(Tensor src, SymInt rows, SymInt columns, float apex_x, float apex_y,"
    " float first_angle, float angle_step, float first_radius, float radius_step,"
    " float scale, float offset, bool to_bytes=False, SymInt slices=0, float axis_y=0.0,"
    " float axis_z=0.0, float first_tilt=0.0, float tilt_step=1.0) -> Tensor",
    {"src": _LINES},
    _allocate,
    _fill,
    {"src": _PLANES},
)
