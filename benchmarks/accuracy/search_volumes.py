"""Searches the settings of the 3-D tracker on tuning phantoms that its accuracy is not stated of.

    python -m benchmarks.accuracy.search_volumes [--count 16]

The rule minimises the geometric mean of the pair errors of the three conditions of
`benchmarks.accuracy.volumes`, so that a tenth less error counts alike in each. The grid was
narrowed by wider searches over the same phantoms. The result is `settings_volumes.json`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.volumes import VolumeCase, tracker, tuning
from benchmarks.repeat import repeat_line
from cineflow.motion.metrics import end_point_error

SETTINGS = Path(__file__).with_name("settings_volumes.json")

#: Passes on level 1.
_LEVEL_1 = 4
#: Each list is of passes, last first.
GRID: dict[str, list[Any]] = {
    "sigma": [[4.0, 6.0, 12.0, 16.0, *[16.0] * _LEVEL_1, 12.0]],
    "refinements": [[10, 4, 4, 1, *[count] * _LEVEL_1, 4] for count in (2, 4)],
    "floor": [15.0, 25.0],
    "ridge": [[40.0, 10.0, 1.0, 1.0, *[1.0] * _LEVEL_1, 1.0]],
    "slow": [2.5],
    "levels": [[0, 0, 0, 0, *[1] * _LEVEL_1, 2]],
    "relaxation": [
        [1.0, 1.0, 1.0, factor, *[factor] * _LEVEL_1, 1.0] for factor in (1.0, 1.6, 1.9)
    ],
}


@dataclass(frozen=True)
class Pair:
    """Two volumes u8 [D, H, W] and the motion between them, over the wall."""

    condition: str
    previous: np.ndarray
    current: np.ndarray
    truth: np.ndarray  # [3, D, H, W] voxels
    wall: np.ndarray  # bool [D, H, W]


def pairs_of(case: VolumeCase) -> list[Pair]:
    """Two pairs: early and late in systole."""
    phantom = case.phantom
    return [
        Pair(
            case.condition,
            phantom.frames[k],
            phantom.frames[k + 1],
            phantom.flow(k, k + 1),
            phantom.myocardium(k),
        )
        for k in (case.pairs[1], case.pairs[-2])
    ]


def errors(setting: dict[str, Any], pairs: list[Pair]) -> dict[str, float]:
    """Mean end-point error by condition, voxels."""
    track = tracker(**setting)
    found: dict[str, list[float]] = {}
    for pair in pairs:
        flow = track(pair.previous, pair.current)
        error = end_point_error(flow, pair.truth, pair.wall).mean_px
        found.setdefault(pair.condition, []).append(error)
    return {condition: float(np.mean(each)) for condition, each in found.items()}


def score(found: dict[str, float]) -> float:
    """Geometric mean over the conditions, voxels; smaller is better."""
    return float(np.exp(np.mean(np.log(list(found.values())))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=16, help="settings tried")
    count = parser.parse_args().count
    pairs = [pair for case in tuning() for pair in pairs_of(case)]
    settings = [dict(zip(GRID, chosen, strict=True)) for chosen in product(*GRID.values())]
    tried = []
    for setting in settings[:count]:
        found = errors(setting, pairs)
        tried.append((score(found), setting))
        print(f"{tried[-1][0]:.4f} {setting} {found}", flush=True)
    least, best = min(tried, key=lambda one: one[0])
    print(f"{least:.4f} {best}\n{repeat_line()}")
    SETTINGS.write_text(json.dumps(best, indent=2) + "\n")


if __name__ == "__main__":
    main()
