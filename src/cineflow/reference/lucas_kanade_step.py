"""The reference of `cineflow.ops.lucas_kanade_step`, from its formulas, cell by cell."""

from __future__ import annotations

import math

import numpy as np

#: Sum of mean squares of a cell above which it does not count.
LARGEST = 1e12


def lucas_kanade_step(
    previous: np.ndarray,
    current: np.ndarray,
    mask: np.ndarray,
    *,
    cell: int,
    sigma: float,
    refinements: int = 0,
    trust: float = 8.0,
    ridge: float = 1.0,
) -> np.ndarray:
    """Shapes and arguments as in `cineflow.ops.lucas_kanade_step`; result float64."""
    batch, _, height, width = mask.shape
    out = np.zeros((batch, 2, height, width))
    if out.size == 0:
        return out
    window = gaussian(float(np.float32(sigma)))
    for image in range(batch):
        pair = previous[image, 0].astype(np.float64), current[image, 0].astype(np.float64)
        matrix, target, variance = equations(*pair, cell)
        total = matrix[..., 0, 0] + matrix[..., 1, 1] + variance
        counts = total <= LARGEST  # NaN does not
        matrix[~counts], target[~counts], variance[~counts] = 0, 0, 0
        prior = np.where(counts & (mask[image, 0] > 0), np.minimum(mask[image, 0], 1), 0)

        weight = weights(variance, prior, trust)
        inverse, flow = solution(matrix, target, weight, window, ridge)
        if refinements:
            explained = 2 * target - apply(matrix, flow)
            weight = weights(variance - (flow * explained).sum(axis=-1), prior, trust)
            inverse, flow = solution(matrix, target, weight, window, ridge)
        for _ in range(refinements):
            rest = weight[..., None] * (target - apply(matrix, flow))
            flow = flow + apply(inverse, windowed(rest, window))
        out[image] = np.moveaxis(flow, -1, 0)
    return out


def equations(
    previous: np.ndarray, current: np.ndarray, cell: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A [h, w, 2, 2], b [h, w, 2] and v [h, w] of every cell of two images [cell h, cell w]."""
    rows, columns = (side // cell for side in previous.shape)
    mean = np.pad(0.5 * (previous + current), 1, mode="edge")
    change = previous - current
    matrix, target = np.zeros((rows, columns, 2, 2)), np.zeros((rows, columns, 2))
    variance = np.zeros((rows, columns))
    for y, x in np.ndindex(previous.shape):
        around = mean[y : y + 3, x : x + 3]
        across, down = 0.5 * (around[:, 2] - around[:, 0]), 0.5 * (around[2] - around[0])
        smooth = np.array([0.25, 0.5, 0.25])
        gradient = np.array([across @ smooth, down @ smooth])
        at = y // cell, x // cell
        matrix[at] += np.outer(gradient, gradient) / cell**2
        target[at] += gradient * change[y, x] / cell**2
        variance[at] += change[y, x] ** 2 / cell**2
    return matrix, target, variance


def gaussian(sigma: float) -> np.ndarray:
    """The window along one axis, [2 reach + 1], of sum 1."""
    reach = max(1, math.ceil(2.5 * sigma))
    weight = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return weight / weight.sum()


def weights(variance: np.ndarray, prior: np.ndarray, trust: float) -> np.ndarray:
    """w(v) of every cell [h, w]."""
    height, width = variance.shape
    padded = np.pad(variance, 2, mode="edge")
    around = np.zeros_like(variance)
    for y, x in np.ndindex(height, width):
        around[y, x] = padded[y : y + 5, x : x + 5].mean()
    return prior * trust / (trust + np.maximum(around, 0))


def windowed(values: np.ndarray, window: np.ndarray) -> np.ndarray:
    """G * values, [h, w, ...]; outside counts 0."""
    reach = len(window) // 2
    for axis in (0, 1):
        moved = np.moveaxis(values, axis, 0)
        sums = np.zeros_like(moved)
        for at, to in np.ndindex(len(moved), len(moved)):
            if abs(to - at) <= reach:
                sums[to] += window[at - to + reach] * moved[at]
        values = np.moveaxis(sums, 0, axis)
    return values


def apply(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The product in every cell: [h, w, 2, 2] and [h, w, 2]."""
    return np.einsum("hwij,hwj->hwi", matrices, vectors)


def solution(
    matrix: np.ndarray, target: np.ndarray, weight: np.ndarray, window: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """M(w)^-1 [h, w, 2, 2] and the flow [h, w, 2]."""
    sums = windowed(weight[..., None, None] * matrix, window) + ridge * np.eye(2)
    inverse = np.linalg.inv(sums)
    return inverse, apply(inverse, windowed(weight[..., None] * target, window))
