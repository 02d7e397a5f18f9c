"""Bilinear and trilinear sampling at pixel positions with GridSample."""

from __future__ import annotations

import math

from cineflow.export.ops._operator import Attribute, InputShapes, Shape
from cineflow.export.ops._text import F32, pixels, voxels

#: What to do at the border of the sampled image: "zeros" or "clamp".
BORDER: dict[str, Attribute] = {"border": "zeros"}

#: By axis in the order of a flow's channels: its letter, and the names of the source's size along
#: it and of 2 / that size.
_X = ("x", "width", "across")
_Y = ("y", "height", "down")
_Z = ("z", "depth", "inward")
_AXES = {2: (_X, _Y), 3: (_X, _Y, _Z)}


def all_corners(shapes: InputShapes, out: Shape) -> int:
    """Multiply-adds of a sampled result: one per neighbour, four in images, eight in volumes."""
    return 2 ** (len(out) - 2) * math.prod(out)


def sample_along(flow: str, source: str, border: str, to: str, axes: int = 2) -> str:
    """`to` f32: `source` at each pixel of the grid of `flow`, moved by `flow`.

    Args:
        flow: Name of a flow [N, 2, h, w], or [N, 3, d, h, w] for 3 axes.
        source: Name of the value to sample, [N, C, H, W] or [N, C, D, H, W].
        border: As in `sample`.
        to: Name of the result, [N, C, h, w] or [N, C, d, h, w].
        axes: 2 for images, 3 for volumes.
    """
    sides = "\n".join(
        f"  flow_{size} = Shape <start: int = {_start(index, axes)}, end: int = "
        f"{_start(index, axes) + 1}> ({flow})"
        for index, (_, size, _) in reversed(list(enumerate(_AXES[axes])))
    )
    if axes == 3:
        grid = voxels("flow_depth", "flow_height", "flow_width", slice_="z", row="y", column="x")
    else:
        grid = pixels("flow_height", "flow_width", row="y", column="x")
    return f"""
{sides}
  {grid}
  {sample(source, border, to, moved_by=flow, axes=axes)}"""


def sample(source: str, border: str, to: str, *, moved_by: str = "", axes: int = 2) -> str:
    """`to` [N, C, h, w] f32: `source` [N, C, H, W] at columns `x`, rows `y`.

    GridSample takes coordinates that are normalised with half-pixel edges (`align_corners = 0`):
    pixel x of W lies at (2x + 1) / W - 1. This form is exact at both borders, and ONNX Runtime runs
    it faster than `align_corners = 1`. The source is cast to f32: TensorRT requires the same type
    for source and grid, and a half-precision grid would be 0.03 px off.

    The mode stays unnamed: linear is the default of opset 20, and TensorRT-RTX before 1.6 and
    TensorRT 10 read the named form as nearest.

    Every comparison with NaN is false, so `Where(|g| < far, g, far)` sends NaN, infinite and huge
    coordinates to one point that is outside for every size.

    Args:
        source: Name of the value to sample, any element type.
        border: "zeros" (an outside corner counts 0) or "clamp" (it takes the nearest edge pixel).
        to: Name of the result.
        moved_by: Name of a flow [N, 2, h, w] that moves a pixel grid, `x` [w] and `y` [h, 1]. Only
            these two vectors are then normalised, and the flow is scaled. Without it, `x` and `y`
            are [N, 1, h, w].
        axes: 2 for images. 3 for volumes, which have slices `z` in addition: [d, 1, 1] with
            `moved_by` [N, 3, d, h, w], or all three [N, 1, d, h, w] without.
    """
    guarded = {"zeros": _ZEROS, "clamp": _clamp(moved_by or "position", axes)}[border]
    named = _AXES[axes]
    downwards = list(reversed(list(enumerate(named))))
    lines = [
        *(
            f"source_{size}_i = Shape <start: int = {_start(index, axes)}, end: int = "
            f"{_start(index, axes) + 1}> ({source})"
            for index, (_, size, _) in downwards
        ),
        *(
            f"source_{size} = Cast <to: int = {F32}> (source_{size}_i)"
            for _, (_, size, _) in downwards
        ),
        *(f"{share} = Div (f_2, source_{size})" for _, size, share in named),
        *(f"{axis}_from_edge = Add ({axis}, f_half)" for axis, _, _ in named),
        *(f"{axis}_share = Mul ({axis}_from_edge, {share})" for axis, _, share in named),
        *(f"{axis}_norm = Sub ({axis}_share, f_1)" for axis, _, _ in named),
    ]
    last = ", ".join(str(axis) for axis in (0, *range(2, 2 + axes), 1))
    return f"""
  f_half = Constant <value = float {{0.5}}> ()
  f_1 = Constant <value = float {{1.0}}> ()
  f_2 = Constant <value = float {{2.0}}> ()
  f_far = Constant <value = float {{4.0}}> ()
{_indented(lines)}
  {_moved(moved_by, axes) if moved_by else _as_they_are(axes)}
  {guarded}
  grid = Transpose <perm: ints = [{last}]> (safe)
  source_f32 = Cast <to: int = {F32}> ({source})
  {to} = GridSample <padding_mode: string = "zeros", align_corners: int = 0> (source_f32, grid)"""


