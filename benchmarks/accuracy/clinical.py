"""Clinical measurements of tracked phantoms: LV dimensions, ED/ES and regional scores.

    python -m benchmarks.accuracy.clinical [--out build/bench] [--docs]

The shares of the relative score rule (`cineflow.motion.aha`) were chosen on the tuning geometries.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from benchmarks.accuracy.cases import held_out, tuning
from benchmarks.accuracy.measure import Tracker
from benchmarks.accuracy.methods import OURS, bundle
from benchmarks.accuracy.output import arguments, publish
from cineflow.motion import (
    ScoreRule,
    SegmentedWall,
    compose_all,
    dimensions,
    follow,
    from_curve,
    wall_motion_score,
)
from cineflow.motion.aha import LEVELS
from cineflow.phantom import Beat, Phantom, Region, ShortAxisPhantom, parasternal_long_axis

#: Abnormal score -> contraction of the sector, as a share of normal.
_CONTRACTION = {2: 0.5, 3: 0.0, 4: -0.3}
_TAKES = 4  # cines of each geometry


def track_cine(track: Tracker, phantom: Phantom, last: int) -> np.ndarray:
    """Displacement since frame 0, f32 [last + 1, 2, H, W] px."""
    frames = phantom.frames
    return compose_all(np.asarray(track(frames[k], frames[k + 1]), np.float32) for k in range(last))


def long_axis(track: Tracker, seeds: range) -> dict[str, float]:
    """Mean absolute error of the dimensions, also of zero flow, mm; worst error of ED/ES, frames.

    The error of end-diastole is the larger one of the beat's start and end. The true frames are
    those of the phantom's phases 0 and 0.36, not those that the true dimensions would give.
    """
    errors, still, timing = [], [], []
    for seed in seeds:
        print(f"parasternal long axis, seed {seed}", flush=True)
        phantom = parasternal_long_axis(seed, beat=Beat(beats=1.1))
        truth = phantom.key_points
        points = follow(truth[0], track_cine(track, phantom, len(phantom) - 1))
        (row_mm, column_mm), (height, width) = phantom.spacing_mm, phantom.size
        found = dimensions(points, (row_mm, column_mm), (height, width))
        true = dimensions(truth, (row_mm, column_mm), (height, width))
        names = ("ivs", "lvid", "lvpw")
        errors.append([np.abs(getattr(found, n) - getattr(true, n)).mean() for n in names])
        still.append([np.abs(getattr(true, n)[0] - getattr(true, n)).mean() for n in names])
        (beat,) = from_curve(found.lvid, phantom.times_ms)
        exact = (*phantom.beat.end_diastoles, *phantom.beat.end_systoles)
        begin, end, es = np.abs(np.subtract((beat.ed, beat.end, beat.es or 0), exact))
        timing.append([max(begin, end), es])
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

    Four cines of each geometry are scored in three ways: tracked motion with the rule relative to
    the heart's best segments, tracked motion with the fixed thresholds, and exact motion with the
    relative rule.
    """
    found: dict[str, list[np.ndarray]] = {"": [], "fixed_rule_": [], "exact_motion_": []}
    true = []
    for index, (settings, _take) in enumerate(product(geometries.values(), range(_TAKES))):
        seed = first_seed + index
        print(f"regional, seed {seed}", flush=True)
        rng = np.random.default_rng(seed)
        # Two or three neighbouring segments of one kind, like a coronary territory.
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
    """Minus the circumferential strain of the six mid segments, a fraction, [6]."""
    x, y = np.asarray(phantom.kinematics.centre_mm) / phantom.spacing_mm[0]
    wall = SegmentedWall.short_axis(phantom.myocardium(0), (x, y), (x, y - 10.0), "mid")
    first, count = LEVELS["mid"]
    return -wall.strain([u], "lagrangian")["circumferential"][0, first - 1 : first - 1 + count]


def _kappa(found: np.ndarray, true: np.ndarray) -> float:
    chance = np.mean(found) * np.mean(true) + np.mean(~found) * np.mean(~true)
    return float((np.mean(found == true) - chance) / (1.0 - chance))


def tables(axis: dict[str, float], scores: dict[str, dict[str, float]]) -> str:
    """Markdown: dimensions and timing, then the scores."""
    lines = [
        "| parasternal long axis | IVS, mm | LVID, mm | LVPW, mm | ED, frames | ES, frames |",
        "|---|---|---|---|---|---|",
    ]
    for label, suffix in ((OURS, ""), ("zero flow", "_zero_flow")):
        cells = [f"{axis[f'{name}_mae_mm{suffix}']:.2f}" for name in ("ivs", "lvid", "lvpw")]
        late = [f"{axis[f'{name}_worst_frames']:.0f}" for name in ("ed", "es")]
        lines.append(f"| {label} | {' | '.join(cells + (['–', '–'] if suffix else late))} |")
    rules = {
        "by the heart's best segments": "",
        "by fixed thresholds": "fixed_rule_",
        "by the best segments of the exact motion": "exact_motion_",
    }
    lines += ["", "| scores | segments | all called normal |" + "".join(f" {r} |" for r in rules)]
    lines += ["|---" * (3 + len(rules)) + "|"]
    for label, found in scores.items():
        cells = [
            f"{found[f'{key}accuracy_percent']:.0f} %, {found[f'{key}abnormal_kappa']:.2f}"
            for key in rules.values()
        ]
        normal = f"{found['segments']:.0f} | {found['all_normal_percent']:.0f} %"
        lines.append(f"| {label} | {normal} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    given = arguments(__doc__).parse_args()
    track = bundle()
    axis = long_axis(track, range(2000, 2003))
    scores = {
        "tuning geometries": regional(track, {c.name: c.settings for c in tuning()}, 3100),
        "held-out geometries": regional(track, {c.name: c.settings for c in held_out()}, 3300),
    }
    data = {"parasternal long axis": axis, "regional": scores}
    publish(given, "accuracy_clinical", tables(axis, scores), data, "motion/accuracy.md")


if __name__ == "__main__":
    main()
