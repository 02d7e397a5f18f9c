"""Correlation of two feature maps as banded matrix products, which two bodies share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cineflow.export.ops._operator import Attribute, InputShapes, Shape
from cineflow.export.ops._text import F32

#: Attributes of an op that correlates `f1` with `f2`.
MATCH: dict[str, Attribute] = {"radius": 4, "dilation": 1, "scale": 1.0, "x_major": 0}

#: What the kernels take (csrc/core/include/cineflow/correlation.h).
MAX_RADIUS, MAX_DILATION = 32, 16

#: Pixels of one tile in the matrix products: the fastest of the widths that were tried
#: (benchmarks/export/correlation_forms.py has the table).
_TILE = 8

#: End of a Slice that takes everything.
_BEYOND = 2**31 - 1


def volume_shape(shapes: InputShapes, attributes: Mapping[str, Any]) -> Shape:
    """[N, (2r + 1)^2, H, W], or [N, (2r + 1)^3, D, H, W]."""
    n, _, *size = shapes["f1"]
    return (n, (2 * attributes["radius"] + 1) ** len(size), *size)


def products(shapes: InputShapes, out: Shape) -> int:
    """Multiply-adds of a correlation: one per channel and value."""
    return math.prod(out) * shapes["f1"][1]


def match(radius: int, dilation: int, x_major: int, axes: int = 2) -> str:
    """`out_f32` from `f1` and `f2_f32`, images or (3 axes) volumes.

    Raises:
        ValueError: The kernels refuse an argument as well.
    """
    if axes == 2:
        return _match_images(radius, dilation, x_major)
    return _match_volumes(radius, dilation, x_major)


def _match_volumes(radius: int, dilation: int, x_major: int) -> str:
    """Every pair of slices is a pair of images.

    `f1` is repeated for the 2r + 1 slices of `f2` that it is compared with. It is cast first,
    because ONNX Runtime expands no half precision. The correlation of these images gives the
    displacements along x and y. That along z is the number of the slice among the 2r + 1.
    """
    _require_known(radius, dilation, x_major)
    reach, side = radius * dilation, 2 * radius + 1
    shifted = "\n".join(
        f"""
  slices_from_{k} = Constant <value = int64[1] {{{k * dilation}}}> ()
  slices_to_{k} = Constant <value = int64[1] {{{_end(2 * reach - k * dilation)}}}> ()
  slices_{k} = Slice (f2_deeper, slices_from_{k}, slices_to_{k}, slice_axis)"""
        for k in range(side)
    )
    names = ", ".join(f"slices_{k}" for k in range(side))
    # From [N, along z, along the others, D, H, W]; the last displacement counts fastest.
    planes = "0, 2, 1, 3, 4, 5" if x_major else "0, 1, 2, 3, 4, 5"
    return f"""
  slice_axis = Constant <value = int64[1] {{2}}> ()
  volumes = Shape <start: int = 0, end: int = 1> (f1)
  depth = Shape <start: int = 2, end: int = 3> (f1)
  plane_shape = Shape <start: int = 3, end: int = 5> (f1)
  features = Shape <start: int = 1, end: int = 2> (f1)
  shifts = Constant <value = int64[1] {{{side}}}> ()
  pairs = Mul (volumes, shifts)
  images = Mul (pairs, depth)
  image_shape = Concat <axis: int = 0> (images, features, plane_shape)

  f1_single = Cast <to: int = {F32}> (f1)
  f1_once = Unsqueeze (f1_single, slice_axis)
  f1_shape_repeated = Concat <axis: int = 0> (volumes, features, shifts, depth, plane_shape)
  f1_repeated = Expand (f1_once, f1_shape_repeated)
  f1_by_pair = Transpose <perm: ints = [0, 2, 3, 1, 4, 5]> (f1_repeated)
  f1_images = Reshape <allowzero: int = 1> (f1_by_pair, image_shape)

  slices_outside = Constant <value = int64[10] {{0, 0, {reach}, 0, 0, 0, 0, {reach}, 0, 0}}> ()
  f2_deeper = Pad (f2_f32, slices_outside)
  {shifted}
  f2_joined_slices = Concat <axis: int = 2> ({names})
  f2_shape_by_pair = Concat <axis: int = 0> (volumes, features, shifts, depth, plane_shape)
  f2_split = Reshape (f2_joined_slices, f2_shape_by_pair)
  f2_by_pair = Transpose <perm: ints = [0, 2, 3, 1, 4, 5]> (f2_split)
  f2_images = Reshape <allowzero: int = 1> (f2_by_pair, image_shape)
  {_match_images(radius, dilation, x_major, "f1_images", "f2_images", "matched")}

  in_slice = Constant <value = int64[1] {{{side * side}}}> ()
  matched_shape = Concat <axis: int = 0> (volumes, shifts, depth, in_slice, plane_shape)
  matched_by_pair = Reshape (matched, matched_shape)
  in_order = Transpose <perm: ints = [0, 1, 3, 2, 4, 5]> (matched_by_pair)
  displaced = Transpose <perm: ints = [{planes}]> (in_order)
  displacements = Constant <value = int64[1] {{{side**3}}}> ()
  volume_shape = Concat <axis: int = 0> (volumes, displacements, depth, plane_shape)
  out_f32 = Reshape (displaced, volume_shape)"""


def _require_known(radius: int, dilation: int, x_major: int) -> None:
    if not (0 <= radius <= MAX_RADIUS and 1 <= dilation <= MAX_DILATION and x_major in (0, 1)):
        raise ValueError(f"radius {radius}, dilation {dilation}, x_major {x_major}")


def _match_images(
    radius: int,
    dilation: int,
    x_major: int,
    f1: str = "f1",
    f2: str = "f2_f32",
    to: str = "out_f32",
) -> str:
    """`to` from `f1` and `f2`: banded matrix products over tiles of a row.

    For each row offset, a tile of 8 pixels of `f1` is multiplied with the 8 + 2r pixels of `f2`
    that its windows cover: one small [8, C] x [C, 8 + 2r] product per tile. The wanted values are
    its band of 2r + 1 diagonals. The products of all row offsets are joined; padding a tile by one
    row and folding it again with rows that are longer by one turns the diagonals into columns.

    docs/bodies.md compares this form with the others that were tried.

    Args:
        radius: r, 0 to 32, in steps of `dilation`.
        dilation: Pixels from one displacement to the next, 1 to 16.
        x_major: 0 for channel (dy + r)(2r + 1) + dx + r, 1 with dx and dy exchanged (RAFT's).
        f1: Name of the first maps [N, C, H, W].
        f2: Name of the second maps, f32.
        to: Name of the result.

    Raises:
        ValueError: The kernels refuse an argument as well.
    """
    _require_known(radius, dilation, x_major)
    reach = radius * dilation
    window, side = _TILE + 2 * reach, 2 * radius + 1
    # A dilated window takes every dilation-th row offset, and below every dilation-th diagonal.
    products = "\n".join(
        f"""
  from_{k} = Constant <value = int64[1] {{{k * dilation}}}> ()
  to_{k} = Constant <value = int64[1] {{{_end(2 * reach - k * dilation)}}}> ()
  rows_{k} = Slice (f2_windows, from_{k}, to_{k}, axis_1)
  product_{k} = MatMul (f1_tiles, rows_{k})"""
        for k in range(side)
    )
    names = ", ".join(f"product_{k}" for k in range(side))
    planes = "0, 4, 1, 2, 3" if x_major else "0, 1, 4, 2, 3"
    return f"""
  axis_1 = Constant <value = int64[1] {{1}}> ()
  axes_3_4 = Constant <value = int64[2] {{3, 4}}> ()
  batch = Shape <start: int = 0, end: int = 1> ({f1})
  channels = Shape <start: int = 1, end: int = 2> ({f1})
  height = Shape <start: int = 2, end: int = 3> ({f1})
  width = Shape <start: int = 3, end: int = 4> ({f1})
  tile = Constant <value = int64[1] {{{_TILE}}}> ()
  tile_less_1 = Constant <value = int64[1] {{{_TILE - 1}}}> ()
  width_up = Add (width, tile_less_1)
  tiles = Div (width_up, tile)
  width_tiled = Mul (tiles, tile)
  missing = Sub (width_tiled, width)

  f1_f32 = Cast <to: int = {F32}> ({f1})
  factor = Constant <value_float: float = @scale> ()
  f1_scaled = Mul (f1_f32, factor)
  pad_f1_front = Constant <value = int64[7] {{0, 0, 0, 0, 0, 0, 0}}> ()
  pad_f1 = Concat <axis: int = 0> (pad_f1_front, missing)
  f1_padded = Pad (f1_scaled, pad_f1)
  f1_shape = Concat <axis: int = 0> (batch, channels, height, tiles, tile)
  f1_folded = Reshape (f1_padded, f1_shape)
  f1_tiles = Transpose <perm: ints = [0, 2, 3, 4, 1]> (f1_folded)
  {_windows(reach, f2)}
  {products}

  products = Concat <axis: int = 1> ({names})
  side = Constant <value = int64[1] {{{side}}}> ()
  all_rows = Mul (height, side)
  flat_size = Constant <value = int64[1] {{{_TILE * window}}}> ()
  flat_shape = Concat <axis: int = 0> (batch, all_rows, tiles, flat_size)
  flat = Reshape (products, flat_shape)
  one_row = Constant <value = int64[8] {{0, 0, 0, 0, 0, 0, 0, {_TILE}}}> ()
  longer = Pad (flat, one_row)
  skewed_row = Constant <value = int64[1] {{{window + 1}}}> ()
  skewed_shape = Concat <axis: int = 0> (batch, side, height, width_tiled, skewed_row)
  skewed = Reshape (longer, skewed_shape)
  band_start = Constant <value = int64[2] {{0, 0}}> ()
  band_last = Constant <value = int64[1] {{{2 * reach + 1}}}> ()
  band_end = Concat <axis: int = 0> (width, band_last)
  band_step = Constant <value = int64[2] {{1, {dilation}}}> ()
  band = Slice (skewed, band_start, band_end, axes_3_4, band_step)
  by_plane = Transpose <perm: ints = [{planes}]> (band)
  planes = Constant <value = int64[1] {{{side * side}}}> ()
  out_shape = Concat <axis: int = 0> (batch, planes, height, width)
  {to} = Reshape (by_plane, out_shape)"""


def _windows(reach: int, f2: str) -> str:
    """`f2_windows` [N, H + 2 reach, tiles, C, 8 + 2 reach] from `f2`, outside filled with 0.

    A window is its own tile and as many of the next tiles as 2 reach pixels cover.
    """
    following = -(-2 * reach // _TILE)
    parts = []
    for k in range(following + 1):
        width = min(_TILE, _TILE + 2 * reach - k * _TILE)
        parts.append(f"""
  next_{k} = Constant <value = int64[2] {{{k}, 0}}> ()
  end_{k} = Constant <value = int64[2] {{{_end(following - k)}, {width}}}> ()
  window_{k} = Slice (f2_folded, next_{k}, end_{k}, axes_3_4)""")
    names = ", ".join(f"window_{k}" for k in range(following + 1))
    right = following * _TILE - reach
    return f"""
  pad_front = Constant <value = int64[7] {{0, 0, {reach}, {reach}, 0, 0, {reach}}}> ()
  right_least = Constant <value = int64[1] {{{right}}}> ()
  right = Add (missing, right_least)
  pad_f2 = Concat <axis: int = 0> (pad_front, right)
  f2_padded = Pad ({f2}, pad_f2)
  grown = Constant <value = int64[1] {{{2 * reach}}}> ()
  height_grown = Add (height, grown)
  following = Constant <value = int64[1] {{{following}}}> ()
  tiles_grown = Add (tiles, following)
  f2_shape = Concat <axis: int = 0> (batch, channels, height_grown, tiles_grown, tile)
  f2_folded = Reshape (f2_padded, f2_shape)
  {" ".join(parts)}
  f2_joined = Concat <axis: int = 4> ({names})
  f2_windows = Transpose <perm: ints = [0, 2, 3, 1, 4]> (f2_joined)"""


def _end(left_over: int) -> int:
    """End of a Slice that leaves out the last `left_over` values: a constant at any size."""
    return -left_over if left_over else _BEYOND
