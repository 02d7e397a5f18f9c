"""Facts about the graph of a bundle: its size and cost, and what each target says about it."""

from __future__ import annotations

from typing import Any

import onnx

from cineflow.errors import MissingDependencyError
from cineflow.export.check.targets import TARGETS, target_findings
from cineflow.export.engines.builder import parse_errors
from cineflow.export.engines.flavours import import_flavour
from cineflow.export.engines.profile import TYPICAL_SIZE
from cineflow.export.graph import footprint
from cineflow.export.graph.model import operator_counts
from cineflow.export.recipe import nearest_size, spec_axes
from cineflow.runtime.bundle import Bundle


def summarise(model: onnx.ModelProto, bundle: Bundle) -> dict[str, Any]:
    """Figures of the graph, at the typical size if it is dynamic."""
    sizes = typical_sizes(bundle)
    shapes = footprint.shapes_at(model, bundle.spec, sizes)
    return {
        "operators": operator_counts(model),
        "parameters": footprint.parameter_count(model),
        "multiply_adds": footprint.multiply_adds(model, shapes),
        "least_memory_bytes": footprint.live_bytes(model, shapes),
        "file_bytes": bundle.onnx_path.stat().st_size,
        "sizes": sizes,
        "precision": bundle.precision,
        "trained": bundle.spec.weights.trained,
        "weights": bundle.spec.weights.describe(),
    }


def typical_sizes(bundle: Bundle) -> dict[str, int]:
    """The size at which figures are given, per dynamic axis."""
    axes = spec_axes(bundle.spec)
    return {name: nearest_size(axis, TYPICAL_SIZE) for name, axis in axes.items()}


def targets_of(model: onnx.ModelProto) -> dict[str, dict[str, Any]]:
    """Target -> the reasons `against` it and their `source`."""
    against: dict[str, list[str]] = {target.name: [] for target in TARGETS}
    for _, message, _ in target_findings(model):
        for name, found in against.items():
            if message.startswith(name) or not any(message.startswith(n) for n in against):
                found.append(message)
    said = {t.name: {"against": against[t.name], "source": t.source} for t in TARGETS}
    try:
        trt = import_flavour("tensorrt-rtx")
    except MissingDependencyError:
        return said
    # Its parser runs without a GPU.
    tried = {"against": parse_errors(trt, model), "source": "its parser read the graph just now"}
    return said | {f"TensorRT-RTX {trt.__version__}": tried}
