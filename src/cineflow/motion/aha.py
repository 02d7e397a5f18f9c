"""The left ventricle's standard segments, and a wall-motion score from strain.

Source:
    Cerqueira et al. 2002 (AHA 17 segments); Lang et al. 2015 (score 1 to 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import require_finite, require_mask, require_point, require_spacing

Level = Literal["basal", "mid", "apical"]

NAMES: tuple[str, ...] = (
    "basal anterior", "basal anteroseptal", "basal inferoseptal", "basal inferior",
    "basal inferolateral", "basal anterolateral",
    "mid anterior", "mid anteroseptal", "mid inferoseptal", "mid inferior",
    "mid inferolateral", "mid anterolateral",
    "apical anterior", "apical septal", "apical inferior", "apical lateral",
    "apex",
)  # fmt: skip

#: Level -> (first segment number, number of segments).
LEVELS: dict[str, tuple[int, int]] = {"basal": (1, 6), "mid": (7, 6), "apical": (13, 4)}

Sense = Literal["clockwise", "counterclockwise"]


def segment_of_angle(angle_deg: np.ndarray, level: Level) -> np.ndarray:
    """Segment number, 1 to 16, of angles from the anterior wall towards the septum, int64 [...].

    Basal and mid levels have six segments of 60 degrees, the first over [-30, 30). The apical level
    has four of 90 degrees, the first over [-45, 45).

    Args:
        angle_deg: Degrees, 0 at the middle of the anterior wall, [...].
        level: Where along the long axis the angles were measured.

    Raises:
        ArgumentError: An unknown level, or an angle that is not finite.
    """
    if level not in LEVELS:
        raise ArgumentError(f"a level of {', '.join(LEVELS)}", repr(level))
    angle = np.asarray(angle_deg, np.float64)
    require_finite("angles", angle)
    first, count = LEVELS[level]
    width = 360.0 / count
    index = np.floor(((angle + width / 2.0) % 360.0) / width).astype(np.int64)
    return np.asarray(first + np.minimum(index, count - 1))


def segment_map(
    wall: np.ndarray,
    centre: tuple[float, float],
    anterior: tuple[float, float],
    level: Level,
    *,
    septum: Sense = "counterclockwise",
) -> np.ndarray:
    """Segment number of each wall pixel of a short-axis frame, int64 [H, W], 0 outside the wall.

    Args:
        wall: Myocardium at end-diastole, bool [H, W].
        centre: Cavity centre, (x, y) px.
        anterior: Any point in the direction of the middle of the anterior wall, (x, y) px.
        level: Where along the long axis the slice was taken.
        septum: Sense of rotation on the screen from the anterior wall to the septum. On a standard
            parasternal short axis the septum is on the left: counterclockwise.

    Raises:
        ArgumentError: An empty mask or a mask of a volume, a point that is not two finite numbers,
            a centre outside the image, `anterior` at the centre, or an unknown sense.
    """
    require_sense(septum)
    inside = require_mask(wall, np.shape(wall))
    if inside.ndim != 2:
        raise ArgumentError(
            "a wall [H, W]", f"{list(inside.shape)}", "For a volume, use segment_volume"
        )
    x, y = middle = require_point("centre", centre, 2, inside.shape)
    axis = require_point("anterior", anterior, 2) - middle
    if not axis.any():
        raise ArgumentError("an anterior point away from the centre", f"{anterior}")
    rows, columns = np.nonzero(inside)
    # y points down, so arctan2 runs clockwise on the screen.
    angle = np.rad2deg(np.arctan2(rows - y, columns - x))
    angle = angle - np.rad2deg(np.arctan2(axis[1], axis[0]))
    if septum == "counterclockwise":
        angle = -angle
    labels = np.zeros(inside.shape, np.int64)
    labels[rows, columns] = segment_of_angle(angle, level)
    return labels


def segment_volume(
    wall: np.ndarray,
    apex: np.ndarray,
    base: np.ndarray,
    anterior: np.ndarray,
    *,
    spacing_mm: tuple[float, ...] | None = None,
    septum: Sense = "counterclockwise",
) -> np.ndarray:
    """Segment number of each wall voxel of a volume, int64 [D, H, W]; 0 outside the wall.

    The cavity's long axis, from `apex` to `base`, is cut into equal thirds: apical, mid, basal.
    Voxels beyond `apex` are the cap, 17. Voxels beyond `base` are outside the ventricle, 0.

    Args:
        wall: Myocardium at end-diastole, bool [D, H, W].
        apex: Apical end of the cavity (endocardium), (x, y, z) voxels.
        base: Middle of the mitral annulus, (x, y, z) voxels.
        anterior: Any point on the anterior side of the axis, (x, y, z) voxels.
        spacing_mm: (slice_mm, row_mm, column_mm); None for equal spacing along every axis.
        septum: Sense of rotation from the anterior wall to the septum, looking from the apex to the
            base. It is counterclockwise unless the volume (x right, y down, z into the screen) is a
            mirror image of the heart.

    Raises:
        ArgumentError: An empty mask, an invalid spacing or point, apex or base outside the volume,
            apex and base at the same point, `anterior` on the axis, or an unknown sense.

    Source:
        Cerqueira et al. 2002.
    """
    require_sense(septum)
    inside = require_mask(wall, np.shape(wall))
    if inside.ndim != 3:
        raise ArgumentError("a wall [D, H, W]", f"{list(inside.shape)}")
    steps = np.ones(3) if spacing_mm is None else np.array(require_spacing(spacing_mm, 3))[::-1]
    origin = require_point("apex", apex, 3, inside.shape) * steps
    axis = require_point("base", base, 3, inside.shape) * steps - origin
    length = float(np.linalg.norm(axis))
    if not length > 0:
        raise ArgumentError("a base away from the apex", f"{apex} and {base}")
    axis = axis / length
    towards = require_point("anterior", anterior, 3) * steps - origin
    towards = towards - (towards @ axis) * axis
    if not np.linalg.norm(towards) > 1e-9 * length:
        raise ArgumentError("an anterior point away from the axis", f"{anterior}")
    # Counterclockwise seen from the apex: opposite to the right-hand rule about apex to base.
    septal = np.cross(towards, axis)
    if septum == "clockwise":
        septal = -septal
    offset = np.argwhere(inside)[:, ::-1] * steps - origin  # (x, y, z) mm
    height = offset @ axis / length
    angle = np.rad2deg(np.arctan2(offset @ septal, offset @ towards))
    labels = np.full(len(offset), 17, np.int64)
    thirds: tuple[tuple[float, Level], ...] = ((0, "apical"), (1 / 3, "mid"), (2 / 3, "basal"))
    for lowest, level in thirds:
        above = height >= lowest
        labels[above] = segment_of_angle(angle[above], level)
    labels[height > 1.0] = 0
    volume = np.zeros(inside.shape, np.int64)
    volume[inside] = labels
    return volume


def segment_means(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean of `values` over each of the segments 1 to 17, f64 [17].

    NaN values are missing and do not count: strain along an undefined direction, or tissue outside
    the sector. A segment without values is NaN: it was not assessed, and `wall_motion_score` scores
    it 0.

    Args:
        values: Any shape; NaN where missing.
        labels: Segment of each value, integers 1 to 17 or 0 for none, same shape as `values`.

    Raises:
        ArgumentError: Shapes differ, a value in a segment is infinite, a label is not 0 to 17, or
            every label is 0.
    """
    value, label = np.asarray(values, np.float64), np.asarray(labels)
    if value.shape != label.shape:
        raise ArgumentError(f"values {list(label.shape)}", f"{list(value.shape)}")
    if label.dtype.kind not in "iu" or (label.size and not 0 <= label.min() <= label.max() <= 17):
        raise ArgumentError(
            "a segment map of integers 0 to 17",
            f"{label.dtype.name} {np.unique(label)[[0, -1]] if label.size else '[]'}",
            "Use the labels of segment_map or segment_volume; 0 is outside the wall",
        )
    inside = label > 0
    if not inside.any():
        raise ArgumentError("a segment map with at least one segment", "an empty one")
    if np.isinf(value[inside]).any():
        raise ArgumentError("values that are finite, or NaN where missing", "infinite values")
    inside &= ~np.isnan(value)
    count = np.bincount(label[inside], minlength=18)[1:]
    total = np.bincount(label[inside], weights=value[inside], minlength=18)[1:]
    return np.asarray(np.divide(total, count, out=np.full(17, np.nan), where=count > 0))


