"""Lengths over a clip, frame by frame, where a model sees a window of frames at once.

A result of a window describes one frame. Its points, if they have a time axis, are those of every
frame of the window, and these curves have them all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cineflow.cine import Cine
from cineflow.motion import ventricle
from cineflow.motion.landmarks import chain_lengths
from cineflow.motion.phases import Phases, find_phases
from cineflow.motion.strain_error import INTERVAL, length_sigma
from cineflow.report.scalars import Row

#: Where phases come from without a better source.
BY_LVID = "the largest and smallest LVID"


@dataclass(frozen=True)
class Measure:
    """One figure of a ventricle.

    Attributes:
        name: What it is, with its unit.
        value: The figure.
        note: What has to stand next to it; "" for nothing.
        interval: 2 sigma, in the unit of the figure; None where no uncertainty is known.
    """

    name: str
    value: float
    note: str = ""
    interval: float | None = None


@dataclass(frozen=True, eq=False)
class Followed:
    """How well points were followed from the frame that they were drawn in.

    Attributes:
        frame: That frame.
        accumulated_px: Accumulated expected error since then, [T] px of the model's picture, from
            `strain_error.accumulated_px`.
        scale: Pixels of the model's picture for each of the clip.
    """

    frame: int
    accumulated_px: np.ndarray
    scale: float


@dataclass(frozen=True, eq=False)
class Curves:
    """Lengths from each point to the next, for every frame that has points.

    Attributes:
        rows: One per frame of the clip: "frame", "time [ms]" and each length by "name [unit]", with
            its "name 2 sigma [unit]" where it is known.
        lengths: The columns of `rows` that are lengths.
        phases: End-diastole and end-systole; None where the points are not a ventricle's borders,
            or too few frames have them.
        measures: Of a ventricle with `phases`.
        disordered: Frames of a ventricle whose points have crossed; their lengths are left out.
        values: The lengths, f64 [T, K]; NaN where a frame does not have one.
        sigma: Standard uncertainty of each, f64 [T, K]; infinite where the points were lost. None
            for points that were not followed by a flow.
        source: Where the phases come from, in words.
    """

    rows: tuple[Row, ...]
    lengths: tuple[str, ...]
    phases: Phases | None
    measures: tuple[Measure, ...]
    disordered: tuple[int, ...]
    values: np.ndarray
    sigma: np.ndarray | None = None
    source: str = BY_LVID

    def column(self, name: str) -> np.ndarray:
        """Values of one column, f64 [T]; NaN where a frame does not have it."""
        cells = [row.get(name) for row in self.rows]
        return np.array([np.nan if cell is None else cell for cell in cells], np.float64)


def curves_of(
    cine: Cine,
    points: Mapping[int, np.ndarray],
    names: Sequence[str],
    *,
    followed: Followed | None = None,
    phases: Callable[[np.ndarray], tuple[Phases | None, str]] | None = None,
) -> Curves:
    """The curves of a clip.

    Args:
        cine: The clip; lengths are in mm if it has a spacing.
        points: By frame, [K, 2] (x, y) px of the clip.
        names: Of the points. Those of `ventricle.BORDERS` are measured as a ventricle.
        followed: How well the points of a clip were followed; None where a model found them in
            each frame.
        phases: From the diameter LVID [T] to the phases and their source; None finds them in the
            diameter.
    """
    heart = tuple(names) == ventricle.BORDERS
    frames = sorted(points)
    unit = "px" if cine.spacing_mm is None else "mm"
    count = max(0, len(next(iter(points.values()), names)) - 1)
    titles = ventricle.LENGTHS if heart else _between(names, count)
    columns = tuple(f"{title} [{unit}]" for title in titles)
    values = np.full((len(cine), count), np.nan)
    for frame in frames:
        values[frame] = chain_lengths(points[frame], cine.spacing_mm)
    disordered: tuple[int, ...] = ()
    if heart and frames:
        wrong = ~ventricle.in_order(np.stack([points[frame] for frame in frames]))
        disordered = tuple(frame for frame, bad in zip(frames, wrong, strict=True) if bad)
        values[list(disordered)] = np.nan
    sigma = None
    if followed is not None:
        drawn_px = followed.scale * chain_lengths(points[followed.frame])
        sigma = length_sigma(values, followed.accumulated_px, followed.frame, drawn_px)
    found, source = None, BY_LVID
    if heart and frames:
        lvid = values[:, 1]
        if phases is None:
            found = find_phases(lvid, np.asarray(cine.times_ms))
        else:
            found, source = phases(lvid)
    measures = () if found is None else tuple(_measures(values, sigma, found, unit))
    rows = tuple(_rows(cine, titles, unit, values, sigma))
    return Curves(rows, columns, found, measures, disordered, values, sigma, source)


def _rows(
    cine: Cine, titles: Sequence[str], unit: str, values: np.ndarray, sigma: np.ndarray | None
) -> Iterator[Row]:
    for index, time in enumerate(cine.times_ms):
        row: Row = {"frame": index, "time [ms]": float(time)}
        for k, title in enumerate(titles):
            row[f"{title} [{unit}]"] = _known(values[index, k])
            if sigma is not None:
                row[f"{title} 2 sigma [{unit}]"] = _known(INTERVAL * sigma[index, k])
        yield row


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _between(names: Sequence[str], count: int) -> tuple[str, ...]:
    known = [names[k] if k < len(names) else f"point {k}" for k in range(count + 1)]
    return tuple(f"length {a} to {b}" for a, b in itertools.pairwise(known))


#: What a figure is made of, as indices of (IVS, LVID, LVPW at end-diastole, LVID at end-systole).
_IVS, _LVID, _LVPW, _SMALL = range(4)
#: The sense in which each of these may change without ending the shortening.
_SENSE = np.array([1.0, 1.0, 1.0, -1.0])


def _measures(
    values: np.ndarray, sigma: np.ndarray | None, phases: Phases, unit: str
) -> Iterator[Measure]:
    """Wall and cavity at end-diastole and end-systole, and what follows from them."""
    ed, es = phases.ed[0], phases.es[0]
    lengths = np.array([*values[ed], values[es, 1]])
    around = None if sigma is None else np.array([*sigma[ed], sigma[es, 1]])
    if not np.isfinite(lengths).all():  # the points have crossed at a phase that the user gave
        return

    def measure(
        name: str, of: Callable[..., float], uses: tuple[int, ...], note: str = ""
    ) -> Measure:
        value, used = of(*lengths[list(uses)].tolist()), list(uses)
        if around is None:
            return Measure(name, value, note)
        steps = np.diag(_SENSE[used] * np.minimum(around[used], 0.5 * lengths[used]))
        changes = [of(*(lengths[used] + step).tolist()) - value for step in steps]
        known = np.isfinite(around[used]).all()  # the errors of the lengths are independent
        return Measure(name, value, note, INTERVAL * float(np.linalg.norm(changes)) if known
                       else np.inf)  # fmt: skip

    def same(length: float) -> float:
        return length

    yield measure(f"IVS at end-diastole [{unit}]", same, (_IVS,))
    yield measure(f"LVID at end-diastole [{unit}]", same, (_LVID,))
    yield measure(f"LVPW at end-diastole [{unit}]", same, (_LVPW,))
    yield measure(f"LVID at end-systole [{unit}]", same, (_SMALL,))
    if not 0 < lengths[_SMALL] <= lengths[_LVID]:
        return
    both = (_LVID, _SMALL)
    yield measure(
        "fractional shortening [%]", lambda d, s: 100 * ventricle.fractional_shortening(d, s), both
    )
    if unit == "mm":
        yield measure(
            "ejection fraction, Teichholz [%]",
            lambda d, s: ventricle.teichholz(d, s).ef_percent,
            both,
            ventricle.TEICHHOLZ_WARNING,
        )
        yield measure("LV mass [g]", ventricle.mass_g, (_IVS, _LVID, _LVPW))
