"""`make bench-models`: the networks of the sources, in every runtime and through a real Triton.

First it exports the networks, which does not need a quiet machine: --exports does only that. A
bundle is kept as long as the sources stay the same. All runtimes of a model are measured in turn,
so a busy machine slows them equally. Writes build/bench/models.json; with --facts only the table of
docs/systems.md, which has no times.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.export.models import BODIES, EAGER, LIBRARY
from benchmarks.models.facts import RATES, SYSTEMS, VARIANTS, facts_of
from benchmarks.models.page import write_table
from benchmarks.processor import processor_and_cores
from benchmarks.repeat import repeat_line

OUT = Path("build/bench/models.json")

#: What users ask of the variant `small`, through Triton on two cores: frames per second.
LEAST_FPS = {"flow_pwc": 40.0, "keypoint_tracking": 10.0, "joint_motion_seg": 15.0, "flow4d": 2.0}
#: Seconds of one call.
MOST_S = {"motion_scoring": 1.0}


def main() -> None:
    """Export, measure, print a table and the requirements, write the JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=50)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--model", action="append", help="measure only this recipe")
    arguments.add_argument("--variant", default="small", choices=VARIANTS, help="of each recipe")
    arguments.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="of the frames")
    arguments.add_argument("--exports", action="store_true", help="only export; no figures")
    arguments.add_argument("--facts", action="store_true", help="only write docs/systems.md")
    arguments.add_argument("--once", action="store_true", help="only what encoding once gains")
    given = arguments.parse_args()
    names = given.model or [name for members in SYSTEMS.values() for name in members]
    if given.facts:
        write_table([facts_of(name, variant) for name in names for variant in VARIANTS])
        return
    from benchmarks.models.bundles import exported
    from benchmarks.models.speed import SERVED, measure

    sizes = dict(zip(("height", "width"), given.size, strict=True)) if given.size else {}
    start = time.monotonic()
    if given.once:
        print(f"{processor_and_cores()}; {given.threads} threads")
        _print_judged(_encoding_once(names, given, sizes, start)[1])
        print(repeat_line())
        return
    for count, name in enumerate(names, start=1):
        progress = _Progress(f"export {count} of {len(names)}, {name}", start)
        exported(name, given.variant, sizes, progress)
        progress.clear()
    if given.exports:
        print(f"exported after {(time.monotonic() - start) / 60:.1f} minutes")
        return
    columns = (EAGER, BODIES, LIBRARY, SERVED)
    print(
        f"{processor_and_cores()}; {given.threads} threads; {given.variant}\n"
        "of each runtime: median ms of one run (frames per second; of a call, runs per second)\n"
        "MB: peak of ONNX Runtime with our library; fps: whether the served stream keeps up\n"
    )
    rates = [f"{rate} fps" for rate in RATES]
    titles = ["model", "size", "M parameters", "G MACs", "MB", *columns, *rates]
    print(f"| {' | '.join(titles)} |")
    print("|" + "---|" * len(titles), flush=True)
    rows = []
    for count, name in enumerate(names, start=1):
        progress = _Progress(f"{count} of {len(names)}, {name}", start)
        row = measure(name, given.variant, given.rounds, given.threads, sizes, progress)
        progress.clear()
        rows.append(row)
        print(_line(row, columns), flush=True)
    gains, gained = _encoding_once(names, given, sizes, start)
    judged = requirements(rows, SERVED) | gained
    _print_judged(judged)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    found = {"models": rows, "encoding_once": gains, "requirements": judged}
    OUT.write_text(json.dumps(found, indent=1) + "\n")
    print(repeat_line())
    print(f"wrote {OUT} after {(time.monotonic() - start) / 60:.0f} minutes")


