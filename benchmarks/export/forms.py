"""Time the forms of a body against each other in ONNX Runtime, and size them in TensorRT-RTX.

A form is the text of an ONNX graph's nodes. All forms of one op must return the same result.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from benchmarks.export.timing import in_turn
from cineflow.errors import EngineError
from cineflow.export.engines.builder import EngineBuild, parse_errors
from cineflow.export.ops import OPSET
from cineflow.runtime.engines.onnxruntime import session_options

Inputs = Mapping[str, np.ndarray]

#: Architecture that the engines are built for; sizes hardly differ between architectures.
CAPABILITY = 89


def nodes_of(body: str, like: str) -> str:
    """The nodes of a body whose result has the type of `like`, in a graph where all is f32.

    ONNX Runtime drops the cast of the result inside such a graph, but not at its end.
    """
    nodes = body.partition("{")[2].rpartition("}")[0]
    cast = f"out = CastLike (out_f32, {like})"
    assert cast in nodes
    return nodes.replace(cast, "out = Identity (out_f32)")


def measure_forms(
    forms: Mapping[str, str],
    cases: Sequence[Inputs],
    *,
    used: str,
    tolerance: float,
    rounds: int,
    not_judged: Collection[str] = (),
    build: bool = False,
) -> dict[str, Any]:
    """One row of a table: every form at one size.

    Args:
        forms: Nodes by name.
        cases: Inputs on which all forms must agree; they are timed on the first.
        used: The form that is exported.
        tolerance: Largest difference between forms.
        rounds: Timed runs.
        not_judged: Forms that are timed but do not count for `used_over_fastest`.
        build: Whether to build each form in TensorRT-RTX as well.

    Returns:
        `ms` per form, `used_over_fastest`, `used_over_any` if some forms are `not_judged`, and
        `tensorrt_rtx` per form with `build`.
    """
    sessions = {name: _session(nodes, cases[0]) for name, nodes in forms.items()}
    for case in cases:
        results = [session.run(None, dict(case))[0] for session in sessions.values()]
        for result in results[1:]:
            np.testing.assert_allclose(result, results[0], atol=tolerance)
    calls: dict[str, Callable[[], object]] = {
        name: lambda s=session: s.run(None, dict(cases[0]))  # type: ignore[misc]
        for name, session in sessions.items()
    }
    times = in_turn(calls, rounds)
    fastest = min(taken.best for name, taken in times.items() if name not in not_judged)
    row: dict[str, Any] = {
        "ms": {name: taken.to_dict() for name, taken in times.items()},
        "used_over_fastest": round(times[used].best / fastest, 3),
    }
    if not_judged:
        row["used_over_any"] = round(times[used].best / min(t.best for t in times.values()), 3)
    if build:
        row["tensorrt_rtx"] = {name: in_tensorrt(text, cases[0]) for name, text in forms.items()}
    return row


def graph(nodes: str, inputs: Inputs, *, fixed: bool) -> onnx.ModelProto:
    """A model of the given nodes, from `inputs` (all f32) to `out` of rank 4.

    Args:
        nodes: Nodes of the form.
        inputs: Arrays with the shapes of the inputs.
        fixed: False makes height and width dynamic, as in a bundle by default.
    """
    shapes = {name: [str(size) for size in value.shape] for name, value in inputs.items()}
    formal = ", ".join(
        f"float[{','.join(shape if fixed else [*shape[:2], 'h', 'w'])}] {name}"
        for name, shape in shapes.items()
    )
    head = f'<ir_version: 10, opset_import: ["" : {OPSET}]>'
    return onnx.parser.parse_model(f"{head}\nmain ({formal}) => (float[n,k,h,w] out)\n{{{nodes}}}")


def in_tensorrt(nodes: str, inputs: Inputs) -> dict[str, Any]:
    """TensorRT-RTX without a GPU: layers as parsed, engine bytes, build seconds of one form.

    It cannot be timed without a card. `fault` is the reason why it does not build.
    """
    try:
        trt: Any = importlib.import_module("tensorrt_rtx")
    except ImportError as error:
        return {"fault": str(error)}
    model = graph(nodes, inputs, fixed=True)
    if errors := parse_errors(trt, model):
        return {"fault": errors[0]}
    network = trt.Builder(trt.Logger(trt.Logger.ERROR)).create_network(0)
    trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR)).parse(model.SerializeToString())
    start = time.perf_counter()
    try:
        plan = EngineBuild(trt, "tensorrt-rtx", "form", model, CAPABILITY, ({}, {}, {}))()
    except EngineError as error:
        return {"fault": error.got}
    seconds = round(time.perf_counter() - start, 2)
    return {"layers": network.num_layers, "bytes": len(plan), "build_s": seconds}


def _session(nodes: str, inputs: Inputs) -> ort.InferenceSession:
    content = graph(nodes, inputs, fixed=False).SerializeToString()
    return ort.InferenceSession(content, session_options(ort, 1))


def forms_table(title: str, table: Mapping[str, Mapping[str, Any]]) -> str:
    """Best times per size and form, and layers and size in TensorRT-RTX, as Markdown."""
    rows = list(table.items())
    last_size, last = rows[-1]
    ratios = {"used_over_fastest": "used / fastest"}
    if "used_over_any" in last:
        ratios = {
            "used_over_fastest": "used / fastest GridSample",
            "used_over_any": "used / fastest of all",
        }
    headings = ["C x H x W", *last["ms"], *ratios.values()]
    lines = [
        f"{title}: ONNX Runtime, 1 thread, best of all runs, ms",
        "",
        f"| {' | '.join(headings)} |",
        "|---" * len(headings) + "|",
    ]
    for size, row in rows:
        figures = [f"{taken['best']:.3f}" for taken in row["ms"].values()]
        figures += [f"{row[ratio]:.2f}" for ratio in ratios]
        lines.append(f"| {size} | {' | '.join(figures)} |")
    lines += [
        "",
        f"{title}: TensorRT-RTX at {last_size}, for SM {CAPABILITY}",
        "",
        "| form | builds | layers as parsed | engine, KiB | build, s |",
        "|---|---|---|---|---|",
    ]
    for name, built in last["tensorrt_rtx"].items():
        if fault := built.get("fault"):
            lines.append(f"| {name} | no: {fault} | | | |")
        else:
            lines.append(
                f"| {name} | yes | {built['layers']} | {built['bytes'] / 1024:.0f} "
                f"| {built['build_s']:.2f} |"
            )
    return "\n".join(lines)
