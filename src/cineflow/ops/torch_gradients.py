"""Gradients of `warp` and `correlation`, in torch operations, on any device that torch has.

They let a network be trained elsewhere with the op that is deployed. They are exact derivatives of
the formulas, and slower than a kernel: `warp` reads four neighbours per sample, `correlation` makes
one pass per displacement. Sums are float32, or float64 for float64 tensors.
"""

from __future__ import annotations

from collections.abc import Callable
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
        grad: [N, C, h, w].
        src: [N, C, H, W].
        flow: [N, 2, h, w], pixels.
        border: "zeros" or "clamp".
        needs: Whether the gradients by `src` and `flow` are wanted.

    Returns:
        Both gradients, like their tensors; None where not wanted.
    """
    wide = torch.promote_types(src.dtype, torch.float32)
    grad, image, shift = grad.to(wide), src.to(wide), flow.to(wide)
    batch, channels, height, width = src.shape
    if src.numel() == 0 or grad.numel() == 0:
        empty = (torch.zeros_like(src), torch.zeros_like(flow))
        return empty[0] if needs[0] else None, empty[1] if needs[1] else None
    x, x_moves, x_inside = _coordinate(shift[:, 0], width, border, axis=-1)
    y, y_moves, y_inside = _coordinate(shift[:, 1], height, border, axis=-2)
    used = x_inside & y_inside
    left, top = x.floor(), y.floor()
    right_weight, bottom_weight = x - left, y - top
    across = ((left, 1 - right_weight, -1.0), (left + 1, right_weight, 1.0))
    down = ((top, 1 - bottom_weight, -1.0), (top + 1, bottom_weight, 1.0))

    flat = image.reshape(batch, channels, height * width)
    incoming = grad.reshape(batch, channels, -1)
    by_src = torch.zeros_like(flat)
    by_x, by_y = torch.zeros_like(x), torch.zeros_like(y)
    for row, row_weight, row_slope in down:
        for column, column_weight, column_slope in across:
            inside = used & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            at = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long()
            index = at.reshape(batch, 1, -1).expand(-1, channels, -1)
            if needs[0]:
                weight = torch.where(inside, row_weight * column_weight, 0)
                by_src = by_src.scatter_add(2, index, incoming * weight.reshape(batch, 1, -1))
            if needs[1]:
                pixel = flat.gather(2, index).reshape_as(grad)
                value = torch.where(inside, (grad * pixel).sum(dim=1), 0)
                by_x = by_x + column_slope * row_weight * value
                by_y = by_y + row_slope * column_weight * value
    by_flow = torch.stack([torch.where(x_moves, by_x, 0), torch.where(y_moves, by_y, 0)], dim=1)
    return (
        by_src.reshape(src.shape).to(src.dtype) if needs[0] else None,
        by_flow.to(flow.dtype) if needs[1] else None,
    )


def _coordinate(shift: Tensor, size: int, border: str, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """The sampled coordinate along an axis, whether the flow moves it, and whether it counts."""
    pixels = torch.arange(shift.shape[axis], dtype=shift.dtype, device=shift.device)
    position = shift + (pixels if axis == -1 else pixels[:, None])
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
        grad: [N, (2r + 1)^2, H, W].
        f1: [N, C, H, W].
        f2: [N, C, H, W].
        radius, dilation, scale, x_major: As in `torch.ops.cineflow.correlation`.
        needs: Whether the gradients by `f1` and `f2` are wanted.

    Returns:
        Both gradients, like their tensors; None where not wanted.
    """
    wide = torch.promote_types(f1.dtype, torch.float32)
    grad = grad.to(wide) * scale
    first = f1.to(wide)
    height, width = f1.shape[2:]
    reach = radius * dilation
    second = torch.nn.functional.pad(f2.to(wide), (reach, reach, reach, reach))
    by_first, by_second = torch.zeros_like(first), torch.zeros_like(second)
    steps = range(0, 2 * reach + 1, dilation)
    shifts = [(y, x) for y in steps for x in steps]
    if x_major:
        shifts = [(y, x) for x in steps for y in steps]
    for channel, (y, x) in enumerate(shifts):
        incoming = grad[:, channel : channel + 1]
        if needs[0]:
            by_first = by_first + incoming * second[:, :, y : y + height, x : x + width]
        if needs[1]:
            margins = (x, 2 * reach - x, y, 2 * reach - y)
            by_second = by_second + torch.nn.functional.pad(incoming * first, margins)
    inner = by_second[:, :, reach : reach + height, reach : reach + width]
    return (
        by_first.to(f1.dtype) if needs[0] else None,
        inner.to(f2.dtype) if needs[1] else None,
    )


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
