"""Timing the forms of a body against each other in ONNX Runtime, and sizing them in TensorRT-RTX.

A form is the text of an ONNX graph's nodes. All forms of one op must give the same result.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from benchmarks.export.timing import Times, in_turn
from cineflow.export.bodies import OPSET
from cineflow.export.engine_build import EngineBuild
from cineflow.runtime.engines.onnxruntime import session_options

Inputs = Mapping[str, np.ndarray]

#: Architecture that the engines are built for; sizes hardly differ between architectures.
CAPABILITY = 89


def graph(nodes: str, inputs: Inputs) -> onnx.ModelProto:
    """A model of the given nodes, from `inputs` (all f32) to `out` of rank 4."""
    formal = ", ".join(
        f"float[{','.join(map(str, value.shape))}] {name}" for name, value in inputs.items()
    )
    head = f'<ir_version: 10, opset_import: ["" : {OPSET}]>'
    return onnx.parser.parse_model(f"{head}\nmain ({formal}) => (float[n,k,h,w] out)\n{{{nodes}}}")


def time_forms(
    forms: Mapping[str, str], inputs: Inputs, tolerance: float, rounds: int
) -> dict[str, Times]:
    """Time of each form on one thread, checked against the first."""
    sessions = {}
    for name, nodes in forms.items():
        content = graph(nodes, inputs).SerializeToString()
        sessions[name] = ort.InferenceSession(content, session_options(ort, 1))
    results = [session.run(None, dict(inputs))[0] for session in sessions.values()]
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], atol=tolerance)
    calls: dict[str, Callable[[], object]] = {
        name: lambda s=session: s.run(None, dict(inputs))  # type: ignore[misc]
        for name, session in sessions.items()
    }
    return in_turn(calls, rounds)


def size_in_tensorrt(nodes: str, inputs: Inputs) -> dict[str, float]:
    """What TensorRT-RTX makes of one form without a GPU: layers as parsed, engine bytes, seconds.

    Its time on a card cannot be known here. Empty without TensorRT-RTX.
    """
    try:
        trt: Any = importlib.import_module("tensorrt_rtx")
    except ImportError:
        return {}
    model = graph(nodes, inputs)
    quiet = trt.Logger(trt.Logger.ERROR)
    network = trt.Builder(quiet).create_network(0)
    trt.OnnxParser(network, quiet).parse(model.SerializeToString())
    start = time.perf_counter()
    plan = EngineBuild(trt, "tensorrt-rtx", "form", model, CAPABILITY, ({}, {}, {}))()
    seconds = round(time.perf_counter() - start, 2)
    return {"layers": network.num_layers, "bytes": len(plan), "build_s": seconds}


def print_forms(title: str, table: Mapping[str, Mapping[str, Any]]) -> None:
    """One row per size: best ms of each form, the used one's distance from the fastest last."""
    forms = next(iter(table.values()))["ms"]
    print(f"\n{title}, ms (best), ONNX Runtime, 1 thread")
    print(f"  {'size':18s}" + "".join(f"{name:>20s}" for name in forms) + "   used / fastest")
    for size, row in table.items():
        cells = "".join(f"{times['best']:20.3f}" for times in row["ms"].values())
        print(f"  {size:18s}{cells}{row['used_over_fastest']:14.2f}")
    last = list(table.values())[-1].get("tensorrt_rtx")
    if last:
        print(f"  in TensorRT-RTX at {list(table)[-1]} (no GPU: sizes only)")
        for name, found in last.items():
            print(
                f"    {name:20s}{found['layers']:6.0f} layers as parsed, engine "
                f"{found['bytes'] / 1024:.0f} KiB, built in {found['build_s']:.1f} s"
            )
