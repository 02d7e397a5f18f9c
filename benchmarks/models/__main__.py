"""`make bench-models`: the networks of the sources, in every runtime and through a real Triton.

All runtimes of a model are measured in turn, so a busy machine slows them equally. Writes
build/bench/models.json; with --facts only the table of docs/systems.md, which has no times.
"""

from __future__ import annotations

import argparse
import json
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
    """Measure, print a table and the requirements, write the JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--model", action="append", help="measure only this recipe")
    arguments.add_argument("--variant", default="small", choices=VARIANTS, help="of each recipe")
    arguments.add_argument("--facts", action="store_true", help="only write docs/systems.md")
    given = arguments.parse_args()
    names = given.model or [name for members in SYSTEMS.values() for name in members]
    if given.facts:
        write_table([facts_of(name, variant) for name in names for variant in VARIANTS])
        return
    from benchmarks.models.speed import SERVED, measure

    columns = (EAGER, BODIES, LIBRARY, SERVED)
    print(
        f"{processor_and_cores()}; {given.threads} threads; {given.variant}; "
        "median ms of one run; peak MB of ONNX Runtime with our library\n"
    )
    rates = [f"{rate} fps" for rate in RATES]
    titles = ["model", "size", "M parameters", "G MACs", "MB", *columns, "fps served", *rates]
    print(f"| {' | '.join(titles)} |")
    print("|" + "---|" * len(titles))
    rows = []
    for name in names:
        row = measure(name, given.variant, given.rounds, given.threads)
        rows.append(row)
        print(_line(row, columns, SERVED), flush=True)
    print("\nrequirements")
    judged = requirements(rows, SERVED)
    for sentence, met in judged.items():
        print(f"  {'met   ' if met else 'MISSED'}  {sentence}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"models": rows, "requirements": judged}, indent=1) + "\n")
    print(repeat_line())
    print(f"wrote {OUT}")


def _line(row: dict[str, Any], columns: tuple[str, ...], served: str) -> str:
    facts = row["facts"]
    cells = [f"{row['ms'][name]['median']:.1f}" if name in row["ms"] else "" for name in columns]
    holds = ["holds" if held else "no" for held in row["holds"].values()]
    numbers = [f"{facts['parameters'] / 1e6:.2f}", f"{facts['macs'] / 1e9:.2f}"]
    numbers.append(f"{row['peak_mb']:.0f}")
    own = [facts["name"], facts["size"], *numbers, *cells, f"{row['fps'][served]:.1f}", *holds]
    return f"| {' | '.join(own)} |"


def requirements(rows: list[dict[str, Any]], served: str) -> dict[str, bool]:
    """Each requirement with its figure, and whether it is met."""
    judged = {}
    for row in rows:
        name, fps, small = (
            row["facts"]["name"],
            row["fps"][served],
            row["facts"]["variant"] == "small",
        )
        if small and name in LEAST_FPS:
            judged[f"{name}: {fps:.1f} fps through Triton"] = fps >= LEAST_FPS[name]
        if small and name in MOST_S:
            seconds = row["ms"][served]["median"] / 1e3
            judged[f"{name}: {seconds:.2f} s through Triton"] = seconds <= MOST_S[name]
        if LIBRARY in row["ms"] and row["own_ops"]:  # the others run the same graph twice
            figure = row["ms"][LIBRARY]["best"] / row["ms"][BODIES]["best"]
            judged[f"{name}: the library takes {figure:.2f} of the bodies' time"] = figure <= 1
    return judged


if __name__ == "__main__":
    main()
