"""How good a motion field is: against the truth, or against itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import (
    require_field,
    require_mask,
    require_same_size,
    require_spacing,
)


@dataclass(frozen=True)
class EndPointError:
    """Length of the error vector over a mask.

    Attributes:
        mean_px, median_px, p95_px: Statistics over the mask's pixels.
        mean_mm: Mean in mm; None without a calibration.
    """

    mean_px: float
    median_px: float
    p95_px: float
    mean_mm: float | None


def end_point_error(
    estimate: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    spacing_mm: tuple[float, float] | None = None,
) -> EndPointError:
    """EPE = mean over the mask of |estimate - truth|.

    Args:
        estimate, truth: Flow or displacement, [2, H, W] px, on the same grid.
        mask: Where to measure, bool [H, W]; the myocardium, usually.
        spacing_mm: (row_mm, column_mm), or None for pixels only.

    Raises:
        ArgumentError: Shapes differ, the mask is empty, or a value is not finite.

    Source:
        Baker et al. 2011 (Middlebury), restricted to the wall.
    """
    found, true = require_field("estimate", estimate), require_field("truth", truth)
    require_same_size("truth", true, found.shape[-2:])
    inside = require_mask(mask, found.shape[-2:])
    error = (found - true)[:, inside].astype(np.float64)
    length = np.hypot(error[0], error[1])
    mean_mm = None
    if spacing_mm is not None:
        row_mm, column_mm = require_spacing(spacing_mm)
        mean_mm = float(np.hypot(error[0] * column_mm, error[1] * row_mm).mean())
    return EndPointError(
        float(length.mean()),
        float(np.median(length)),
        float(np.percentile(length, 95)),
        mean_mm,
    )


def jacobian_determinant(displacement: np.ndarray) -> np.ndarray:
    """det(I + du/dX), f64 [H, W]: local area change; central differences, one-sided at borders.

    Args:
        displacement: [2, H, W] px.
    """
    u = require_field("displacement", displacement).astype(np.float64)
    ux_y, ux_x = np.gradient(u[0])
    uy_y, uy_x = np.gradient(u[1])
    determinant: np.ndarray = (1.0 + ux_x) * (1.0 + uy_y) - ux_y * uy_x
    return determinant


def folding(displacement: np.ndarray, mask: np.ndarray) -> float:
    """Percentage of the mask's pixels where det(I + du/dX) <= 0: tissue turned inside out.

    Raises:
        ArgumentError: The mask is empty or of another size, or a value is not finite.
    """
    determinant = jacobian_determinant(displacement)
    inside = require_mask(mask, determinant.shape)
    return 100.0 * float(np.mean(determinant[inside] <= 0))


def loop_closure(displacement: np.ndarray, mask: np.ndarray) -> float:
    """Mean length of the displacement over one whole beat, px: a heart returns to where it began.

    Zero is necessary and not sufficient: a tracker that never moves closes perfectly, so show it
    beside the motion within the beat.

    Args:
        displacement: Composed over one beat, [2, H, W] px.
        mask: Where to measure, bool [H, W].

    Raises:
        ArgumentError: The mask is empty or of another size, or a value is not finite.
    """
    u = require_field("displacement", displacement)
    inside = require_mask(mask, u.shape[-2:])
    return float(np.hypot(u[0], u[1])[inside].mean())


#: TAP-Vid's thresholds, pixels of a 256 x 256 frame.
_TAP_VID_PX = (1.0, 2.0, 4.0, 8.0, 16.0)


def delta_average(
    estimate: np.ndarray, truth: np.ndarray, size: tuple[int, int], query: int = 0
) -> float:
    """Mean over 1, 2, 4, 8, 16 px of the share of points closer than that, percent.

    Show a static prediction's value beside it: on a whole beat it was 47 %.

    Args:
        estimate, truth: Tracks [T, N, 2] px (x, y).
        size: (rows, columns) of the frames: coordinates are scaled to 256 x 256 first.
        query: The frame where the points were given; it does not count.

    Raises:
        ArgumentError: Shapes differ, fewer than two frames, or a value that is not finite.

    Source:
        TAP-Vid (Doersch et al. 2022), as EchoTracker evaluates it.
    """
    error = _track_error(estimate, truth) * (256.0 / np.array([size[1], size[0]]))
    length = np.delete(np.linalg.norm(error, axis=-1), query, axis=0)
    return 100.0 * float(np.mean([np.mean(length < limit) for limit in _TAP_VID_PX]))


def _track_error(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    found, true = np.asarray(estimate, np.float64), np.asarray(truth, np.float64)
    if found.shape != true.shape or found.ndim != 3 or found.shape[2] != 2 or len(found) < 2:
        raise ArgumentError(
            "two tracks [T >= 2, N, 2]", f"{list(found.shape)} and {list(true.shape)}"
        )
    if not (np.isfinite(found).all() and np.isfinite(true).all()):
        raise ArgumentError("finite tracks", "NaN or infinite points")
    return np.asarray(found - true)
