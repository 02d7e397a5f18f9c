"""Does the label-free quality follow the true error? Rank correlation per condition.

python -m benchmarks.accuracy.quality [--out build/bench]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from benchmarks.accuracy.cases import disturbed, held_out
from benchmarks.accuracy.methods import bundle
from cineflow.motion.metrics import end_point_error
from cineflow.motion.quality import forward_backward_px, frame_quality

_EVERY = 2  # frame pairs


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation of two samples without ties."""
    ranks = [np.argsort(np.argsort(sample)) for sample in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    track = bundle()
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for case in held_out()[::2] + disturbed():
        for i in range(0, len(case.flows), _EVERY):
            a, b = case.frames[i], case.frames[i + 1]
            flow = track(a, b)
            rows.setdefault(case.condition, []).append(
                (
                    end_point_error(flow, case.flows[i], case.walls[i]).mean_px,
                    1.0 - frame_quality(a, b, flow),
                    forward_backward_px(flow, track(b, a), case.phantom.sector),
                )
            )
    rows["pooled"] = [row for condition in rows.values() for row in condition]
    results = {}
    for condition, samples in rows.items():
        error, doubt, loop = np.array(samples).T
        results[condition] = {
            "pairs": len(samples),
            "pairs_over_half_a_px": int((error > 0.5).sum()),
            "spearman_correlation": spearman(error, doubt),
            "spearman_forward_backward": spearman(error, loop),
        }
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=2)
    (arguments.out / "accuracy_quality.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
