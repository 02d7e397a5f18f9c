"""Time per kind of operator, in ONNX Runtime and in torch, by their own profilers.

The two name their operators differently; `KINDS` and `TORCH_KINDS` map them to the same kinds. The
kinds with the largest difference explain why a model is slower in one of the two.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from cineflow.export.ops import OPERATORS
from cineflow.runtime.engines.onnxruntime import op_library_path, session_options

OURS = "our ops"

_ELEMENTWISE = (
    "Add", "Sub", "Mul", "Div", "Neg", "Abs", "Sqrt", "Exp", "Log", "Pow", "Max", "Min", "Clip",
    "Where", "Cast", "CastLike", "Not", "And", "Or", "Less", "Greater", "Equal", "LessOrEqual",
    "GreaterOrEqual", "LeakyRelu", "Relu", "Sigmoid", "Tanh", "Reciprocal", "QuickGelu",
)  # fmt: skip
_LAYOUT = (
    "Concat", "Slice", "Split", "Reshape", "Transpose", "Pad", "Expand", "Unsqueeze", "Squeeze",
    "Shape", "Gather", "Identity", "Range", "ReorderInput", "ReorderOutput", "ConstantOfShape",
    "Tile",
)  # fmt: skip

#: ONNX operator -> kind; an operator that is missing here is its own kind.
KINDS: Mapping[str, str] = {
    **{kind: OURS for row in OPERATORS.values() for kind in row.node_types},
    **dict.fromkeys(("Conv", "FusedConv", "ConvTranspose"), "convolutions"),
    **dict.fromkeys(("MatMul", "Gemm", "FusedMatMul"), "matrix products"),
    **dict.fromkeys(("AveragePool", "MaxPool", "GlobalAveragePool"), "pooling"),
    **dict.fromkeys(("Resize", "Upsample"), "resizing"),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"), "reductions"),
    **dict.fromkeys(_ELEMENTWISE, "elementwise"),
    **dict.fromkeys(_LAYOUT, "layout"),
}

#: Part of an ATen operator's name -> kind; the first that fits.
TORCH_KINDS = (
    ("cineflow::", OURS),
    ("conv", "convolutions"),
    ("mm", "matrix products"),
    ("linear", "matrix products"),
    ("pool", "pooling"),
    ("upsample", "resizing"),
    ("mean", "reductions"),
    ("aten::sum", "reductions"),
    ("amax", "reductions"),
    ("amin", "reductions"),
    *((f"aten::{name}", "layout") for name in (
        "cat", "slice", "split", "narrow", "view", "reshape", "permute", "transpose", "pad",
        "expand", "unsqueeze", "squeeze", "copy_", "empty", "as_strided", "clone", "contiguous",
        "select", "constant_pad", "chunk", "resize", "fill_", "zeros", "detach", "arange",
    )),
)  # fmt: skip


def onnxruntime_profile(
    onnx_path: Path, inputs: Mapping[str, np.ndarray], threads: int, rounds: int
) -> dict[str, float]:
    """Milliseconds of one run per kind, through our op library where it is built."""
    options = session_options(ort, threads)
    options.enable_profiling = True
    if (library := op_library_path()) is not None:
        options.register_custom_ops_library(str(library))
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(onnx_path), options)
        for _ in range(rounds):
            session.run(None, dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_text())
    kinds: dict[str, float] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            kind = KINDS.get(event["args"]["op_name"], event["args"]["op_name"])
            kinds[kind] = kinds.get(kind, 0.0) + 1e-3 * event["dur"] / rounds
    return _ranked(kinds)


def torch_profile(run: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Milliseconds of one run of a torch module per kind."""
    run()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(rounds):
            run()
    kinds: dict[str, float] = {}
    for event in profiler.key_averages():
        kind = next((kind for part, kind in TORCH_KINDS if part in event.key), "elementwise")
        kinds[kind] = kinds.get(kind, 0.0) + 1e-3 * event.self_cpu_time_total / rounds
    return _ranked(kinds)


def gap(slower: Mapping[str, float], faster: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds that each kind costs more in the first profile, the largest first."""
    kinds = {*slower, *faster}
    return _ranked({kind: slower.get(kind, 0.0) - faster.get(kind, 0.0) for kind in kinds})


def _ranked(kinds: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(kinds.items(), key=lambda item: -item[1]))
