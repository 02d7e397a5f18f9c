"""How good a motion field is: against the truth, or against itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
