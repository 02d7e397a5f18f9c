"""`make bench-export`: our models in torch and ONNX Runtime, our nodes' share, the bodies' forms.

All columns of a table are measured in turn in one run, so that a busy machine slows them alike; a
requirement is judged by the best times. Writes build/bench/export.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.export import correlation_forms, warp_forms
from benchmarks.export.forms import print_forms
from benchmarks.export.models import BODIES, LIBRARY, MODELS, measure_model, print_model, ratio
from cineflow.runtime.engines.onnxruntime import DEFAULT_THREADS

OUT = Path("build/bench/export.json")

#: What is to be reached.
MOST_SHARE = 0.15
MOST_OVER_FASTEST = 1.2


def main() -> None:
    """Measure, print the tables and what they say of the requirements, write the JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    arguments.add_argument("--only", choices=["models", "forms"], help="one half of it")
    given = arguments.parse_args()
    results: dict[str, Any] = {"models": {}, "forms": {}}
    if given.only != "models":
        for name, room in (("correlation", correlation_forms), ("warp", warp_forms)):
            results["forms"][name] = room.measure(given.rounds)
            print_forms(name, results["forms"][name])
    if given.only != "forms":
        for threads in sorted({1, DEFAULT_THREADS}):
            for name in MODELS:
                row = measure_model(name, threads, given.rounds)
                results["models"][f"{name}, {threads} threads"] = row
                print_model(name, row)
    print("\nrequirements")
    results["requirements"] = requirements(results)
    for sentence, met in results["requirements"].items():
        print(f"  {'met   ' if met else 'MISSED'}  {sentence}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(results, indent=1) + "\n")
    print(f"wrote {OUT}")


def requirements(results: dict[str, Any]) -> dict[str, bool]:
    """Each requirement with its figure, and whether it is met."""
    judged = {}
    for name, row in results["models"].items():
        if LIBRARY in row["ms"]:
            figure = ratio(row, LIBRARY, BODIES)
            judged[f"{name}: the library takes {figure:.2f} of the bodies' time"] = figure <= 1
        if name.startswith("flow_pwc"):
            share = row["our_share"]
            judged[f"{name}: our nodes take {100 * share:.1f} %"] = share <= MOST_SHARE
    for name, table in results["forms"].items():
        worst, size = max((row["used_over_fastest"], size) for size, row in table.items())
        sentence = f"{name}: the body takes at most {worst:.2f} of the fastest form ({size})"
        judged[sentence] = worst <= MOST_OVER_FASTEST
    return judged


if __name__ == "__main__":
    main()
