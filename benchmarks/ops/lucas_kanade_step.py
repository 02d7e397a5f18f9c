"""One level of dense Lucas-Kanade on images, as the default tracker uses it."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.ops.case import Case
from cineflow import ops

#: Of the tracker's finest level: cells of 4 px, a window of 14 px.
CELL, SIGMA, TRUST, RIDGE = 4, 3.5, 8.0, 1.0


def lucas_kanade_step(side: int, refinements: int) -> Case:
    """Images of `side` x `side`; peers are torch's convolutions and OpenCV's filters."""
    rng = np.random.default_rng(0)
    noise = rng.uniform(-180, 180, (side, side)).astype(np.float32)
    previous = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.5))
    moved = np.roll(previous, 1, axis=1) + rng.normal(0, 3, (side, side))
    current = moved.astype(np.float32)
    cells = side // CELL
    mask = np.ones((1, 1, cells, cells), np.float32)
    a, b = previous[None, None], current[None, None]
    out = np.empty((1, 2, cells, cells), np.float32)
    first, second, counts = (torch.from_numpy(array) for array in (a, b, mask))
    window = gaussian()

    def ours() -> np.ndarray:
        return np.asarray(
            ops.lucas_kanade_step(
                a,
                b,
                mask,
                cell=CELL,
                sigma=SIGMA,
                refinements=refinements,
                trust=TRUST,
                ridge=RIDGE,
                out=out,
            )
        )

    def of_torch() -> Tensor:
        return step_of_torch(first, second, counts, window, refinements)

    def of_opencv() -> np.ndarray:
        return step_of_opencv(previous, current, window, refinements)

    error = float(np.abs(ours() - of_torch().numpy()).max())
    error = max(error, float(np.abs(ours()[0] - of_opencv()).max()))
    solutions = 2 if refinements else 1
    windowed = 5 * solutions + 2 * refinements
    return Case(
        f"lucas_kanade_step {side}², {refinements} refinements",
        ours,
        {"convolutions (torch)": of_torch, "filters (cv2)": of_opencv},
        sum(array.nbytes for array in (a, b, mask, out)),
        # Per pixel a gradient and 6 products with their sums; per cell two passes of the window.
        side * side * 2 * 11 + cells * cells * 2 * windowed * 2 * window.size,
        error,
        wanted=0.0,
    )


def gaussian() -> np.ndarray:
    reach = int(np.ceil(2.5 * SIGMA))
    weight = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * SIGMA**2))
    return np.asarray(weight / weight.sum(), np.float32)


def step_of_torch(
    previous: Tensor, current: Tensor, mask: Tensor, window: np.ndarray, refinements: int
) -> Tensor:
    """The same with torch's own operators."""
    smooth = torch.tensor([0.25, 0.5, 0.25], device=previous.device)
    slope = torch.tensor([-0.5, 0.0, 0.5], device=previous.device)
    kernels = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])[:, None]
    taps = torch.from_numpy(window).to(previous.device)

    def windowed(x: Tensor) -> Tensor:
        planes, reach = x.shape[1], len(window) // 2
        along = taps.view(1, 1, 1, -1).expand(planes, -1, -1, -1)
        down = taps.view(1, 1, -1, 1).expand(planes, -1, -1, -1)
        x = functional.conv2d(x, along, padding=(0, reach), groups=planes)
        return functional.conv2d(x, down, padding=(reach, 0), groups=planes)

    def weight(variance: Tensor) -> Tensor:
        padded = functional.pad(variance, (2, 2, 2, 2), mode="replicate")
        around = functional.avg_pool2d(padded, 5, stride=1).clamp(min=0)
        return mask * TRUST / (TRUST + around)

    mean = functional.pad(0.5 * (previous + current), (1, 1, 1, 1), mode="replicate")
    gx, gy = functional.conv2d(mean, kernels).split(1, dim=1)
    t = previous - current
    sums = torch.cat([gx * gx, gx * gy, gy * gy, gx * t, gy * t, t * t], dim=1)
    sums = functional.avg_pool2d(sums, CELL)
    equations, variance = sums[:, :5], sums[:, 5:]

    def rest(flow: Tensor, twice: float = 1.0) -> Tensor:
        x, y = flow.split(1, dim=1)
        return twice * equations[:, 3:5] - equations[:, 0:2] * x - equations[:, 1:3] * y

    def solve(weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        xx, xy, yy, xt, yt = windowed(equations * weights).split(1, dim=1)
        xx, yy = xx + RIDGE, yy + RIDGE
        scale = 1 / (xx * yy - xy * xy)
        x, y = scale * torch.cat([yy, -xy], dim=1), scale * torch.cat([-xy, xx], dim=1)
        return x, y, x * xt + y * yt

    weights = weight(variance)
    x, y, flow = solve(weights)
    if refinements:
        weights = weight(variance - (flow * rest(flow, 2.0)).sum(dim=1, keepdim=True))
        x, y, flow = solve(weights)
    for _ in range(refinements):
        more = windowed(weights * rest(flow))
        flow = flow + x * more[:, :1] + y * more[:, 1:]
    return flow


def step_of_opencv(
    previous: np.ndarray, current: np.ndarray, window: np.ndarray, refinements: int
) -> np.ndarray:
    """The same with OpenCV's filters and NumPy's arithmetic, [2, h, w]."""
    size = (previous.shape[1] // CELL, previous.shape[0] // CELL)

    def windowed(plane: np.ndarray) -> np.ndarray:
        outside = cv2.BORDER_CONSTANT  # 0
        return np.asarray(cv2.sepFilter2D(plane, -1, window, window, borderType=outside))

    def cells(plane: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))

    def weight(variance: np.ndarray) -> np.ndarray:
        around = cv2.blur(variance, (5, 5), borderType=cv2.BORDER_REPLICATE)
        return np.float32(TRUST) / (np.float32(TRUST) + np.maximum(around, 0))

    mean = 0.5 * (previous + current)
    gx = cv2.Sobel(mean, -1, 1, 0, scale=0.125, borderType=cv2.BORDER_REPLICATE)
    gy = cv2.Sobel(mean, -1, 0, 1, scale=0.125, borderType=cv2.BORDER_REPLICATE)
    t = previous - current
    xx, xy, yy, xt, yt, tt = (
        cells(plane) for plane in (gx * gx, gx * gy, gy * gy, gx * t, gy * t, t * t)
    )

    def solve(weights: np.ndarray) -> tuple[np.ndarray, ...]:
        a, b, c, p, q = (windowed(weights * plane) for plane in (xx, xy, yy, xt, yt))
        a, c = a + RIDGE, c + RIDGE
        scale = 1 / (a * c - b * b)
        return scale * c, -scale * b, scale * a, scale * (c * p - b * q), scale * (a * q - b * p)

    weights = weight(tt)
    ixx, ixy, iyy, x, y = solve(weights)
    if refinements:
        explained = x * (2 * xt - xx * x - xy * y) + y * (2 * yt - xy * x - yy * y)
        weights = weight(tt - explained)
        ixx, ixy, iyy, x, y = solve(weights)
    for _ in range(refinements):
        p = windowed(weights * (xt - xx * x - xy * y))
        q = windowed(weights * (yt - xy * x - yy * y))
        x, y = x + ixx * p + ixy * q, y + ixy * p + iyy * q
    return np.stack([x, y])
