"""One level of dense Lucas-Kanade: from two images to a flow on a grid of cells."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from cineflow import _C
from cineflow.errors import ArgumentError
from cineflow.ops.arrays import Array, current_stream, empty_output, require_array
from cineflow.ops.dispatch import run
from cineflow.ops.operator import Operator
from cineflow.ops.scalars import is_whole, real

#: What the kernels take: the largest cell, the most refinements, and the window's sigmas in cells.
MAX_CELL, MAX_REFINEMENTS, SIGMAS = _C.MAX_CELL, _C.MAX_REFINEMENTS, _C.WINDOW_SIGMAS
#: The largest sum of a cell that counts, (grey level)^2.
LARGEST_VARIANCE = _C.LARGEST_VARIANCE


def lucas_kanade_step(
    previous: Array,
    current: Array,
    mask: Array,
    *,
    cell: int,
    sigma: float,
    refinements: int = 0,
    trust: float = 8.0,
    ridge: float = 1.0,
    out: Array | None = None,
) -> Array:
    """The translation of the tissue around each cell, by weighted least squares.

    A cell is a block of `cell` x `cell` pixels. With `m = (previous + current) / 2`, its gradient
    g and the change `t = previous - current`, a cell has the means over its pixels
    `A = mean(g g^T)`, `b = mean(g t)` and `v = mean(t^2)`. With a Gaussian window G over the cells,

        w(v) = mask * trust / (trust + mean of v over 5 x 5 cells)
        M(w) = G * (w A) + ridge I
        u    = M(w(v))^-1 (G * (w(v) b))

    With refinements, the weights are computed again from the variance that u leaves unexplained,
    `w' = w(v - u . (2 b - A u))`, then `u = M(w')^-1 (G * (w' b))`, and `refinements` times
    `u += M(w')^-1 (G * (w' (b - A u)))`. This undoes the blur of the window.

    The gradient is half the difference of two neighbours along one axis, smoothed by (1, 2, 1) / 4
    along the other. Outside, the border's pixels repeat in the gradient and the border's cells in
    the mean of v; in G the outside counts 0. In a cell whose sums are not finite, or above 1e12,
    everything counts 0, so the result is always finite. Products and sums are float32.

    Args:
        previous: Earlier image, grey levels, [N, 1, cell * h, cell * w] float32, any strides.
        current: Later image, warped by the flow so far, like `previous`.
        mask: Weight of each cell, 0 (ignored) to 1, [N, 1, h, w] float32. Values below 0 and NaN
            count 0, values above 1 count 1.
        cell: Pixels along a side of a cell, 1 to 16.
        sigma: Standard deviation of the window in cells, 1/16 to 12.5. It is cut at 2.5 `sigma`.
        refinements: Refinements after the second solution, 0 to 64. With 0 there is one solution.
        trust: Unexplained variance at which a cell counts half, (grey level)^2, 1e-3 to 1e6.
        ridge: Added to the diagonal of the matrix, (grey level / px)^2, 1e-3 to 1e6. Where the
            texture is weaker, the flow is close to 0.
        out: Where to write. It may not overlap an input.

    Returns:
        flow [N, 2, h, w] float32, pixels, channel 0 = x, 1 = y: current(p + flow) shows what
        previous(p) shows. `out` if it was given.

    Raises:
        ArgumentError: Shapes, dtypes or devices do not fit; a number is out of range; `out`
            overlaps an input.
        EngineError: A CUDA array, and no CUDA kernels or no device to run them.

    Source: Lucas and Kanade 1981; weights after Huber's M-estimators; refinement is Tukey's
    twicing (1977).
    """
    require_array("mask", mask, _AXES["mask"])
    for name, value, low, high in (
        ("cell", cell, 1, MAX_CELL),
        ("refinements", refinements, 0, MAX_REFINEMENTS),
    ):
        if not is_whole(value) or not low <= value <= high:
            raise ArgumentError(f"{name} in {low}..{high}", repr(value))
    numbers = (real("sigma", sigma), int(refinements), real("trust", trust), real("ridge", ridge))
    return run(_step, previous, current, mask, int(cell), *numbers, out=out)


def _allocate(previous: Array, current: Array, mask: Array, *_: Any) -> Array:
    shape = (mask.shape[0], 2, *mask.shape[2:])
    return empty_output(previous, shape, keep_layout=False)


def workspace_floats(previous: Array, current: Array, mask: Array, *_: Any) -> int:
    """What the kernels need on a GPU, in float32 numbers."""
    batch, _, height, width = mask.shape
    return int(_C.STEP_PLANES) * batch * height * width


def _fill(
    out: Array,
    previous: Array,
    current: Array,
    mask: Array,
    cell: int,
    sigma: float,
    refinements: int,
    trust: float,
    ridge: float,
    workspace: Array | None = None,
) -> None:
    if workspace is None and not isinstance(out, np.ndarray):
        workspace = _scratch(out, workspace_floats(previous, current, mask))
    stream = current_stream(previous)
    _C.lucas_kanade_step(
        previous, current, mask, out, cell, sigma, refinements, trust, ridge, workspace, stream
    )


def _scratch(out: Any, floats: int) -> Any:
    """Memory of `out`'s library for one call on a GPU; None on the CPU."""
    on_gpu = getattr(out, "is_cuda", None)  # torch's
    if on_gpu is None:
        cupy: Any = sys.modules["cupy"]
        return cupy.empty(floats, cupy.float32)
    return out.new_empty(floats) if on_gpu else None


_AXES = {
    "previous": "[N, 1, H, W]",
    "current": "[N, 1, H, W]",
    "mask": "[N, 1, h, w]",
}
_step = Operator(
    "lucas_kanade_step(Tensor previous, Tensor current, Tensor mask, int cell, float sigma,"
    " int refinements, float trust, float ridge) -> Tensor",
    _AXES,
    _allocate,
    _fill,
    workspace=workspace_floats,
)
