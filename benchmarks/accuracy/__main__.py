"""Accuracy of the committed tracker beside its peers, on phantoms that nothing was tuned on.

    python -m benchmarks.accuracy [--quick] [--out build/bench]

Writes accuracy.json, accuracy.md and accuracy.png. Phantoms are easier than patients: no motion
across the plane, one texture, no border artefacts. The real clip stands beside them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.accuracy.cases import Case, disturbed, held_out
from benchmarks.accuracy.measure import Figures, Tracker, average, measure
from benchmarks.accuracy.methods import bundle, peers
from benchmarks.accuracy.real import loop_closures

OURS = "cineflow lucas_kanade"


def run(methods: Mapping[str, Tracker], cases: list[Case]) -> dict[str, dict[str, Figures]]:
    """Mean figures by condition and method."""
    every: dict[str, dict[str, list[Figures]]] = {}
    for case in cases:
        for name, track in methods.items():
            found = measure(track, case)
            every.setdefault(case.condition, {}).setdefault(name, []).append(found)
        ours = every[case.condition][OURS][-1]
        print(f"{case.condition}, {case.name}, seed {case.seed}: {ours}", flush=True)
    return {
        condition: {name: average(figures) for name, figures in by_name.items()}
        for condition, by_name in every.items()
    }


def table(results: Mapping[str, Mapping[str, Figures]], closures: Mapping[str, float]) -> str:
    """The results as Markdown."""
    lines = ["Phantoms are easier than patients; no geometry or seed here was used for tuning.", ""]
    head = [
        "method",
        "pair px",
        "ED-ES px",
        "circ. bias",
        "radial bias",
        "folding %",
        "ms per pair",
    ]
    for condition, by_name in results.items():
        lines += [f"### {condition}", "", f"| {' | '.join(head)} |"]
        lines.append("|---" * len(head) + "|")
        lines += [
            f"| {name} | {f.pair_px:.3f} | {f.systole_px:.2f} | {f.circumferential:+.2f} "
            f"| {f.radial:+.2f} | {f.folding_percent:.2f} | {f.pair_ms:.1f} |"
            for name, f in by_name.items()
        ]
        lines.append("")
    lines += ["### real clip: displacement left after one beat (zero flow closes perfectly)", ""]
    lines += [f"- {name}: {value:.2f} px" for name, value in closures.items()]
    return "\n".join(lines) + "\n"


def plot(results: Mapping[str, Mapping[str, Figures]], path: Path) -> None:
    """Composed error by condition and method."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    conditions = list(results)
    names = [name for name in next(iter(results.values())) if name != "zero flow"]
    figure, axes = plt.subplots(figsize=(9, 4))
    width = 0.8 / len(names)
    for k, name in enumerate(names):
        heights = [results[condition][name].systole_px for condition in conditions]
        axes.bar(np.arange(len(conditions)) + (k + 0.5) * width - 0.4, heights, width, label=name)
    axes.set_xticks(range(len(conditions)), conditions)
    axes.set_ylabel("end-point error ED to ES, px")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two clean cases only")
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    methods = {OURS: bundle(), **peers()}
    cases = held_out()[:2] if arguments.quick else held_out() + disturbed()
    results = run(methods, cases)
    closures = loop_closures(methods)
    text = table(results, closures)
    print(text)
    data = {
        "phantoms": {c: {n: asdict(f) for n, f in by.items()} for c, by in results.items()},
        "real_clip_loop_closure_px": closures,
    }
    (arguments.out / "accuracy.json").write_text(json.dumps(data, indent=2) + "\n")
    (arguments.out / "accuracy.md").write_text(text)
    plot(results, arguments.out / "accuracy.png")


if __name__ == "__main__":
    main()
