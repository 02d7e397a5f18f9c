"""`make bench-export`: our models in torch and ONNX Runtime, our nodes' share, the bodies' forms.

All columns of a table are measured in turn in one run, so a busy machine slows them equally. A
requirement is judged by the best times. Writes build/bench/export.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.export import correlation_forms, warp_forms
from benchmarks.export.forms import forms_table
from benchmarks.export.models import BODIES, LIBRARY, MODELS, measure_model, model_table, ratio
from benchmarks.export.page import PAGE, write_page
from benchmarks.repeat import repeat_line
from cineflow.runtime.engines.onnxruntime import DEFAULT_THREADS

OUT = Path("build/bench/export.json")

#: Limits of the requirements.
MOST_SHARE = 0.15
MOST_OVER_FASTEST = 1.2


def main() -> None:
    """Measure, print the tables and the requirements, write the JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=25)
    arguments.add_argument("--only", choices=["models", "forms"], help="measure only these")
    arguments.add_argument("--model", choices=MODELS, help="measure only this model")
    arguments.add_argument("--page", action="store_true", help=f"write {PAGE} as well")
    given = arguments.parse_args()
    results: dict[str, Any] = {"models": [], "forms": {}}
    if given.only != "models":
        for name, forms in (("correlation", correlation_forms), ("warp", warp_forms)):
            results["forms"][name] = forms.measure(given.rounds)
            print(f"\n{forms_table(name, results['forms'][name])}")
        if given.page:
            write_page(results["forms"])
    if given.only != "forms":
        for name in [given.model] if given.model else MODELS:
            rows = measure_model(name, sorted({1, DEFAULT_THREADS}), given.rounds)
            results["models"] += rows
            for row in rows:
                print(f"\n{model_table(row)}", flush=True)
    print("\nrequirements")
    results["requirements"] = requirements(results)
    for sentence, met in results["requirements"].items():
        print(f"  {'met   ' if met else 'MISSED'}  {sentence}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(results, indent=1) + "\n")
    print(repeat_line())
    print(f"wrote {OUT}")


def requirements(results: dict[str, Any]) -> dict[str, bool]:
    """Each requirement with its figure, and whether it is met."""
    judged = {}
    for row in results["models"]:
        name = f"{row['model']}, {row['threads']} thread{'' if row['threads'] == 1 else 's'}"
        if LIBRARY in row["ms"]:
            figure = ratio(row, LIBRARY, BODIES)
            judged[f"{name}: the library takes {figure:.2f} of the bodies' time"] = figure <= 1
        if row["model"] == "flow_pwc":
            share = row["our_share"][LIBRARY]
            judged[f"{name}: our nodes take {100 * share:.1f} %"] = share <= MOST_SHARE
    for name, table in results["forms"].items():
        worst, size = max((row["used_over_fastest"], size) for size, row in table.items())
        sentence = f"{name}: the body takes at most {worst:.2f} of the fastest form ({size})"
        if name == "warp":
            sentence += " that is a GridSample"
        judged[sentence] = worst <= MOST_OVER_FASTEST
    return judged


if __name__ == "__main__":
    main()