#: Thresholds as shares of a heart's best segments; fixed on phantoms (docs/motion/accuracy.md).
_SHARES = (0.65, 0.25, -0.2)
#: Fraction by which the best segments must shorten. Less is rounding or noise.
_LEAST_CONTRACTION = 0.01
#: Nothing shortens by more than its own length. A larger contraction is in percent.
_MOST_CONTRACTION = 1.0
_DIVIDE = "Divide percent by 100: strain is a fraction in every call"


@dataclass(frozen=True)
class ScoreRule:
    """Thresholds of the rule-based wall-motion score, on peak systolic strain, a fraction.

    Contraction is positive: minus the circumferential or longitudinal strain. A segment is normal
    (1) from `hypokinetic` up, hypokinetic (2) below it, akinetic (3) below `akinetic`, and
    dyskinetic (4) below `dyskinetic`.

    How far a normal wall shortens differs between hearts, so the defaults do not suit all of them.
    `relative_to` defines normal by the heart's own best segments instead.
    """

    hypokinetic: float = 0.11
    akinetic: float = 0.035
    dyskinetic: float = -0.015

    def __post_init__(self) -> None:
        if not self.hypokinetic > self.akinetic > self.dyskinetic:
            raise ArgumentError("hypokinetic > akinetic > dyskinetic", repr(self))
        if self.hypokinetic > _MOST_CONTRACTION:
            raise ArgumentError("thresholds as fractions", repr(self), _DIVIDE)

    @classmethod
    def relative_to(cls, contraction: np.ndarray) -> ScoreRule:
        """Thresholds for one heart: shares of the mean of its two most contracting segments.

        A heart that is weak everywhere is scored as normal.

        Args:
            contraction: Contraction of the heart's segments, a fraction, [...]; NaN where not
                assessed.

        Raises:
            ArgumentError: Fewer than two assessed segments, the best contract by less than 1 %, or
                a strain that is infinite or in percent.
        """
        assessed = _require_fractions(contraction)
        assessed = np.sort(assessed[~np.isnan(assessed)])
        best = float(assessed[-2:].mean()) if len(assessed) >= 2 else float("nan")
        if not best >= _LEAST_CONTRACTION:
            raise ArgumentError(
                "two or more segments, the best contracting by "
                f"{100 * _LEAST_CONTRACTION:g} % or more",
                f"{len(assessed)} assessed, best {100 * best:.1f} %",
                "Pass a ScoreRule with thresholds of your own",
            )
        return cls(*(share * best for share in _SHARES))


