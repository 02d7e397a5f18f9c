"""Every form of a bundle and every runtime that opens it on this machine.

The forms are the graph with its bodies, with our op library, inlined and in segments, and in half
precision if the bundle is in single precision. Then come all other runtimes that work here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from cineflow.errors import CineflowError
from cineflow.export.bundle.contents import INLINED_FILE, has_segments, whole_engines
from cineflow.export.graph.half import FP16, FP32, feature_nodes, to_half
from cineflow.export.graph.model import inline
from cineflow.export.ops import attach_bodies
from cineflow.runtime.bundle import Bundle
from cineflow.runtime.engine import Engine
from cineflow.runtime.engines.onnxruntime import (
    OnnxRuntimeEngine,
    op_library_path,
    open_segments,
)
from cineflow.runtime.runtimes import RUNTIMES


@dataclass(frozen=True)
class Opened:
    """One engine to compare with the others.

    Attributes:
        engine: The engine.
        precision: Storage type of its features; another than the bundle's is for information.
    """

    engine: Engine
    precision: str


def open_runtimes(
    bundle: Bundle, model: onnx.ModelProto, scratch: Path
) -> tuple[list[Opened], list[str]]:
    """Every engine that opens `bundle` here, and a sentence for each that should but does not.

    Args:
        bundle: The model.
        model: Its graph.
        scratch: A folder for forms of the graph that the bundle does not contain.
    """
    found = [Opened(engine, bundle.precision) for engine in whole_engines(bundle)]
    refusals = []
    if has_segments(bundle):
        try:
            found.append(Opened(open_segments(bundle), bundle.precision))
        except CineflowError as error:
            refusals.append(f"onnxruntime-segments: {error}")
    found.append(Opened(_inlined(bundle, model, scratch), bundle.precision))
    found += [Opened(engine, FP16) for engine in _in_half(bundle, model, scratch)]
    for name, runtime in RUNTIMES.items():
        if name == "onnxruntime" or not runtime.status(bundle, None).available:
            continue
        try:
            found.append(Opened(runtime.open(bundle, None, None), bundle.precision))
        except CineflowError as error:
            refusals.append(f"{name}: {error}")
    return found, refusals


def _inlined(bundle: Bundle, model: onnx.ModelProto, scratch: Path) -> Engine:
    """The form without functions: the bundle's own file, or one made now."""
    file = bundle.path / INLINED_FILE
    if not file.is_file():
        file = scratch / INLINED_FILE
        onnx.save(inline(model), file)
    engine = OnnxRuntimeEngine(bundle, use_op_library=False, graph=file)
    engine.kernels = "bodies, inlined"
    return engine


def _in_half(bundle: Bundle, model: onnx.ModelProto, scratch: Path) -> list[Engine]:
    """An fp32 bundle with its features in half precision; nothing if it has no features."""
    if bundle.precision != FP32 or not feature_nodes(model.graph):
        return []
    half = onnx.ModelProto()
    half.CopyFrom(model)
    to_half(half)
    attach_bodies(half)
    file = scratch / "half.onnx"
    onnx.save(half, file)
    engines: list[Engine] = [OnnxRuntimeEngine(bundle, use_op_library=False, graph=file)]
    if op_library_path():
        engines.append(OnnxRuntimeEngine(bundle, graph=file))
    return engines
