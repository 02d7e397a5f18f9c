"""Left-ventricular measurements from four points of a parasternal long axis.

The points lie on one line across the ventricle: first the two borders of the septum, then the two
of the posterior wall (`BORDERS`). Lengths are in mm, so the picture must have a calibration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import require_spacing

#: Show this wherever a Teichholz volume is shown.
TEICHHOLZ_WARNING = (
    "Teichholz volumes assume a ventricle of normal shape that contracts evenly; guidelines advise "
    "against them for the ejection fraction"
)

#: Names of the four points, in their order. Points with these names are measured as a ventricle.
BORDERS = ("septum outer", "septum inner", "posterior inner", "posterior outer")

#: Names of the lengths from each of them to the next.
LENGTHS = ("IVS", "LVID", "LVPW")


@dataclass(frozen=True)
class Dimensions:
    """Wall and cavity over time, f64 [T], mm.

    Attributes:
        ivs: Interventricular septum.
        lvid: Internal diameter of the left ventricle.
        lvpw: Posterior wall.
    """

    ivs: np.ndarray
    lvid: np.ndarray
    lvpw: np.ndarray


def dimensions(
    points_px: np.ndarray, spacing_mm: tuple[float, float] | None, size: tuple[int, int]
) -> Dimensions:
    """IVS, LVID and LVPW from tracked key points.

    Args:
        points_px: [T, 4, 2] px (x, y): septum outer, septum inner, posterior wall inner, outer.
        spacing_mm: (row_mm, column_mm). None is refused, because lengths are in mm.
        size: (rows, columns) of the frames.

    Raises:
        ArgumentError: `spacing_mm` is None, another shape, a point that is not finite or outside
            the image, or points that are out of order along their line.
    """
    points = np.asarray(points_px, np.float64)
    if points.ndim != 3 or points.shape[1:] != (4, 2) or len(points) == 0:
        raise ArgumentError("four points per frame, [T, 4, 2]", f"{list(points.shape)}")
    if spacing_mm is None:
        raise ArgumentError(
            "a calibration (row_mm, column_mm)",
            "none",
            "Without a calibration only pixels and ratios can be measured, not mm",
        )
    row_mm, column_mm = require_spacing(spacing_mm)
    inside = (points >= -0.5) & (points <= np.array([size[1], size[0]]) - 0.5)
    if not inside.all():
        frame, point, _ = np.argwhere(~inside)[0]
        raise ArgumentError(
            f"points inside the image of {size[0]}x{size[1]} px",
            f"point {point} of frame {frame} at {points[frame, point].tolist()}",
        )
    steps = np.diff(points * np.array([column_mm, row_mm]), axis=1)
    crossed = _crossed(steps)
    if crossed.any():
        frame, point = np.argwhere(crossed)[0]
        raise ArgumentError(
            "points in order along one line: septum outer, inner, posterior wall inner, outer",
            f"point {point + 1} of frame {frame} not beyond point {point}",
            "The points have crossed, so the lengths are meaningless. Was the tracking lost?",
        )
    septum, cavity, posterior = np.linalg.norm(steps, axis=-1).T
    return Dimensions(septum, cavity, posterior)


def in_order(points: np.ndarray) -> np.ndarray:
    """Whether the points of each frame are in order along their line, bool [T].

    Args:
        points: [T, 4, 2] (x, y), in any unit that both axes share.
    """
    crossed = _crossed(np.diff(np.asarray(points, np.float64), axis=1))
    return np.asarray(~crossed.any(axis=1))


def _crossed(steps: np.ndarray) -> np.ndarray:
    """Whether each step [T, 3, 2] does not lead along the line from first to last, bool [T, 3]."""
    crossed: np.ndarray = (steps * steps.sum(axis=1, keepdims=True)).sum(axis=-1) <= 0
    return crossed


def fractional_shortening(lvid_ed: float, lvid_es: float) -> float:
    """FS = (LVIDd - LVIDs) / LVIDd, a fraction (Lang et al. 2015).

    Args:
        lvid_ed, lvid_es: Internal diameter at end-diastole and end-systole, in one unit.

    Raises:
        ArgumentError: A diameter that is not positive, or larger at end-systole.
    """
    _shortening(lvid_ed, lvid_es)
    return (lvid_ed - lvid_es) / lvid_ed


def teichholz_ml(lvid_mm: float) -> float:
    """V = 7 / (2.4 + D) * D^3, D in cm, V in ml. Show `TEICHHOLZ_WARNING` with it.

    Args:
        lvid_mm: Internal diameter, mm.

    Raises:
        ArgumentError: A diameter that is not positive.
    """
    _positive(lvid_mm)
    d = lvid_mm / 10.0
    return 7.0 / (2.4 + d) * d**3


@dataclass(frozen=True)
class TeichholzVolumes:
    """Volumes from one diameter, with the warning that belongs to them.

    Attributes:
        edv_ml, esv_ml: Volume at end-diastole and end-systole, ml.
        ef_percent: Ejection fraction, 100 (EDV - ESV) / EDV.
        warning: Show it next to the figures.
    """

    edv_ml: float
    esv_ml: float
    ef_percent: float
    warning: str = TEICHHOLZ_WARNING


def teichholz(lvid_ed_mm: float, lvid_es_mm: float) -> TeichholzVolumes:
    """Volumes and ejection fraction by Teichholz et al. 1976.

    Args:
        lvid_ed_mm, lvid_es_mm: Internal diameter at end-diastole and end-systole, mm.

    Raises:
        ArgumentError: A diameter that is not positive, or larger at end-systole.
    """
    _shortening(lvid_ed_mm, lvid_es_mm)
    edv, esv = teichholz_ml(lvid_ed_mm), teichholz_ml(lvid_es_mm)
    return TeichholzVolumes(edv, esv, 100.0 * (edv - esv) / edv)


def mass_g(ivs_mm: float, lvid_mm: float, lvpw_mm: float) -> float:
    """LV mass at end-diastole, 0.8 * 1.04 * [(IVS + LVID + PW)^3 - LVID^3] + 0.6 g, lengths in cm.

    Args:
        ivs_mm, lvid_mm, lvpw_mm: Lengths at end-diastole, mm.

    Raises:
        ArgumentError: A length that is not positive.

    Source:
        Devereux et al. 1986, as in Lang et al. 2015.
    """
    _positive(ivs_mm, lvid_mm, lvpw_mm)
    whole = (ivs_mm + lvid_mm + lvpw_mm) / 10.0
    return 0.8 * 1.04 * (whole**3 - (lvid_mm / 10.0) ** 3) + 0.6


def _shortening(lvid_ed: float, lvid_es: float) -> None:
    _positive(lvid_ed, lvid_es)
    if lvid_es > lvid_ed:
        raise ArgumentError(
            "a diameter no larger at end-systole than at end-diastole",
            f"{lvid_es} after {lvid_ed}",
            "Check their order, and the frames they were measured in",
        )


def _positive(*lengths: float) -> None:
    if not all(np.isfinite(value) and value > 0 for value in lengths):
        raise ArgumentError("positive finite lengths", f"{lengths}")
