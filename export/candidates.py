"""Everything here that can run a bundle, for `cineflow verify` to compare with torch.

The graph with its bodies, with our op library, inlined, in segments; in half precision, if the
bundle itself is in single; and in every other runtime that works on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from cineflow.errors import CineflowError
from cineflow.export.bundle import INLINED_FILE, engines_for
from cineflow.export.graph import inline
from cineflow.export.operators import attach_bodies
from cineflow.export.precision import FP16, FP32, feature_nodes, to_half
from cineflow.runtime.bundle import Bundle
from cineflow.runtime.engine import Engine
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine, op_library_path
from cineflow.runtime.runtimes import RUNTIMES


@dataclass(frozen=True)
class Candidate:
    """One engine to compare.

    Attributes:
        engine: Opened.
        precision: Storage type of its features; another than the bundle's is for information.
    """

    engine: Engine
    precision: str


def find_candidates(
    bundle: Bundle, model: onnx.ModelProto, scratch: Path
) -> tuple[list[Candidate], list[str]]:
    """Every engine that opens `bundle` here, and in words those that should and do not.

    Args:
        bundle: The model.
        model: Its graph.
        scratch: A folder for forms of the graph that the bundle does not hold.
    """
    found = [Candidate(engine, bundle.precision) for engine in engines_for(bundle)]
    found.append(Candidate(_inlined(bundle, model, scratch), bundle.precision))
    found += [Candidate(engine, FP16) for engine in _in_half(bundle, model, scratch)]
    refusals = []
    for name, runtime in RUNTIMES.items():
        if name == "onnxruntime" or not runtime.status(bundle, None).available:
            continue
        try:
            found.append(Candidate(runtime.open(bundle, None, None), bundle.precision))
        except CineflowError as error:
            refusals.append(f"{name}: {error}")
    return found, refusals


def _inlined(bundle: Bundle, model: onnx.ModelProto, scratch: Path) -> Engine:
    """The form without functions: the bundle's own file, or made now."""
    file = bundle.path / INLINED_FILE
    if not file.is_file():
        file = scratch / INLINED_FILE
        onnx.save(inline(model), file)
    engine = OnnxRuntimeEngine(bundle, use_op_library=False, graph=file)
    engine.kernels = "bodies, inlined"
    return engine


def _in_half(bundle: Bundle, model: onnx.ModelProto, scratch: Path) -> list[Engine]:
    """An fp32 bundle with its features in half precision; nothing where it has no features."""
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
