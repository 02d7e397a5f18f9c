"""Gradients of `warp` and `correlation`, in torch operations, on any device that torch has.

They let a network be trained elsewhere with the op that is deployed. They are exact derivatives of
the formulas, and slower than a kernel: `warp` makes one pass per neighbour of a sample,
`correlation` one per displacement. Sums are float32, or float64 for float64 tensors.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cineflow.errors import ArgumentError


class Gradient(NamedTuple):
    """What `torch.library.register_autograd` takes for one op."""

    setup: Callable[..., None]
    backward: Callable[..., tuple[Any, ...]]


def warp_gradient(
    grad: Tensor, src: Tensor, flow: Tensor, border: str, needs: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of a loss by `src` and `flow`, given the one by `warp(src, flow)`.

    The weight of a neighbour outside is a constant 0. Where "clamp" has moved a coordinate, and
    where a coordinate is not finite, the flow's gradient is 0. At whole pixels, where the
    derivative jumps, it is the one to the right and down, as in
    `torch.nn.functional.grid_sample`.

    Args:
        grad: [N, C, h, w] or [N, C, d, h, w].
        src: [N, C, H, W] or [N, C, D, H, W].
        flow: [N, 2, h, w] or [N, 3, d, h, w], pixels.
        border: "zeros" or "clamp".
        needs: Whether the gradients by `src` and `flow` are wanted.

    Returns:
        Both gradients, like their tensors; None where not wanted.
    """
    wide = torch.promote_types(src.dtype, torch.float32)
    grad, image, shift = grad.to(wide), src.to(wide), flow.to(wide)
    batch, channels, *size = src.shape
    if src.numel() == 0 or grad.numel() == 0:
        empty = (torch.zeros_like(src), torch.zeros_like(flow))
        return empty[0] if needs[0] else None, empty[1] if needs[1] else None
    # Axes in the order of the flow's channels: x, y[, z].
    sides = size[::-1]
    axes = [
        _coordinate(shift[:, axis], side, border, axis=-1 - axis) for axis, side in enumerate(sides)
    ]
    used = functools.reduce(operator.and_, (inside for _, _, inside in axes))

    flat = image.reshape(batch, channels, -1)
    incoming = grad.reshape(batch, channels, -1)
    by_src = torch.zeros_like(flat)
    by_axis = [torch.zeros_like(axes[0][0]) for _ in axes]
    for corner in itertools.product(*(_neighbours(position) for position, _, _ in axes)):
        inside, at = used, torch.zeros_like(used, dtype=torch.int64)
        for (pixel, _, _), side in zip(corner[::-1], size, strict=True):
            inside = inside & (pixel >= 0) & (pixel < side)
            at = at * side + pixel.clamp(0, side - 1).long()
        index = at.reshape(batch, 1, -1).expand(-1, channels, -1)
        weights = [weight for _, weight, _ in corner]
        if needs[0]:
            weight = torch.where(inside, functools.reduce(operator.mul, weights), 0)
            by_src = by_src.scatter_add(2, index, incoming * weight.reshape(batch, 1, -1))
        if needs[1]:
            pixels = flat.gather(2, index).reshape_as(grad)
            value = torch.where(inside, (grad * pixels).sum(dim=1), 0)
            for axis, (_, _, slope) in enumerate(corner):
                others = [*weights[:axis], *weights[axis + 1 :]]
                by_axis[axis] = (
                    by_axis[axis] + functools.reduce(operator.mul, others, value) * slope
                )
    by_flow = torch.stack(
        [torch.where(moves, by, 0) for (_, moves, _), by in zip(axes, by_axis, strict=True)], dim=1
    )
    return (
        by_src.reshape(src.shape).to(src.dtype) if needs[0] else None,
        by_flow.to(flow.dtype) if needs[1] else None,
    )


def _neighbours(position: Tensor) -> tuple[tuple[Tensor, Tensor, float], ...]:
    """The two neighbours of a coordinate: the pixel, its weight, and the slope of the weight."""
    low = position.floor()
    high_weight = position - low
    return (low, 1 - high_weight, -1.0), (low + 1, high_weight, 1.0)


