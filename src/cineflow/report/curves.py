"""Lengths over a clip, frame by frame, where a model sees a window of frames at once.

A result of a window describes one frame. Its points, if they have a time axis, are those of every
frame of the window, and these curves have them all.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cineflow.cine import Cine
from cineflow.motion import ventricle
from cineflow.motion.landmarks import chain_lengths
from cineflow.motion.phases import Phases, find_phases
from cineflow.report.scalars import Row


@dataclass(frozen=True)
class Measure:
    """One figure of a ventricle.

    Attributes:
        name: What it is, with its unit.
        value: The figure.
        note: What has to stand next to it; "" for nothing.
    """

    name: str
    value: float
    note: str = ""


@dataclass(frozen=True, eq=False)
class Curves:
    """Lengths from each point to the next, for every frame that has points.

    Attributes:
        rows: One per frame of the clip: "frame", "time [ms]" and each length by "name [unit]".
        lengths: The columns of `rows` that are lengths.
        phases: End-diastole and end-systole by LVID; None where the points are not a ventricle's
            borders, or too few frames have them.
        measures: Of a ventricle with `phases`.
        disordered: Frames of a ventricle whose points have crossed; their lengths are left out.
    """

    rows: tuple[Row, ...]
    lengths: tuple[str, ...]
    phases: Phases | None
    measures: tuple[Measure, ...]
    disordered: tuple[int, ...]

    def column(self, name: str) -> np.ndarray:
        """Values of one column, f64 [T]; NaN where a frame does not have it."""
        cells = [row.get(name) for row in self.rows]
        return np.array([np.nan if cell is None else cell for cell in cells], np.float64)


def curves_of(cine: Cine, points: Mapping[int, np.ndarray], names: Sequence[str]) -> Curves:
    """The curves of a clip.

    Args:
        cine: The clip; lengths are in mm if it has a spacing.
        points: By frame, [K, 2] (x, y) px of the clip.
        names: Of the points. Those of `ventricle.BORDERS` are measured as a ventricle.
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
    rows = tuple(
        {
            "frame": index,
            "time [ms]": float(time),
            **{
                column: None if np.isnan(value) else float(value)
                for column, value in zip(columns, line, strict=True)
            },
        }
        for index, (time, line) in enumerate(zip(cine.times_ms, values, strict=True))
    )
    phases = find_phases(values[:, 1], np.asarray(cine.times_ms)) if heart and frames else None
    measures = () if phases is None else tuple(_measures(values, phases, unit))
    return Curves(rows, columns, phases, measures, disordered)


def _between(names: Sequence[str], count: int) -> tuple[str, ...]:
    known = [names[k] if k < len(names) else f"point {k}" for k in range(count + 1)]
    return tuple(f"length {a} to {b}" for a, b in itertools.pairwise(known))


def _measures(values: np.ndarray, phases: Phases, unit: str) -> list[Measure]:
    """Wall and cavity at end-diastole and end-systole, and what follows from them."""
    (ivs, lvid, lvpw), small = values[phases.ed[0]], values[phases.es[0], 1]
    found = [
        Measure(f"IVS at end-diastole [{unit}]", float(ivs)),
        Measure(f"LVID at end-diastole [{unit}]", float(lvid)),
        Measure(f"LVPW at end-diastole [{unit}]", float(lvpw)),
        Measure(f"LVID at end-systole [{unit}]", float(small)),
    ]
    if not 0 < small <= lvid:
        return found
    shortening = 100 * ventricle.fractional_shortening(float(lvid), float(small))
    found.append(Measure("fractional shortening [%]", shortening))
    if unit == "mm":
        volumes = ventricle.teichholz(float(lvid), float(small))
        warning = ventricle.TEICHHOLZ_WARNING
        found.append(Measure("ejection fraction, Teichholz [%]", volumes.ef_percent, warning))
        found.append(Measure("LV mass [g]", ventricle.mass_g(float(ivs), float(lvid), float(lvpw))))
    return found
