"""Our models in torch and in ONNX Runtime, and the share of our nodes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.export.profiles import OURS, gap, onnxruntime_profile, torch_profile
from benchmarks.export.timing import in_turn
from cineflow.export import export_bundle, load_recipe
from cineflow.export.bundle import build_module
from cineflow.runtime.engine import Engine
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine, op_library_path
from cineflow.runtime.engines.torch import TorchEngine

MODELS = ("lucas_kanade", "flow_pwc")
SIDE = 256

EAGER, COMPILED = "torch eager", "torch.compile"
BODIES, LIBRARY = "ORT, bodies", "ORT, op library"


def measure_model(name: str, threads: int, rounds: int) -> dict[str, Any]:
    """One model at 256 x 256 in every runtime, in turn, and where ONNX Runtime spends its time.

    Returns:
        `ms` per runtime; `ort_profile_ms`, `torch_profile_ms` per kind of operator; `our_share` of
        the profiled time in ONNX Runtime; `why_slower`: what each kind costs more there than in
        torch eager, where ONNX Runtime is the slower one.
    """
    torch.set_num_threads(threads)
    recipe = load_recipe(name)
    sizes = {"height": SIDE, "width": SIDE}
    inputs = {key: value.numpy() for key, value in recipe.examples(sizes, 0).items()}
    module = build_module(recipe)
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_bundle(name, Path(folder) / name)
        engines: dict[str, Engine] = {
            EAGER: TorchEngine(module, recipe.spec),
            COMPILED: TorchEngine(torch.compile(module), recipe.spec, COMPILED),
            BODIES: OnnxRuntimeEngine(bundle, threads, use_op_library=False),
        }
        if op_library_path():
            engines[LIBRARY] = OnnxRuntimeEngine(bundle, threads)
        times = in_turn(
            {key: lambda e=e: e.run(inputs) for key, e in engines.items()},  # type: ignore[misc]
            rounds,
        )
        in_ort = onnxruntime_profile(bundle.onnx_path, inputs, threads, rounds)
    in_torch = torch_profile(lambda: engines[EAGER].run(inputs), rounds)
    ours = times.get(LIBRARY, times[BODIES])
    slower = ours.best > times[EAGER].best
    return {
        "threads": threads,
        "ms": {key: value.to_dict() for key, value in times.items()},
        "our_share": in_ort.get(OURS, 0.0) / sum(in_ort.values()),
        "ort_profile_ms": _rounded(in_ort),
        "torch_profile_ms": _rounded(in_torch),
        "why_slower": _rounded(gap(in_ort, in_torch)) if slower else {},
    }


def print_model(name: str, row: dict[str, Any]) -> None:
    """One model's table."""
    plural = "thread" if row["threads"] == 1 else "threads"
    print(f"\n{name} at {SIDE} x {SIDE}, {row['threads']} {plural}, ms")
    eager = row["ms"][EAGER]
    for key, times in row["ms"].items():
        ratio = times["best"] / eager["best"]
        print(
            f"  {key:18s} best {times['best']:7.2f}   median {times['median']:7.2f}"
            f"   {ratio:5.2f} x eager"
        )
    print(f"  our nodes: {100 * row['our_share']:.1f} % of ONNX Runtime's time; by kind:")
    kinds = list(row["ort_profile_ms"].items())[:6]
    print("    " + ", ".join(f"{kind} {ms:.2f}" for kind, ms in kinds))
    if row["why_slower"]:
        worst = [(k, ms) for k, ms in row["why_slower"].items() if ms > 0][:3]
        print(
            "  slower than torch eager. Its profile against torch's: "
            + ", ".join(
                f"{kind} {row['ort_profile_ms'].get(kind, 0.0):.2f} against "
                f"{row['torch_profile_ms'].get(kind, 0.0):.2f}"
                for kind, _ in worst
            )
        )


def ratio(row: dict[str, Any], one: str, other: str) -> float:
    """Best time of `one` over that of `other`."""
    return float(row["ms"][one]["best"] / row["ms"][other]["best"])


def _rounded(kinds: dict[str, float]) -> dict[str, float]:
    return {kind: round(ms, 3) for kind, ms in kinds.items()}
