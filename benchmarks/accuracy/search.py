"""Searches the settings of every method on the same tuning phantoms by the same rule.

    python -m benchmarks.accuracy.search [--count 24] [--only NAME]

The rule minimises a sum of four terms: the composed error over systole on the clean phantoms, 0.4
times its mean over the disturbed phantoms, 0.1 px per percentage point of radial strain bias
(clean), and ten times the part of the clean frame-to-frame error above 0.1 px. Our own grid was
narrowed by wider searches over the same phantoms.

The settings tried are a random subset of each grid, with a fixed seed. The result is
`settings.json`. Measurements are kept in build/bench/search, so an interrupted search resumes.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import itertools
import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2

from benchmarks.accuracy import measure as measuring
from benchmarks.accuracy.cases import Case, disturbed, tuning
from benchmarks.accuracy.measure import Figures, average, measure
from benchmarks.accuracy.methods import FACTORIES, SETTINGS, installed
from benchmarks.repeat import repeat_line
from cineflow import phantom

KEPT = Path("build/bench/search")
PAIR_LIMIT_PX = 0.1

GRIDS: dict[str, dict[str, list[Any]]] = {
    "lucas_kanade": {
        "sigma": [[pixels, 11.0, 10.0, 10.0] for pixels in (12.0, 13.0, 14.0)],
        "refinements": [[count, 0, 2, 3] for count in (5, 6, 7, 8)],
        "slow": [6.5],
        "trust": [8.0, 10.0],
        "floor": [25.0],
        "ridge": [1.0],
    },
    "OpenCV DIS": {
        "FinestScale": [0, 1],
        "PatchSize": [8, 12, 16],
        "PatchStride": [3, 4],
        "GradientDescentIterations": [16, 25],
        "VariationalRefinementIterations": [0, 5, 10],
        "VariationalRefinementAlpha": [20.0, 40.0, 80.0],
    },
    "OpenCV Farneback": {
        "winsize": [15, 21, 25, 31, 37],
        "poly_n": [5, 7, 9],
        "poly_sigma": [1.1, 1.5, 2.0],
        "iterations": [2, 3, 5],
        "flags": [0, 256],
    },
    "OpenCV PyrLK": {"window": [15, 21, 25, 31, 37], "levels": [2, 3], "iterations": [5, 20]},
    # At over half a second per pair, only cheap settings are searched.
    "OpenCV DualTVL1": {
        "Lambda": [0.05, 0.1, 0.15],
        "Theta": [0.15, 0.3],
        "WarpingsNumber": [3],
        "ScalesNumber": [4],
        "InnerIterations": [10],
        "OuterIterations": [5],
    },
}


#: Weight of the disturbed phantoms' composed error, and px per point of radial bias.
DISTURBED, RADIAL = 0.4, 0.1


def score(clean: Figures, disturbance: Figures) -> float:
    """Score of a setting, px; smaller is better."""
    over = max(0.0, clean.pair_px - PAIR_LIMIT_PX)
    composed = clean.systole_px + DISTURBED * disturbance.systole_px
    return composed + RADIAL * abs(clean.radial) + 10.0 * over


def candidates(name: str, count: int) -> list[dict[str, Any]]:
    """Up to `count` settings from the method's grid, drawn by a fixed seed."""
    grid = GRIDS[name]
    every = [dict(zip(grid, choice, strict=True)) for choice in itertools.product(*grid.values())]
    random.Random(4).shuffle(every)
    return every[:count]


class Bench:
    """One method on the tuning phantoms. Results are cached by case, setting and code."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = KEPT / f"{name.replace(' ', '_')}.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.kept: dict[str, dict[str, float]] = dict(json.loads(line) for line in lines)
        self.code = _code_of(name)

    def figures(self, setting: dict[str, Any], cases: list[Case]) -> Figures:
        """Mean figures over `cases`."""
        return average([self._one(setting, case) for case in cases])

    def _one(self, setting: dict[str, Any], case: Case) -> Figures:
        key = hashlib.sha256(f"{self.code}{setting}{case}".encode()).hexdigest()
        if key not in self.kept:
            self.kept[key] = asdict(measure(FACTORIES[self.name](**setting), case))
            with self.path.open("a") as log:
                print(json.dumps([key, self.kept[key]]), file=log)
        return Figures(**self.kept[key])


def _code_of(name: str) -> str:
    """Source code and versions that decide a method's figures, for the cache key."""
    parts: list[Any] = [measuring, FACTORIES[name]]
    if name == "lucas_kanade":
        from cineflow.models import lucas_kanade, pyramid_tracker

        parts += [lucas_kanade, pyramid_tracker]
    pictures = sorted(Path(inspect.getfile(phantom)).parent.glob("*.py"))
    sources = [*map(inspect.getsource, parts), *(path.read_text() for path in pictures)]
    return "".join(sources) + cv2.__version__


def best_of(
    name: str, count: int, clean: list[Case], disturbance: list[Case]
) -> list[tuple[float, dict[str, Any]]]:
    """Every setting tried with its score, best first."""
    bench = Bench(name)
    tried = []
    for setting in candidates(name, count):
        figures = [bench.figures(setting, cases) for cases in (clean, disturbance)]
        tried.append((score(*figures), setting))
        print(f"{name} {tried[-1][0]:.3f} {setting} {figures}", flush=True)
    return sorted(tried, key=lambda one: one[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=24, help="settings tried per method")
    parser.add_argument("--only", choices=GRIDS, help="one method")
    arguments = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    clean, disturbance = tuning(), disturbed("tuning")
    for name in [arguments.only] if arguments.only else GRIDS:
        if not installed(name):
            print(f"{name}: not installed")
            continue
        least, setting = best_of(name, arguments.count, clean, disturbance)[0]
        print(f"{name}: {least:.3f} {setting}", flush=True)
        chosen = json.loads(SETTINGS.read_text()) if SETTINGS.exists() else {}
        SETTINGS.write_text(json.dumps({**chosen, name: setting}, indent=2) + "\n")
    print(repeat_line())


if __name__ == "__main__":
    main()
