"""Settings of every method, searched on the same tuning phantoms by the same rule.

    python -m benchmarks.accuracy.search [--count 24] [--only NAME]

Rule: the smallest composed error over systole, plus 0.05 px for each point of radial
strain bias, plus ten times what the frame-to-frame error exceeds 0.115 px.
Random subsets of each grid, one seed; the result is `settings.json`, the log goes to build/bench.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from pathlib import Path
from typing import Any

from benchmarks.accuracy.cases import tuning
from benchmarks.accuracy.measure import Figures, average, measure
from benchmarks.accuracy.methods import FACTORIES, SETTINGS, installed

PAIR_LIMIT_PX = 0.115

GRIDS: dict[str, dict[str, list[Any]]] = {
    "lucas_kanade": {
        "sigma": [
            [12.0] * 4,
            [12.0, 12.0, 10.0, 8.0],
            [13.0, 12.0, 10.0, 10.0],
            [14.0, 10.0, 10.0, 10.0],
        ],
        "warps": [[2, 1, 1, 1], [3, 1, 1, 1], [3, 2, 1, 1]],
        "refinements": [3, 4, 6, 8],
        "trust": [10.0, 20.0],
        "floor": [20.0, 30.0],
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
    "OpenCV DualTVL1": {"lambda_": [0.05, 0.15], "scalesNumber": [4], "warps": [3, 5]},
}


def score(figures: Figures) -> float:
    """Smaller is better; px."""
    over = max(0.0, figures.pair_px - PAIR_LIMIT_PX)
    return figures.systole_px + 0.05 * abs(figures.radial) + 10.0 * over


def candidates(name: str, count: int) -> list[dict[str, Any]]:
    """Up to `count` settings from the method's grid, drawn by a fixed seed."""
    grid = GRIDS[name]
    every = [dict(zip(grid, choice, strict=True)) for choice in itertools.product(*grid.values())]
    random.Random(4).shuffle(every)
    return every[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=24, help="settings tried per method")
    parser.add_argument("--only", choices=GRIDS, help="one method")
    arguments = parser.parse_args()
    cases = tuning()
    chosen = json.loads(SETTINGS.read_text()) if SETTINGS.exists() else {}
    log: dict[str, list[Any]] = {}
    for name in [arguments.only] if arguments.only else GRIDS:
        if not installed(name):
            print(f"{name}: not installed")
            continue
        tried = []
        for setting in candidates(name, arguments.count):
            figures = average([measure(FACTORIES[name](**setting), case) for case in cases])
            tried.append((score(figures), setting, vars(figures)))
            print(f"{name} {tried[-1][0]:.3f} {setting} {figures}", flush=True)
        best = min(tried, key=lambda item: item[0])
        chosen[name] = best[1]
        log[name] = tried
        print(f"{name}: {best}")
    SETTINGS.write_text(json.dumps(chosen, indent=2) + "\n")
    out = Path("build/bench")
    out.mkdir(parents=True, exist_ok=True)
    (out / "accuracy_search.json").write_text(json.dumps(log, indent=1))


if __name__ == "__main__":
    main()
