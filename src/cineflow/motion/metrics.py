"""Measures of a motion field: its error against the truth, folding, and loop closure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.beats import mean_length
from cineflow.motion.fields import (
    require_field,
    require_mask,
    require_same_size,
    require_spacing,
)


@dataclass(frozen=True)
class EndPointError:
    """Statistics of the length of the error vector over a mask.

    Attributes:
        mean_px, median_px, p95_px: Mean, median and 95th percentile, px.
        mean_mm: Mean in mm; None without a calibration.
        note: Why `mean_mm` is None; empty otherwise.
    """

    mean_px: float
    median_px: float
    p95_px: float
    mean_mm: float | None
    note: str = ""


def end_point_error(
    estimate: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    spacing_mm: tuple[float, ...] | None = None,
) -> EndPointError:
    """EPE = mean over the mask of |estimate - truth|.

    Args:
        estimate, truth: Flow or displacement, [2, H, W] or [3, D, H, W] px, on the same grid.
        mask: Where to measure, bool [H, W] or [D, H, W]; usually the myocardium.
        spacing_mm: mm per pixel along the array's axes, (row_mm, column_mm) or (slice_mm, row_mm,
            column_mm); None for pixels only.

    Raises:
        ArgumentError: Shapes differ, the mask is empty, a value is not finite, or the spacing is
            invalid.

    Source:
        Baker et al. 2011 (Middlebury), restricted to the wall.
    """
    found = require_field("estimate", estimate, volumes=True)
    true = require_field("truth", truth, volumes=True)
    require_same_size("truth", true, found.shape[1:])
    inside = require_mask(mask, found.shape[1:])
    error = (found - true)[:, inside].astype(np.float64)
    length = np.linalg.norm(error, axis=0)
    mean_mm, note = None, "no calibration was given: pixels only"
    if spacing_mm is not None:
        steps = np.array(require_spacing(spacing_mm, len(found)))[::-1, None]  # (x, y[, z])
        mean_mm, note = float(np.linalg.norm(error * steps, axis=0).mean()), ""
    return EndPointError(
        float(length.mean()),
        float(np.median(length)),
        float(np.percentile(length, 95)),
        mean_mm,
        note,
    )


def jacobian_determinant(displacement: np.ndarray) -> np.ndarray:
    """det(I + du/dX), f64 [H, W] or [D, H, W]: local ratio of area or volume.

    Uses central differences, one-sided at borders. The determinant has no unit, so the pixel
    spacing is not needed.

    Args:
        displacement: [2, H, W] or [3, D, H, W] px.

    Raises:
        ArgumentError: The wrong shape, fewer than 2 pixels along an axis, or a value that is not
            finite.
    """
    u = require_field("displacement", displacement, volumes=True).astype(np.float64)
    if min(u.shape[1:]) < 2:
        raise ArgumentError(
            "2 or more pixels along every axis",
            f"{list(u.shape)}",
        )
    # j[a][b] = d x_a / d X_b; the array's axes run (z, y, x), the components (x, y, z).
    j = [list(np.gradient(component))[::-1] for component in u]
    for axis in range(len(u)):
        j[axis][axis] = j[axis][axis] + 1.0
    if len(u) == 2:
        return np.asarray(j[0][0] * j[1][1] - j[0][1] * j[1][0])
    return np.asarray(
        j[0][0] * (j[1][1] * j[2][2] - j[1][2] * j[2][1])
        - j[0][1] * (j[1][0] * j[2][2] - j[1][2] * j[2][0])
        + j[0][2] * (j[1][0] * j[2][1] - j[1][1] * j[2][0])
    )


def folding(displacement: np.ndarray, mask: np.ndarray) -> float:
    """Percentage of the mask's pixels where det(I + du/dX) <= 0: the tissue folds over itself.

    Args:
        displacement: [2, H, W] or [3, D, H, W] px.
        mask: Where to measure, bool [H, W] or [D, H, W].

    Raises:
        ArgumentError: The mask is empty or has the wrong size, or as `jacobian_determinant`.

    Source:
        The usual count of voxels with det <= 0 in image registration, as in SegMorph.
    """
    determinant = jacobian_determinant(displacement)
    inside = require_mask(mask, determinant.shape)
    return 100.0 * float(np.mean(determinant[inside] <= 0))


def loop_closure(displacement: np.ndarray, mask: np.ndarray) -> float:
    """Mean length of the displacement over one whole beat, px. A heart returns to where it began.

    Zero is necessary but not sufficient, because a tracker that reports no motion also gives zero.
    Show it together with the motion within the beat.

    Args:
        displacement: Composed over one beat, [2, H, W] or [3, D, H, W] px.
        mask: Where to measure, bool [H, W] or [D, H, W].

    Raises:
        ArgumentError: The mask is empty or has the wrong size, or a value is not finite.

    Source:
        Defined by this project: the forward-backward error of Kalal et al. 2010 over a whole beat.
    """
    u = require_field("displacement", displacement, volumes=True)
    return mean_length(u, require_mask(mask, u.shape[1:]))