def _encoding_once(
    names: Sequence[str],
    given: argparse.Namespace,
    sizes: Mapping[str, int],
    start: float,
) -> tuple[list[dict[str, Any]], dict[str, bool]]:
    """The gains of all networks that encode each frame once, in both variants."""
    from benchmarks.models.gain import LEAST, gain_of
    from benchmarks.models.twice import ENCODING_ONCE

    print("\nencoding each frame once: times as fast as encoding both frames of a pair")
    titles = ["model", "variant", "size", "multiplications predict", LIBRARY, "of it"]
    titles += ["by medians", EAGER]
    print(f"| {' | '.join(titles)} |")
    print("|" + "---|" * len(titles), flush=True)
    rows, judged = [], {}
    for name in [one for one in names if one in ENCODING_ONCE]:
        for variant in VARIANTS:
            progress = _Progress(f"encoding once, {name} {variant}", start)
            row = gain_of(name, variant, given.rounds, given.threads, sizes, progress)
            progress.clear()
            rows.append(row)
            gain, predicted = row["gains"][LIBRARY], row["predicted"]
            cells = [name, variant, row["size"], f"{predicted:.2f}", f"{gain:.2f}"]
            cells += [f"{gain / predicted:.2f}", f"{row['median_gains'][LIBRARY]:.2f}"]
            cells.append(f"{row['gains'][EAGER]:.2f}")
            print(f"| {' | '.join(cells)} |", flush=True)
            share = f"{gain:.2f} of {predicted:.2f} predicted ({LEAST:g} of that)"
            judged[f"{name}, {variant}: encoding once gains {share}"] = gain >= LEAST * predicted
    return rows, judged


def _print_judged(judged: Mapping[str, bool]) -> None:
    print("\nrequirements")
    for sentence, met in judged.items():
        print(f"  {'met   ' if met else 'MISSED'}  {sentence}", flush=True)


class _Progress:
    """A line on the terminal, or in a log, that says what goes on.

    Args:
        what: Of all that is measured.
        start: When it began, `time.monotonic`.
    """

    def __init__(self, what: str, start: float) -> None:
        self._what, self._start = what, start
        self._same_line = sys.stderr.isatty()

    def __call__(self, words: str) -> None:
        line = f"{time.monotonic() - self._start:5.0f} s  {self._what}: {words}"
        if self._same_line:
            print(f"\r\033[K{line[:100]}", end="", file=sys.stderr, flush=True)
        elif not words.startswith("torch and"):  # a log need not have every round
            print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Before the table goes on."""
        if self._same_line:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _line(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    facts = row["facts"]
    cells = [
        f"{row['ms'][name]['median']:.1f} ({row['fps'][name]:.1f})" if name in row["ms"] else ""
        for name in columns
    ]
    holds = ["holds" if row["holds"][str(rate)] else "no" for rate in RATES if row["holds"]]
    numbers = [f"{facts['parameters'] / 1e6:.2f}", f"{facts['macs'] / 1e9:.2f}"]
    numbers.append(f"{row['peak_mb']:.0f}")
    own = [facts["name"], facts["size"], *numbers, *cells, *(holds or ["a call"] * len(RATES))]
    return f"| {' | '.join(own)} |"


def requirements(rows: list[dict[str, Any]], served: str) -> dict[str, bool]:
    """Each requirement with its figure, and whether it is met."""
    judged = {}
    for row in rows:
        facts, fps = row["facts"], row["fps"][served]
        name, small = facts["name"], facts["variant"] == "small"
        if small and name in LEAST_FPS:
            wanted = LEAST_FPS[name]
            sentence = f"{name} at {facts['size']}: {fps:.1f} fps through Triton ({wanted:.0f})"
            judged[sentence] = fps >= wanted
        if small and name in MOST_S:
            seconds, wanted = row["ms"][served]["median"] / 1e3, MOST_S[name]
            sentence = f"{name} at {facts['size']}: {seconds:.2f} s through Triton ({wanted:g})"
            judged[sentence] = seconds <= wanted
        if LIBRARY in row["ms"] and row["own_ops"]:  # the others run the same graph twice
            figure = row["ms"][LIBRARY]["median"] / row["ms"][BODIES]["median"]
            judged[f"{name}: the library takes {figure:.2f} of the bodies' time"] = figure <= 1
    return judged


if __name__ == "__main__":
    main()
