"""Accuracy of the committed tracker and its peers, on phantoms that were not used for tuning.

    python -m benchmarks.accuracy [--quick] [--out build/bench] [--docs]

Writes accuracy.json, accuracy.md and accuracy.png. With --docs the table and the picture also go
into the docs. `benchmarks.accuracy.pace` measures time; `.clinical`, `.quality`, `.real` and
`.large_motion`, `.volumes` measure the other figures.

Phantoms are easier than patients: they have no motion across the plane, a single texture and no
border artefacts. Loop closure on a real clip is therefore measured as well.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.accuracy.cases import Case, disturbed, held_out
from benchmarks.accuracy.measure import Figures, Tracker, average, measure, strain
from benchmarks.accuracy.methods import OURS, bundle, peers
from benchmarks.accuracy.output import DOCS, arguments, publish
from benchmarks.accuracy.real import loop_closures
from cineflow.motion.compose import compose


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
    """The results as Markdown: clean phantoms, disturbed phantoms, the real clip, and losses."""
    lines = [
        "| method | pair, px | ED-ES, px | circumferential | radial | folding % |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {f.pair_px:.3f} | {f.systole_px:.2f} | {f.circumferential:+.2f} "
        f"| {f.radial:+.2f} | {f.folding_percent:.2f} |"
        for name, f in results["clean"].items()
    ]
    others = [condition for condition in results if condition != "clean"]
    if others:
        lines += ["", f"| method | {' | '.join(others)} |", "|---" * (1 + len(others)) + "|"]
        for name in results["clean"]:
            found = [results[condition][name] for condition in others]
            cells = [f"{f.pair_px:.3f} / {f.systole_px:.2f} / {f.radial:+.1f}" for f in found]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| method | real clip: px left after one beat |", "|---|---|"]
    lines += [f"| {name} | {value:.2f} |" for name, value in closures.items()]
    lines += ["", "| a peer is better in | ours | the better peers |", "|---|---|---|"]
    return "\n".join(lines + losses(results, closures)) + "\n"


def losses(
    results: Mapping[str, Mapping[str, Figures]], closures: Mapping[str, float]
) -> list[str]:
    """Rows of the figures in which a peer is better than our tracker, best peer first.

    Errors count by size and biases by magnitude. Zero flow does not count as a peer.
    """
    forms = {
        "pair_px": ("pair error, px", ".3f"),
        "systole_px": ("ED-ES error, px", ".2f"),
        "circumferential": ("circumferential bias", "+.1f"),
        "radial": ("radial bias", "+.1f"),
    }
    compared = [
        (f"{label}, {condition}", form, {name: getattr(f, key) for name, f in by_name.items()})
        for condition, by_name in results.items()
        for key, (label, form) in forms.items()
    ]
    compared.append(("px left on the real clip", ".2f", dict(closures)))
    rows = []
    for label, form, values in compared:
        shown = {name: float(format(v, form)) for name, v in values.items() if name != "zero flow"}
        better = [name for name in shown if abs(shown[name]) < abs(shown[OURS])]
        better.sort(key=lambda name: abs(shown[name]))
        if better:
            peers_shown = ", ".join(f"{name} {shown[name]:{form}}" for name in better)
            rows.append(f"| {label} | {shown[OURS]:{form}} | {peers_shown} |")
    return rows


def curves(methods: Mapping[str, Tracker], case: Case) -> dict[str, list[list[float]]]:
    """Mean radial and circumferential strain since end-diastole, percent, true and by method."""
    found = {}
    for name, track in methods.items():
        u = np.zeros_like(case.displacement)
        found[name] = [[0.0, 0.0]]
        for a, b in zip(case.frames[:-1], case.frames[1:], strict=True):
            u = compose(u, np.asarray(track(a, b), np.float32))
            found[name].append(strain(u, case).tolist())
    true = [case.phantom.displacement(i) for i in range(len(case.frames))]
    return {"true": [strain(u, case).tolist() for u in true], **found}


def plot(
    results: Mapping[str, Mapping[str, Figures]],
    strains: Mapping[str, list[list[float]]],
    path: Path,
) -> None:
    """Plots composed error by condition and method, and strain over systole with the truth."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    conditions = list(results)
    names = [name for name in next(iter(results.values())) if name != "zero flow"]
    figure, (bars, radial, around) = plt.subplots(
        1, 3, figsize=(13, 4), width_ratios=[2.2, 1, 1], layout="constrained"
    )
    width = 0.8 / len(names)
    for k, name in enumerate(names):
        heights = [results[condition][name].systole_px for condition in conditions]
        bars.bar(np.arange(len(conditions)) + (k + 0.5) * width - 0.4, heights, width, label=name)
    bars.set_xticks(range(len(conditions)), conditions)
    bars.set_ylabel("end-point error ED to ES, px")
    bars.legend(fontsize=8)
    for axes, index, label in ((radial, 0, "radial"), (around, 1, "circumferential")):
        for name in names:
            axes.plot([both[index] for both in strains[name]])
        axes.plot([both[index] for both in strains["true"]], "k--", label="true")
        axes.set(xlabel="frame", ylabel=f"{label} strain, %")
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--quick", action="store_true", help="two clean cases only")
    given = parser.parse_args()
    methods = {OURS: bundle(), **peers()}
    cases = held_out()[:2] if given.quick else held_out() + disturbed()
    results = run(methods, cases)
    closures = loop_closures(methods)
    data = {
        "phantoms": {c: {n: asdict(f) for n, f in by.items()} for c, by in results.items()},
        "real_clip_loop_closure_px": closures,
    }
    publish(given, "accuracy", table(results, closures), data, "motion/accuracy.md")
    shown = {name: track for name, track in methods.items() if name != "zero flow"}
    picture = given.out / "accuracy.png"
    plot(results, curves(shown, cases[0]), picture)
    if given.docs:
        shutil.copy(picture, DOCS / "img" / "accuracy.png")


if __name__ == "__main__":
    main()
