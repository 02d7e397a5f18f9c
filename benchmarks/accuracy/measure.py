"""Figures of one method on one case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from benchmarks.accuracy.cases import Case
from cineflow.motion.compose import compose
from cineflow.motion.metrics import end_point_error, folding
from cineflow.motion.strain import deformation_gradient, directional_strain, wall_directions

#: (previous, current) u8 [H, W] -> flow f32 [2, H, W] px.
Tracker = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Figures:
    """Figures of the table.

    Attributes:
        pair_px: Frame-to-frame end-point error, mean over the wall and over systole, px.
        systole_px: End-point error of the composed displacement at end-systole, px.
        circumferential, radial: Bias of the mean Lagrangian strain over the wall, percent points.
        folding_percent: Wall pixels that are folded at end-systole, percent.
    """

    pair_px: float
    systole_px: float
    circumferential: float
    radial: float
    folding_percent: float


def measure(track: Tracker, case: Case) -> Figures:
    """Tracks `case` from end-diastole to end-systole."""
    u = np.zeros_like(case.displacement)
    errors = []
    for i, truth in enumerate(case.flows):
        flow = np.asarray(track(case.frames[i], case.frames[i + 1]), np.float32)
        errors.append(end_point_error(flow, truth, case.walls[i]).mean_px)
        u = compose(u, flow)
    radial, circumferential = strain(u, case) - strain(case.displacement, case)
    return Figures(
        pair_px=float(np.mean(errors)),
        systole_px=end_point_error(u, case.displacement, case.walls[0]).mean_px,
        circumferential=float(circumferential),
        radial=float(radial),
        folding_percent=folding(u, case.inner_wall),
    )


def average(figures: list[Figures]) -> Figures:
    """Mean of each figure. Strain biases keep their sign, so opposite biases cancel."""
    return Figures(
        **{
            item.name: float(np.mean([getattr(one, item.name) for one in figures]))
            for item in fields(Figures)
        }
    )


def strain(u: np.ndarray, case: Case) -> np.ndarray:
    """Mean Lagrangian strain over the wall, (radial, circumferential), percent; NaN is skipped."""
    gradient = deformation_gradient(u)[case.inner_wall]
    directions = wall_directions(u.shape[-2:], case.centre)[:, case.inner_wall]
    return np.array([100.0 * np.nanmean(directional_strain(gradient, d)) for d in directions])
