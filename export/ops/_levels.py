"""Text of the bodies that have RAFT's levels: halved maps, volumes and windows of look-ups."""

from __future__ import annotations

from collections.abc import Sequence

from cineflow.export.ops._operator import InputShapes, Shape
from cineflow.export.ops._text import F32, constant

#: What the kernels take (csrc/core/include/cineflow/correlation_pyramid.h).
MAX_LEVELS, MAX_LOOKUP_RADIUS = 4, 8


def require_levels(levels: int, radius: int = 0) -> None:
    """Raise `ValueError` for arguments that the kernels refuse as well."""
    if not (1 <= levels <= MAX_LEVELS and 0 <= radius <= MAX_LOOKUP_RADIUS):
        raise ValueError(f"levels {levels}, radius {radius}")


def level_sides(shape: Sequence[int], levels: int) -> list[tuple[int, int]]:
    """Height and width of each level of maps that end in (H, W)."""
    return [(shape[-2] >> level, shape[-1] >> level) for level in range(levels)]


def window_values(shapes: InputShapes, out: Shape) -> int:
    """Multiply-adds of a look-up: four neighbours per sample."""
    values = 4
    for size in out:
        values *= size
    return values


def halved(name: str, levels: int) -> str:
    """`name`_1, ... from `name`_0 [n, c, H, W] f32: means of 2 x 2 pixels of the level before."""
    return "\n".join(
        f"  {name}_{level} = AveragePool <kernel_shape: ints = [2, 2], strides: ints = [2, 2]> "
        f"({name}_{level - 1})"
        for level in range(1, levels)
    )


def scaled_rows() -> str:
    """`f1_rows` [N, H W, C] f32, times the attribute `scale`, and sizes that volumes need.

    Features without channels get one of zeros (`more_channels`): ONNX Runtime leaves products of
    several empty matrices unwritten.
    """
    return f"""
  batch = Shape <start: int = 0, end: int = 1> (f1)
  given_channels = Shape <start: int = 1, end: int = 2> (f1)
  height = Shape <start: int = 2, end: int = 3> (f1)
  width = Shape <start: int = 3, end: int = 4> (f1)
  pixels = Mul (height, width)
  all_pixels = Mul (batch, pixels)
  one = Constant <value = int64[1] {{1}}> ()
  channels = Max (given_channels, one)
  missing_channels = Sub (channels, given_channels)
  no_margins_before = Constant <value = int64[5] {{0, 0, 0, 0, 0}}> ()
  no_margins_after = Constant <value = int64[2] {{0, 0}}> ()
  more_channels = Concat <axis: int = 0> (no_margins_before, missing_channels, no_margins_after)
  factor = Constant <value_float: float = @scale> ()
  f1_f32 = Cast <to: int = {F32}> (f1)
  f1_scaled = Mul (f1_f32, factor)
  f1_padded = Pad (f1_scaled, more_channels)
  f1_shape = Concat <axis: int = 0> (batch, channels, pixels)
  f1_flat = Reshape <allowzero: int = 1> (f1_padded, f1_shape)
  f1_rows = Transpose <perm: ints = [0, 2, 1]> (f1_flat)"""


def looked_up(levels: int, radius: int) -> str:
    """`out_f32` [N, levels (2r + 1)^2, H, W] from `maps_0` ... [N H W, 1, h, w] f32 and `coords`.

    One GridSample per level, with the windows of all pixels as its batch. Its grid is `coords`,
    scaled, plus a constant window in which x counts slowest. GridSample's `align_corners = 0` and
    its unnamed mode are explained in `_sample.sample`.
    """
    side = 2 * radius + 1
    steps = range(-radius, radius + 1)
    window = [2.0 * step + 1.0 for x in steps for y in steps for step in (x, y)]
    levels_text = "\n".join(_window(level, side) for level in range(levels))
    names = ", ".join(f"samples_{level}" for level in range(levels))
    return f"""
  spatial = Shape <start: int = 2, end: int = 4> (coords)
  images = Shape <start: int = 0, end: int = 1> (coords)
  only = Constant <value = int64[1] {{1}}> ()
  two = Constant <value = int64[1] {{2}}> ()
  by_pixel = Transpose <perm: ints = [0, 2, 3, 1]> (coords)
  every_pixel = Size (coords)
  halves = Constant <value = int64 {{2}}> ()
  pixel_count = Div (every_pixel, halves)
  first_axis = Constant <value = int64[1] {{0}}> ()
  pixel_count_1 = Unsqueeze (pixel_count, first_axis)
  centres_shape = Concat <axis: int = 0> (pixel_count_1, only, only, two)
  centres = Reshape <allowzero: int = 1> (by_pixel, centres_shape)
  window_size = Constant <value = int64[1] {{{side * side}}}> ()
  samples_shape = Concat <axis: int = 0> (images, spatial, window_size)
  {constant("window", f"[1, {side}, {side}, 2]", window)}
  f_1 = Constant <value = float {{1.0}}> ()
  f_far = Constant <value = float {{4.0}}> ()
{levels_text}
  samples = Concat <axis: int = 3> ({names})
  out_f32 = Transpose <perm: ints = [0, 3, 1, 2]> (samples)"""


def _window(level: int, side: int) -> str:
    """`samples_l` [N, H, W, (2r + 1)^2]. Non-finite and huge coordinates are moved far outside."""
    n = level
    return f"""
  map_height_{n} = Shape <start: int = 2, end: int = 3> (maps_{n})
  map_width_{n} = Shape <start: int = 3, end: int = 4> (maps_{n})
  map_sides_{n} = Concat <axis: int = 0> (map_width_{n}, map_height_{n})
  sides_{n} = Cast <to: int = {F32}> (map_sides_{n})
  share_{n} = Div (f_1, sides_{n})
  window_share_{n} = Mul (window, share_{n})
  window_norm_{n} = Sub (window_share_{n}, f_1)
  per_pixel_{n} = Constant <value = float {{{2.0 / 2**level}}}> ()
  step_{n} = Mul (share_{n}, per_pixel_{n})
  centres_norm_{n} = Mul (centres, step_{n})
  raw_{n} = Add (centres_norm_{n}, window_norm_{n})
  size_{n} = Abs (raw_{n})
  near_{n} = Less (size_{n}, f_far)
  grid_{n} = Where (near_{n}, raw_{n}, f_far)
  sampled_{n} = GridSample <padding_mode: string = "zeros", align_corners: int = 0> \
(maps_{n}, grid_{n})
  samples_{n} = Reshape <allowzero: int = 1> (sampled_{n}, samples_shape)"""
