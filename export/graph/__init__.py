"""The torch module as one ONNX graph, and what is done with a graph.

trace.py      a torch module as a checked ONNX graph with the names of its spec
model.py      check, inline, count and compare a graph with its spec
sampling.py   how GridSample nodes sample; their mode left unnamed where it is linear
weights.py    weights that a module cuts or fills up, as tensors of their own
half.py       features in half precision; coordinates, flow and results in single
split.py      the graph cut at our ops, for runtimes that take no plugins
footprint.py  shapes, memory and arithmetic at given sizes
conflicts.py  axes whose sizes do not fit each other, by their names
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cineflow.export._face import lazily

if TYPE_CHECKING:
    from cineflow.export.graph.footprint import (
        live_bytes,
        multiply_adds,
        parameter_count,
        shapes_at,
    )
    from cineflow.export.graph.half import PRECISIONS, precision_of, to_half
    from cineflow.export.graph.model import check_model, inline, operator_counts, require_interface
    from cineflow.export.graph.split import split_at_ops, write_segments
    from cineflow.export.graph.trace import trace_module

__all__ = [
    "PRECISIONS",
    "check_model",
    "inline",
    "live_bytes",
    "multiply_adds",
    "operator_counts",
    "parameter_count",
    "precision_of",
    "require_interface",
    "shapes_at",
    "split_at_ops",
    "to_half",
    "trace_module",
    "write_segments",
]

__getattr__ = lazily(
    __name__,
    {
        "PRECISIONS": "half",
        "check_model": "model",
        "inline": "model",
        "live_bytes": "footprint",
        "multiply_adds": "footprint",
        "operator_counts": "model",
        "parameter_count": "footprint",
        "precision_of": "half",
        "require_interface": "model",
        "shapes_at": "footprint",
        "split_at_ops": "split",
        "to_half": "half",
        "trace_module": "trace",
        "write_segments": "split",
    },
)