def _start(index: int, axes: int) -> int:
    """Where in a shape the size along x (0), y (1) or z (2) is."""
    return 1 + axes - index


def _indented(lines: list[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _as_they_are(axes: int) -> str:
    names = [axis for axis, _, _ in _AXES[axes]]
    return f"""
  raw = Concat <axis: int = 1> ({", ".join(f"{name}_norm" for name in names)})
  position = Concat <axis: int = 1> ({", ".join(names)})"""


def _moved(flow: str, axes: int) -> str:
    names = [axis for axis, _, _ in _AXES[axes]]
    flows = ", ".join(f"flow_{name}" for name in names)
    moved = [f"{name}_moved = Add (flow_{name}, {name}_norm)" for name in names]
    return f"""
  {_by_axis("shares", [share for _, _, share in _AXES[axes]])}
  flow_share = Mul ({flow}, shares)
  {flows} = Split <axis: int = 1, num_outputs: int = {axes}> (flow_share)
{_indented(moved)}
  raw = Concat <axis: int = 1> ({", ".join(f"{name}_moved" for name in names)})"""


def _by_axis(name: str, values: list[str]) -> str:
    """`name` [1, 2, 1, 1], or [1, 3, 1, 1, 1], from values [1] of each axis."""
    added = ", ".join(str(axis) for axis in (0, *range(2, 2 + len(values))))
    return f"""
  {name}_in_line = Concat <axis: int = 0> ({", ".join(values)})
  {name}_axes = Constant <value = int64[{1 + len(values)}] {{{added}}}> ()
  {name} = Unsqueeze ({name}_in_line, {name}_axes)"""


_ZEROS = """
  size = Abs (raw)
  near = Less (size, f_far)
  safe = Where (near, raw, f_far)"""


def _clamp(position: str, axes: int) -> str:
    """Finite coordinates are clamped to the edge pixels; only non-finite ones become "far".

    The test for finite reads the pixel coordinate: a huge one may be infinite once normalised.
    """
    named = _AXES[axes]
    edges = [
        *(f"half_{share} = Div (f_1, source_{size})" for _, size, share in named),
        *(f"first_{axis} = Sub (half_{share}, f_1)" for axis, _, share in named),
        *(f"last_{axis} = Sub (f_1, half_{share})" for axis, _, share in named),
    ]
    return f"""
  largest = Constant <value = float {{3.4028235e38}}> ()
{_indented(edges)}
  {_by_axis("first", [f"first_{axis}" for axis, _, _ in named])}
  {_by_axis("last", [f"last_{axis}" for axis, _, _ in named])}
  not_before = Max (raw, first)
  inside = Min (not_before, last)
  size = Abs ({position})
  finite = LessOrEqual (size, largest)
  safe = Where (finite, inside, f_far)"""
