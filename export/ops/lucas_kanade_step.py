"""`cineflow::LucasKanadeStep`: the flow of the cells of two images by weighted least squares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cineflow.export.ops._operator import F32_TENSOR, Attribute, InputShapes, Operator, Shape
from cineflow.export.ops._text import constant, function, prefixed
from cineflow.ops.lucas_kanade_step import LARGEST_VARIANCE, MAX_CELL, MAX_REFINEMENTS, SIGMAS

#: Cells along a side of the mean of the unexplained variance.
_AROUND = 5

_NUMBERS: dict[str, Attribute] = {
    "cell": int,
    "sigma": float,
    "refinements": 0,
    "trust": 8.0,
    "ridge": 1.0,
}


def body(cell: int, sigma: float, refinements: int) -> str:
    """The ONNX function: convolutions, pooling as a convolution, and arithmetic on the cells.

    Convolutions are depthwise, because ONNX Runtime pads any other one to 16 channels.

    Args:
        cell: Pixels along a side of a cell.
        sigma: Of the window, in cells.
        refinements: After the second solution; 0 for one solution.

    Raises:
        ValueError: The kernels refuse an argument as well.
    """
    if not (1 <= cell <= MAX_CELL and 0 <= refinements <= MAX_REFINEMENTS):
        raise ValueError(f"cell {cell}, refinements {refinements}")
    window = gaussian(sigma)
    lines = _gather(cell) + _constants(window) + _solution("first", "variance", window)
    flow = "first_flow"
    if refinements:
        lines += _unexplained(flow) + _solution("second", "unexplained", window)
        flow = "second_flow"
    for step in range(refinements):
        lines += _refined(f"step{step}", flow, window)
        flow = f"step{step}_flow"
    return function(
        "LucasKanadeStep", "previous, current, mask", f"{lines}\n  out = Identity ({flow})"
    )


def gaussian(sigma: float) -> list[float]:
    """The window along one axis, of sum 1.

    Raises:
        ValueError: The kernels refuse that `sigma` as well.
    """
    exact = float(np.float32(sigma))  # as the kernels have it
    if not SIGMAS[0] <= exact <= SIGMAS[1]:
        raise ValueError(f"sigma {sigma}")
    reach = max(1, math.ceil(2.5 * exact))
    weight = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * exact**2))
    return [float(one) for one in weight / weight.sum()]


def _gather(cell: int) -> str:
    """`equations` [N, 5, h, w], that is xx, xy, yy, xt and yt, `variance` and `prior`.

    The latter are [N, 1, h, w]. Cells that are not finite have 0 in all of them.
    """
    return f"""
  {constant("half", "", [0.5])}
  {constant("nothing", "", [0.0])}
  {constant("everything", "", [1.0])}
  {constant("largest", "", [LARGEST_VARIANCE])}
  {constant("slopes", "[2, 1, 3, 3]", _SLOPES)}
  {constant("shares", f"[3, 1, {cell}, {cell}]", [1 / cell**2] * (3 * cell**2))}
  pixel_margin = Constant <value = int64[8] {{0, 0, 1, 1, 0, 0, 1, 1}}> ()
  both = Add (previous, current)
  mean = Mul (half, both)
  change = Sub (previous, current)
  mean_around = Pad <mode: string = "edge"> (mean, pixel_margin)
  mean_twice = Concat <axis: int = 1> (mean_around, mean_around)
  gradient = Conv <group: int = 2> (mean_twice, slopes)
  across, down = Split <axis: int = 1, num_outputs: int = 2> (gradient)
  slopes_and_change = Concat <axis: int = 1> (gradient, change)
  squares = Mul (slopes_and_change, slopes_and_change)
  next = Concat <axis: int = 1> (down, change, across)
  products = Mul (slopes_and_change, next)
  mean_squares = Conv <group: int = 3, strides: ints = [{cell}, {cell}]> (squares, shares)
  mean_products = Conv <group: int = 3, strides: ints = [{cell}, {cell}]> (products, shares)
  xx, yy, tt = Split <axis: int = 1, num_outputs: int = 3> (mean_squares)
  xy, yt, xt = Split <axis: int = 1, num_outputs: int = 3> (mean_products)
  slope_squares = Add (xx, yy)
  total = Add (slope_squares, tt)
  valid = LessOrEqual (total, largest)
  sums = Concat <axis: int = 1> (xx, xy, yy, xt, yt)
  equations = Where (valid, sums, nothing)
  variance = Where (valid, tt, nothing)
  positive = Greater (mask, nothing)
  counts = And (valid, positive)
  at_most_1 = Min (mask, everything)
  prior = Where (counts, at_most_1, nothing)"""


def _constants(window: list[float]) -> str:
    """What the solutions and refinements share: kernels, numbers, and the planes of A and b."""
    size = len(window)
    return f"""
  trust = Constant <value_float: float = @trust> ()
  ridge = Constant <value_float: float = @ridge> ()
  {constant("two", "", [2.0])}
  {constant("along_5", f"[5, 1, 1, {size}]", window * 5)}
  {constant("down_5", f"[5, 1, {size}, 1]", window * 5)}
  {constant("along_2", f"[2, 1, 1, {size}]", window * 2)}
  {constant("down_2", f"[2, 1, {size}, 1]", window * 2)}
  {constant("around_along", f"[1, 1, 1, {_AROUND}]", [1 / _AROUND] * _AROUND)}
  {constant("around_down", f"[1, 1, {_AROUND}, 1]", [1 / _AROUND] * _AROUND)}
  cell_margin = Constant <value = int64[8] {{0, 0, 2, 2, 0, 0, 2, 2}}> ()
  channel = Constant <value = int64[1] {{1}}> ()
  from_xx = Constant <value = int64[1] {{0}}> ()
  from_xy = Constant <value = int64[1] {{1}}> ()
  from_yy = Constant <value = int64[1] {{2}}> ()
  from_xt = Constant <value = int64[1] {{3}}> ()
  to_end = Constant <value = int64[1] {{5}}> ()"""


def _windowed(values: str, planes: int, to: str, window: list[float]) -> str:
    """`to` = the Gaussian-weighted sums of `values` [N, planes, h, w]; outside counts 0."""
    reach = len(window) // 2
    along, down = f"[0, {reach}, 0, {reach}]", f"[{reach}, 0, {reach}, 0]"
    return f"""
  {to}_along = Conv <group: int = {planes}, pads: ints = {along}> ({values}, along_{planes})
  {to} = Conv <group: int = {planes}, pads: ints = {down}> ({to}_along, down_{planes})"""


def _solution(name: str, variance: str, window: list[float]) -> str:
    """`{name}_flow` from the equations, weighted by `variance`; also what refinements need."""
    lines = f"""
  around_variance = Pad <mode: string = "edge"> ({variance}, cell_margin)
  along_variance = Conv (around_variance, around_along)
  mean_variance = Conv (along_variance, around_down)
  unsigned_variance = Max (mean_variance, nothing)
  trusted = Add (unsigned_variance, trust)
  share = Div (trust, trusted)
  weight = Mul (prior, share)
  weighted = Mul (equations, weight){_windowed("weighted", 5, "window", window)}
  sum_xx, sum_xy, sum_yy, sum_xt, sum_yt = Split <axis: int = 1, num_outputs: int = 5> (window)
  m_xx = Add (sum_xx, ridge)
  m_yy = Add (sum_yy, ridge)
  square = Mul (sum_xx, sum_yy)
  mixed = Mul (sum_xy, sum_xy)
  rest = Sub (square, mixed)
  unsigned_rest = Max (rest, nothing)
  trace = Add (m_xx, sum_yy)
  from_ridge = Mul (ridge, trace)
  determinant = Add (unsigned_rest, from_ridge)
  scale = Reciprocal (determinant)
  minus_xy = Neg (sum_xy)
  upper = Concat <axis: int = 1> (m_yy, minus_xy)
  lower = Concat <axis: int = 1> (minus_xy, m_xx)
  inverse_x = Mul (scale, upper)
  inverse_y = Mul (scale, lower)
  flow_of_x = Mul (inverse_x, sum_xt)
  flow_of_y = Mul (inverse_y, sum_yt)
  flow = Add (flow_of_x, flow_of_y)"""
    lines = prefixed(lines, f"{name}_", {})
    if name == "first":
        return lines
    return (
        lines
        + """
  a_x = Slice (second_weighted, from_xx, from_yy, channel)
  a_y = Slice (second_weighted, from_xy, from_xt, channel)
  target = Slice (second_weighted, from_xt, to_end, channel)"""
    )


def _unexplained(flow: str) -> str:
    """`unexplained` [N, 1, h, w] = v - u . (2 b - A u)."""
    return f"""
  plain_x = Slice (equations, from_xx, from_yy, channel)
  plain_y = Slice (equations, from_xy, from_xt, channel)
  plain_target = Slice (equations, from_xt, to_end, channel)
  first_x, first_y = Split <axis: int = 1, num_outputs: int = 2> ({flow})
  twice = Mul (two, plain_target)
  by_x = Mul (plain_x, first_x)
  by_y = Mul (plain_y, first_y)
  without_x = Sub (twice, by_x)
  explained_twice = Sub (without_x, by_y)
  explained_parts = Mul ({flow}, explained_twice)
  explained = ReduceSum <keepdims: int = 1> (explained_parts, channel)
  unexplained = Sub (variance, explained)"""


def _refined(name: str, flow: str, window: list[float]) -> str:
    """`{name}_flow` = the flow and what the equations add to it."""
    lines = f"""
  x, y = Split <axis: int = 1, num_outputs: int = 2> ({flow})
  by_x = Mul (a_x, x)
  by_y = Mul (a_y, y)
  without_x = Sub (target, by_x)
  left = Sub (without_x, by_y){_windowed("left", 2, "window", window)}
  along_x, along_y = Split <axis: int = 1, num_outputs: int = 2> (window)
  more_x = Mul (second_inverse_x, along_x)
  more_y = Mul (second_inverse_y, along_y)
  moved = Add ({flow}, more_x)
  flow = Add (moved, more_y)"""
    return prefixed(lines, f"{name}_", {})


#: The gradient's kernels along x and y.
_SMOOTH, _SLOPE = (0.25, 0.5, 0.25), (-0.5, 0.0, 0.5)
_SLOPES = [
    *(down * across for down in _SMOOTH for across in _SLOPE),
    *(down * across for down in _SLOPE for across in _SMOOTH),
]


def _shape(shapes: InputShapes, attributes: Mapping[str, Any]) -> Shape:
    batch, _, height, width = shapes["mask"]
    return (batch, 2, height, width)


def _multiply_adds(shapes: InputShapes, out: Shape) -> int:
    """Those of the pixels. Of the cells they depend on the window, which no shape tells."""
    gathered = 15  # a gradient, and six products, with their sums
    return math.prod(shapes["previous"]) * gathered


OP = Operator(
    name="LucasKanadeStep",
    doc="u = (G * w A + ridge I)^-1 (G * w b), the normal equations of the cells of two images",
    inputs=(("previous", F32_TENSOR), ("current", F32_TENSOR), ("mask", F32_TENSOR)),
    attributes=_NUMBERS,
    referenced=("trust", "ridge"),
    body=body,
    shape=_shape,
    multiply_adds=_multiply_adds,
    coordinates=("previous", "current", "mask"),
    contracts=True,
    variants=4,
)
