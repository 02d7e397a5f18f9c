"""What a cardiologist reads, from tracked phantoms: LV dimensions, ED/ES, regional scores.

    python -m benchmarks.accuracy.clinical [--out build/bench]

The shares of the relative score rule (`cineflow.motion.aha`) were chosen on the tuning geometries;
`regional, tuning` is what they give there, `regional` on the held-out ones.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.cases import held_out, tuning
from benchmarks.accuracy.measure import Tracker
from benchmarks.accuracy.methods import bundle
from cineflow.motion.aha import LEVELS, ScoreRule, segment_map, segment_means, wall_motion_score
from cineflow.motion.beats import from_curve
from cineflow.motion.compose import compose_all
from cineflow.motion.strain import deformation_gradient, directional_strain, wall_directions
from cineflow.motion.ventricle import dimensions
from cineflow.ops import warp
from cineflow.phantom import Beat, Phantom, Region, ShortAxisPhantom, parasternal_long_axis

#: Abnormal score -> contraction of the sector, as a share of normal.
_CONTRACTION = {2: 0.5, 3: 0.0, 4: -0.3}
_TAKES = 4  # cines of each geometry


def track_cine(track: Tracker, phantom: Phantom, last: int) -> np.ndarray:
    """Displacement since frame 0, f32 [last + 1, 2, H, W] px."""
    frames = phantom.frames
    return compose_all(np.asarray(track(frames[k], frames[k + 1]), np.float32) for k in range(last))


def long_axis(track: Tracker, seeds: range) -> dict[str, float]:
    """Mean absolute error of the dimensions, mm, and of ED/ES, frames; zero flow beside it."""
    errors, still, timing = [], [], []
    for seed in seeds:
        phantom = parasternal_long_axis(seed, beat=Beat(beats=1.1))
        truth = phantom.key_points
        u = track_cine(track, phantom, len(phantom) - 1)
        # a point at (x, y) is a 1 x 1 grid whose flow is (x, y)
        points = np.stack(
            [
                [
                    p + warp(one[None], p.astype(np.float32).reshape(1, 2, 1, 1)).ravel()
                    for p in truth[0]
                ]
                for one in u
            ]
        )
        (row_mm, column_mm), (height, width) = phantom.spacing_mm, phantom.size
        found = dimensions(points, (row_mm, column_mm), (height, width))
        true = dimensions(truth, (row_mm, column_mm), (height, width))
        names = ("ivs", "lvid", "lvpw")
        errors.append([np.abs(getattr(found, n) - getattr(true, n)).mean() for n in names])
        still.append([np.abs(getattr(true, n)[0] - getattr(true, n)).mean() for n in names])
        beat, exact = (from_curve(d.lvid, phantom.times_ms)[0] for d in (found, true))
        timing.append([abs(beat.ed - exact.ed), abs((beat.es or 0) - (exact.es or 0))])
    mean, floor = np.mean(errors, axis=0), np.mean(still, axis=0)
    worst = np.max(timing, axis=0)
    return {
        "ivs_mae_mm": float(mean[0]),
        "lvid_mae_mm": float(mean[1]),
        "lvpw_mae_mm": float(mean[2]),
        "ivs_mae_mm_zero_flow": float(floor[0]),
        "lvid_mae_mm_zero_flow": float(floor[1]),
        "lvpw_mae_mm_zero_flow": float(floor[2]),
        "ed_worst_frames": float(worst[0]),
        "es_worst_frames": float(worst[1]),
    }


def regional(
    track: Tracker, geometries: dict[str, dict[str, Any]], first_seed: int
) -> dict[str, float]:
    """Agreement of the rule-based scores with the phantom's, over mid-ventricular segments.

    Four cines of each geometry: tracked with the rule relative to the heart's best segments (what
    is reported first), with the fixed thresholds, and the relative rule on the exact motion.
    """
    found: dict[str, list[np.ndarray]] = {"": [], "fixed_rule_": [], "exact_motion_": []}
    true = []
    for index, (settings, _take) in enumerate(product(geometries.values(), range(_TAKES))):
        seed = first_seed + index
        rng = np.random.default_rng(seed)
        # Two or three neighbouring segments of one kind, as a coronary territory.
        kind, start, count = int(rng.integers(2, 5)), int(rng.integers(6)), int(rng.integers(2, 4))
        abnormal = [(start + k) % 6 for k in range(count)]
        true.append([kind if segment in abnormal else 1 for segment in range(6)])
        # On the screen segment 0 (anterior) is up, -90 degrees; the others follow counterclockwise.
        middle = -90.0 - 60.0 * (start + (count - 1) / 2.0)
        region = Region(middle, 60.0 * count, _CONTRACTION[kind])
        heart = {"rotation_deg": 4.0, **settings, "regions": (region,)}
        phantom = ShortAxisPhantom(seed, beat=Beat(beats=0.4), **heart)
        tracked = _contraction(phantom, track_cine(track, phantom, phantom.es)[-1])
        exact = _contraction(phantom, phantom.displacement(phantom.es))
        found[""].append(wall_motion_score(tracked, ScoreRule.relative_to(tracked)))
        found["fixed_rule_"].append(wall_motion_score(tracked))
        found["exact_motion_"].append(wall_motion_score(exact, ScoreRule.relative_to(exact)))
    t = np.array(true)
    figures = {"segments": float(t.size), "all_normal_percent": 100.0 * float(np.mean(t == 1))}
    for name, scores in found.items():
        f = np.array(scores)
        figures[f"{name}accuracy_percent"] = 100.0 * float(np.mean(f == t))
        figures[f"{name}abnormal_kappa"] = _kappa(f > 1, t > 1)
    return figures


def _contraction(phantom: ShortAxisPhantom, u: np.ndarray) -> np.ndarray:
    """Minus the circumferential strain of the six mid segments, percent, [6]."""
    x, y = np.asarray(phantom.kinematics.centre_mm) / phantom.spacing_mm[0]
    labels = segment_map(phantom.myocardium(0), (x, y), (x, y - 10.0), "mid")
    around = wall_directions(phantom.size, (x, y))[1]
    strain = 100.0 * directional_strain(deformation_gradient(u), around)
    first, count = LEVELS["mid"]
    return -segment_means(strain, labels)[first - 1 : first - 1 + count]


def _kappa(found: np.ndarray, true: np.ndarray) -> float:
    chance = np.mean(found) * np.mean(true) + np.mean(~found) * np.mean(~true)
    return float((np.mean(found == true) - chance) / (1.0 - chance))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    track = bundle()
    results = {
        "parasternal long axis": long_axis(track, range(2000, 2003)),
        "regional, tuning": regional(track, {c.name: c.settings for c in tuning()}, 3100),
        "regional": regional(track, {c.name: c.settings for c in held_out()}, 3300),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=2)
    (arguments.out / "accuracy_clinical.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
