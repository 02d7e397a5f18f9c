"""Finds problems in an ONNX file before they occur at run time: a finding and a remedy per line.

The rules come from defects seen in published models and in the runtimes: inputs without effect,
sizes that claim to be dynamic, states that Triton swaps, coordinates in half precision.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from cineflow.errors import ExportError
from cineflow.export.check.findings import ERROR, Finding
from cineflow.export.check.rules import (
    RULES_OF_ANY_GRAPH,
    RULES_OF_OUR_OPS,
    UNREADABLE,
    low_precision,
    state_pairs,
)
from cineflow.export.check.streaming import spec_beside, stream_findings
from cineflow.spec import ModelSpec

_COPY = "Copy it again; a file with external data needs its data files in the same folder"


def check_file(file: str | Path) -> list[Finding]:
    """Every finding on an ONNX file, errors first; of a bundle's file also on its spec.

    Raises:
        ExportError: The file is missing, or is not an ONNX model.
    """
    model, spec = read_onnx(file), spec_beside(Path(file))
    findings = lint_model(model, spec)
    return findings if spec is None else [*findings, *stream_findings(spec)]


def lint_model(model: onnx.ModelProto, spec: ModelSpec | None = None) -> list[Finding]:
    """Every finding on a model in memory, errors first.

    Args:
        model: The graph.
        spec: Says which tensors are states and which outputs carry motion. Without it, a file only
            looks as if it had some, so what would be wrong with them is a warning.
    """
    findings = [finding for rule in RULES_OF_ANY_GRAPH for finding in rule(model)]
    findings += state_pairs(model, spec)
    if not any(finding.rule in UNREADABLE for finding in findings):
        findings += [finding for rule in RULES_OF_OUR_OPS for finding in rule(model)]
        findings += low_precision(model, spec)
    return sorted(findings, key=lambda finding: finding.severity != ERROR)


def require_no_errors(name: str, model: onnx.ModelProto, spec: ModelSpec | None = None) -> None:
    """Raise `ExportError`, with the first remedy, if the lint finds an error in a model."""
    errors = [finding for finding in lint_model(model, spec) if finding.severity == ERROR]
    if errors:
        raise ExportError(
            f"{name} without errors of `cineflow check`",
            "; ".join(finding.message for finding in errors[:3]),
            errors[0].remedy,
        )


def read_onnx(file: str | Path) -> onnx.ModelProto:
    """Load an ONNX file, external data included.

    Raises:
        ExportError: The file is missing or corrupt, or its external data is.
    """
    file = Path(file)
    try:
        model = onnx.load(file)
    except Exception as error:  # protobuf, OS and onnx errors share no root
        raise ExportError(
            f"an ONNX file at {file}",
            f"{type(error).__name__}: {str(error)[:200]}",
            _COPY if file.is_file() else "Correct the path",
        ) from error
    if not model.graph.node and not model.graph.output:
        raise ExportError(f"an ONNX graph in {file}", "an empty file", _COPY)
    return model