def _coordinate(shift: Tensor, size: int, border: str, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """The sampled coordinate along an axis, whether the flow moves it, and whether it counts."""
    pixels = torch.arange(shift.shape[axis], dtype=shift.dtype, device=shift.device)
    position = shift + pixels.reshape(-1, *[1] * (-1 - axis))
    finite = position.isfinite()
    position = torch.where(finite, position, 0)
    if border == "clamp":
        moves = finite & (position >= 0) & (position <= size - 1)
        return position.clamp(0, size - 1), moves, finite
    inside = finite & (position > -1) & (position < size)
    return torch.where(inside, position, 0), inside, inside


def correlation_gradient(
    grad: Tensor,
    f1: Tensor,
    f2: Tensor,
    radius: int,
    dilation: int,
    scale: float,
    x_major: bool,
    needs: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of a loss by `f1` and `f2`, given the one by their correlation.

    Args:
        grad: [N, (2r + 1)^2, H, W] or [N, (2r + 1)^3, D, H, W].
        f1: [N, C, H, W] or [N, C, D, H, W].
        f2: Like `f1`.
        radius, dilation, scale, x_major: As in `torch.ops.cineflow.correlation`.
        needs: Whether the gradients by `f1` and `f2` are wanted.

    Returns:
        Both gradients, like their tensors; None where not wanted.
    """
    wide = torch.promote_types(f1.dtype, torch.float32)
    grad = grad.to(wide) * scale
    first = f1.to(wide)
    size = f1.shape[2:]
    reach = radius * dilation
    second = torch.nn.functional.pad(f2.to(wide), (reach, reach) * len(size))
    by_first, by_second = torch.zeros_like(first), torch.zeros_like(second)
    steps = range(0, 2 * reach + 1, dilation)
    # In the order of the axes, ([z,] y, x); the last one counts fastest.
    shifts = list(itertools.product(steps, repeat=len(size)))
    if x_major:
        shifts = [shift[::-1] for shift in shifts]
    for channel, shift in enumerate(shifts):
        incoming = grad[:, channel : channel + 1]
        if needs[0]:
            by_first = by_first + incoming * _window(second, shift, size)
        if needs[1]:
            margins = [margin for at in shift[::-1] for margin in (at, 2 * reach - at)]
            by_second = by_second + torch.nn.functional.pad(incoming * first, margins)
    inner = _window(by_second, (reach,) * len(size), size)
    return (
        by_first.to(f1.dtype) if needs[0] else None,
        inner.to(f2.dtype) if needs[1] else None,
    )


def _window(padded: Tensor, start: Sequence[int], size: Sequence[int]) -> Tensor:
    """The part of `padded` [N, C, ...] of that size from `start` on."""
    for axis, (first, length) in enumerate(zip(start, size, strict=True)):
        padded = padded.narrow(2 + axis, first, length)
    return padded


def _setup_warp(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    src, flow, ctx.border = inputs
    ctx.save_for_backward(src, flow)


def _warp_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    src, flow = ctx.saved_tensors
    return (*warp_gradient(grad, src, flow, ctx.border, ctx.needs_input_grad[:2]), None)


def _setup_correlation(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    f1, f2, *ctx.options = inputs
    ctx.save_for_backward(f1, f2)


def _correlation_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    f1, f2 = ctx.saved_tensors
    radius, dilation, scale, x_major = ctx.options
    needs = ctx.needs_input_grad[:2]
    found = correlation_gradient(grad, f1, f2, radius, dilation, scale, x_major, needs)
    return (*found, None, None, None, None)


def no_gradient(name: str) -> Gradient:
    """The gradient of an op that has none: an error in the backward pass."""

    def backward(*_: Any) -> tuple[Any, ...]:
        raise ArgumentError(
            f"no gradient of cineflow::{name}",
            "a backward pass through it",
            "Of the ops, warp and correlation have gradients: detach the inputs of the others, or "
            "train with torch's own operators.",
        )

    return Gradient(lambda *_, **__: None, backward)


GRADIENTS = {
    "warp": Gradient(_setup_warp, _warp_backward),
    "correlation": Gradient(_setup_correlation, _correlation_backward),
}
