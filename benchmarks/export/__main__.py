"""`make bench-export`: our models in torch and ONNX Runtime, our nodes' share, the bodies' forms.

All columns of a table are measured in turn in one run, so that a busy machine slows them alike.
Writes build/bench/export.json.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch

from benchmarks.export.correlation_forms import FORMS
from cineflow.export import export_bundle, load_recipe
from cineflow.export.bundle import build_module
from cineflow.runtime import Bundle
from cineflow.runtime.engine import Engine
from cineflow.runtime.engines.onnxruntime import (
    DEFAULT_THREADS,
    OnnxRuntimeEngine,
    op_library_path,
    session_options,
)
from cineflow.runtime.engines.torch import TorchEngine

MODELS = ("lucas_kanade", "flow_pwc")
SIDE = 256
ROUNDS = 15

#: Feature maps of flow_pwc at 256 x 256, coarse to fine, and one larger.
CORRELATIONS = ((192, 4, 4), (128, 8, 8), (96, 16, 16), (64, 32, 32), (32, 64, 64), (32, 128, 128))

OUT = Path("build/bench/export.json")


def main() -> None:
    """Measure, print the tables, write the JSON."""
    torch.set_num_threads(DEFAULT_THREADS)
    results = {"models": {}, "correlation_forms_ms": correlation_forms()}
    with tempfile.TemporaryDirectory() as folder:
        for name in MODELS:
            bundle = export_bundle(name, Path(folder) / name)
            results["models"][name] = model_row(name, bundle)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(results, indent=1) + "\n")
    print(f"wrote {OUT}")


def model_row(name: str, bundle: Bundle) -> dict[str, object]:
    """Median ms of one model in each runtime, and the share of our nodes."""
    recipe = load_recipe(name)
    sizes = {"height": SIDE, "width": SIDE}
    inputs = {key: value.numpy() for key, value in recipe.examples(sizes, 0).items()}
    module = build_module(recipe)
    engines: dict[str, Engine] = {
        "torch eager": TorchEngine(module, recipe.spec),
        "torch.compile": TorchEngine(torch.compile(module), recipe.spec, "torch.compile"),
        "ORT, bodies": OnnxRuntimeEngine(bundle, use_op_library=False),
    }
    if op_library_path():
        engines["ORT, op library"] = OnnxRuntimeEngine(bundle)
    milliseconds = in_turn({key: lambda e=e: e.run(inputs) for key, e in engines.items()})
    share = own_share(bundle, inputs)
    print(f"\n{name} at {SIDE} x {SIDE}, {DEFAULT_THREADS} threads")
    for key, value in milliseconds.items():
        print(f"  {key:18s}{value:8.2f} ms   {value / milliseconds['torch eager']:5.2f} x eager")
    print(f"  our nodes take {100 * share['ours']:.1f} % in ORT; the rest by operator:")
    for operator, part in list(share.items())[:6]:
        print(f"    {operator:24s}{100 * part:5.1f} %")
    return {"ms": milliseconds, "share": share}


def own_share(bundle: Bundle, inputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Share of kernel time per operator in ONNX Runtime, ours together as "ours" first."""
    options = session_options(ort, None)
    options.enable_profiling = True
    options.profile_file_prefix = tempfile.mktemp(prefix="cineflow-")
    if (library := op_library_path()) is not None:
        options.register_custom_ops_library(str(library))
    session = ort.InferenceSession(str(bundle.onnx_path), options)
    for _ in range(ROUNDS):
        session.run(None, dict(inputs))
    file = Path(session.end_profiling())
    totals: dict[str, float] = {}
    for event in json.loads(file.read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            operator = event["args"]["op_name"]
            totals[operator] = totals.get(operator, 0.0) + event["dur"]
    file.unlink()
    total = sum(totals.values())
    ours = sum(totals.get(name, 0.0) for name in ("Warp", "Correlation"))
    ranked = sorted(totals.items(), key=lambda item: -item[1])
    return {"ours": ours / total} | {name: value / total for name, value in ranked}


def correlation_forms() -> dict[str, dict[str, float]]:
    """Median ms of each standard-operator form at each size."""
    table = {}
    print("correlation, radius 4, as standard operators in ONNX Runtime, ms")
    print(f"  {'C x H x W':16s}" + "".join(f"{name:>14s}" for name in FORMS))
    for shape in CORRELATIONS:
        random = np.random.default_rng(0)
        f1, f2 = random.normal(size=(2, 1, *shape)).astype(np.float32)
        sessions = {name: _session(form(shape[0]), shape) for name, form in FORMS.items()}
        results = [s.run(None, {"f1": f1, "f2": f2})[0] for s in sessions.values()]
        for result in results[1:]:
            np.testing.assert_allclose(result, results[0], atol=1e-4)
        feed = {"f1": f1, "f2": f2}
        row = in_turn({n: lambda s=s, f=feed: s.run(None, f) for n, s in sessions.items()})
        label = " x ".join(map(str, shape))
        print(f"  {label:16s}" + "".join(f"{value:14.2f}" for value in row.values()))
        table[label] = row
    return table


def _session(body: str, shape: tuple[int, ...]) -> ort.InferenceSession:
    dims = ",".join(map(str, (1, *shape)))
    text = (
        '<ir_version: 10, opset_import: ["" : 20]>\n'
        f"main (float[{dims}] f1, float[{dims}] f2) => (float[n,k,h,w] out)\n{{\n{body}\n}}"
    )
    model = onnx.parser.parse_model(text)
    return ort.InferenceSession(model.SerializeToString(), session_options(ort, None))


def in_turn(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median ms of each call, the calls taking turns after two runs to warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(ROUNDS + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if round_ >= 2:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: round(float(np.median(values)), 3) for name, values in times.items()}


if __name__ == "__main__":
    main()