def wall_motion_score(contraction: np.ndarray, rule: ScoreRule | None = None) -> np.ndarray:
    """Score per segment: 1 normal, 2 hypokinetic, 3 akinetic, 4 dyskinetic; 0 not assessed.

    Args:
        contraction: Minus the peak systolic strain, a fraction, [...]; NaN where not assessed.
        rule: Thresholds; None for the defaults of `ScoreRule`.

    Raises:
        ArgumentError: A strain that is infinite or in percent.
    """
    rule = rule or ScoreRule()
    c = _require_fractions(contraction)
    score = 1 + (c < rule.hypokinetic).astype(np.int64)
    score += (c < rule.akinetic).astype(np.int64) + (c < rule.dyskinetic)
    return np.where(np.isnan(c), 0, score)


def wall_motion_score_index(scores: np.ndarray) -> float:
    """Mean score over the assessed segments (score 0 is left out), 1 to 4 (Lang et al. 2015).

    Raises:
        ArgumentError: A score outside 0 to 4, or every score is 0.
    """
    values = np.asarray(scores)
    if not np.isin(values, range(5)).all():
        raise ArgumentError("scores of 0 (not assessed) to 4", f"{np.unique(values)}")
    if not values.any():
        raise ArgumentError("at least one assessed segment", "none")
    return float(values[values > 0].mean())


def _require_fractions(contraction: np.ndarray) -> np.ndarray:
    c = np.asarray(contraction, np.float64)
    if np.isinf(c).any():
        raise ArgumentError(
            "finite strain",
            f"{np.count_nonzero(np.isinf(c))} infinite values",
            "Give NaN for a segment that was not assessed",
        )
    most = np.nanmax(c, initial=0.0)
    if most > _MOST_CONTRACTION:
        raise ArgumentError(
            f"contraction as a fraction, at most {_MOST_CONTRACTION:g}", f"{most:.3g}", _DIVIDE
        )
    return c


def require_sense(septum: str) -> None:
    if septum not in get_args(Sense):
        raise ArgumentError(
            f"a sense of {' or '.join(get_args(Sense))}",
            repr(septum),
            "It is the direction of rotation from the anterior wall to the septum",
        )
