"""Our models in torch and in ONNX Runtime, and the share of our nodes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.export.profiles import OURS, gap, onnxruntime_profile, torch_profile
from benchmarks.export.timing import in_turn
from cineflow.export import export_bundle, load_recipe
from cineflow.export.bundle import build_module
from cineflow.export.recipe import Recipe
from cineflow.runtime.bundle import Bundle
from cineflow.runtime.engine import Engine
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine, op_library_path
from cineflow.runtime.engines.torch import TorchEngine

MODELS = ("lucas_kanade", "flow_pwc")
SIDE = 256

#: Seconds before each call: the last runtime's workers spin for milliseconds after it, on the cores
#: that the next one is timed on.
PAUSE_S = 0.02

EAGER, COMPILED = "torch eager", "torch.compile"
BODIES, LIBRARY = "ORT, bodies", "ORT, op library"


def measure_model(name: str, threads: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """One model at 256 x 256 in every runtime, in turn, and where the time goes.

    Args:
        name: A built-in recipe.
        threads: Thread counts; one row for each.
        rounds: Runs that are timed.

    Returns:
        Per thread count `ms` per runtime; `ort_profile_ms`, `torch_profile_ms` per kind of
        operator; `our_share` of the profiled time in ONNX Runtime and in torch eager;
        `slower_kinds`: what each kind costs more in ONNX Runtime than in torch eager, where ONNX
        Runtime is the slower one.
    """
    recipe = load_recipe(name)
    inputs = {
        key: value.numpy()
        for key, value in recipe.examples({"height": SIDE, "width": SIDE}, 0).items()
    }
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_bundle(name, Path(folder) / name)
        return [_row(recipe, bundle, inputs, count, rounds) for count in threads]


def _row(
    recipe: Recipe, bundle: Bundle, inputs: dict[str, np.ndarray], threads: int, rounds: int
) -> dict[str, Any]:
    torch.set_num_threads(threads)
    module = build_module(recipe)
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
        pause_s=PAUSE_S,
    )
    in_ort = onnxruntime_profile(bundle.onnx_path, inputs, threads, rounds)
    in_torch = torch_profile(lambda: engines[EAGER].run(inputs), rounds)
    ours = times.get(LIBRARY, times[BODIES])
    return {
        "model": recipe.spec.name,
        "threads": threads,
        "ms": {key: value.to_dict() for key, value in times.items()},
        "our_share": {
            LIBRARY: in_ort.get(OURS, 0.0) / sum(in_ort.values()),
            EAGER: in_torch.get(OURS, 0.0) / sum(in_torch.values()),
        },
        "ort_profile_ms": _rounded(in_ort),
        "torch_profile_ms": _rounded(in_torch),
        "slower_kinds": _rounded(gap(in_ort, in_torch)) if ours.best > times[EAGER].best else {},
    }


def model_table(row: dict[str, Any]) -> str:
    """One model at one number of threads, as Markdown."""
    lines = [
        f"{row['model']}, {SIDE} x {SIDE}, {row['threads']} "
        f"thread{'' if row['threads'] == 1 else 's'}",
        "",
        "| runtime | best, ms | median, ms | of torch eager | in our nodes |",
        "|---|---|---|---|---|",
    ]
    for key, times in row["ms"].items():
        share = row["our_share"].get(key)
        lines.append(
            f"| {key} | {times['best']:.2f} | {times['median']:.2f} | {ratio(row, key, EAGER):.2f} "
            f"| {'' if share is None else f'{100 * share:.1f} %'} |"
        )
    kinds = list(row["ort_profile_ms"].items())[:6]
    lines += ["", f"{LIBRARY}, ms by kind: " + ", ".join(f"{kind} {ms:.2f}" for kind, ms in kinds)]
    if row["slower_kinds"]:
        lines.append(_why_slower(row))
    return "\n".join(lines)


def _why_slower(row: dict[str, Any]) -> str:
    """What costs more by the two profiles; as separate runs they may disagree with the times."""
    costs = [kind for kind, ms in row["slower_kinds"].items() if ms > 0][:3]
    kinds = ", ".join(
        f"{kind} {row['ort_profile_ms'].get(kind, 0.0):.2f} against "
        f"{row['torch_profile_ms'].get(kind, 0.0):.2f} ms"
        for kind in costs
    )
    if sum(row["slower_kinds"].values()) <= 0:
        return (
            f"Slower than torch eager, though not in its profile, which has more only in: {kinds}"
        )
    return f"Slower than torch eager, by its profile against torch's mostly in: {kinds}"


def ratio(row: dict[str, Any], one: str, other: str) -> float:
    """Best time of `one` over that of `other`."""
    return float(row["ms"][one]["best"] / row["ms"][other]["best"])


def _rounded(kinds: dict[str, float]) -> dict[str, float]:
    return {kind: round(ms, 3) for kind, ms in kinds.items()}
