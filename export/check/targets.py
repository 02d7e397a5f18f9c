"""What each target takes: opset, file format, operators, rank of a sampled image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx

from cineflow.export.ops import every_graph, every_node_of, inferred, row_of

#: Operators whose output size depends on values: an engine with fixed buffers cannot run them.
_VALUE_SIZED = {"NonZero", "Unique", "Compress", "NonMaxSuppression"}

_STRINGS = {"StringNormalizer", "StringConcat", "StringSplit", "RegexFullMatch", "TfIdfVectorizer"}


@dataclass(frozen=True)
class Target:
    """One runtime that a bundle may be meant for.

    Attributes:
        name: The runtime and its version.
        opset: Highest opset of the standard domain.
        ir: Highest file format.
        grid_rank: Highest rank of GridSample's input.
        refuses: Operator -> why.
        source: Where these facts come from.
    """

    name: str
    opset: int
    ir: int
    grid_rank: int
    refuses: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


_TENSORRT = dict.fromkeys(sorted(_STRINGS), "it has no text tensors") | dict.fromkeys(
    ("SequenceConstruct", "SequenceAt", "SplitToSequence"), "it has no sequences"
)

TARGETS = (
    Target("ONNX Runtime 1.20", 21, 10, 5, {}, "its release notes"),
    Target("TensorRT 10", 22, 11, 4, _TENSORRT, "its parser's operator list; not tried"),
    Target("TensorRT 11.2.1", 22, 11, 5, _TENSORRT, "as TensorRT 10, and rank 5; not tried"),
    Target("TensorRT-RTX 1.7", 26, 13, 5, _TENSORRT, "tried: parses and builds without a GPU"),
)

#: Targets that read GridSample's mode "linear" as nearest. Tried: TensorRT-RTX 1.4 and 1.5 do, 1.6
#: and 1.7 do not. TensorRT: NVIDIA/TensorRT#4646 and onnx/onnx-tensorrt#1060.
MISREAD_LINEAR = "TensorRT 10, TensorRT 11.1 and TensorRT-RTX before 1.6"


def target_findings(model: onnx.ModelProto) -> Iterator[tuple[str, str, str]]:
    """Each target that cannot take `model`, as (rule, message, remedy).

    Raises:
        ExportError: A node of domain `cineflow` has no row in `cineflow.export.ops`.
    """
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    operators = {node.op_type for node in every_node_of(model) if not node.domain}
    rank = grid_sample_rank(model)
    if sized := sorted(operators & _VALUE_SIZED):
        yield (
            "value-sized",
            f"{', '.join(sized)} gives results whose size depends on values",
            "Keep a fixed number of results and a mask; buffers and CUDA graphs need fixed sizes",
        )
    for target in TARGETS:
        if opset > target.opset:
            yield (
                "opset",
                f"{target.name} takes opsets up to {target.opset}, this is {opset}",
                "Export with opset 20",
            )
        if model.ir_version > target.ir:
            yield (
                "ir-version",
                (
                    f"{target.name} reads ONNX file format up to {target.ir}, this is "
                    f"{model.ir_version}"
                ),
                f"Set model.ir_version = {target.ir} before saving",
            )
        if rank > target.grid_rank:
            yield (
                "grid-rank",
                (f"{target.name} takes GridSample up to rank {target.grid_rank}, this has {rank}"),
                "Build with TensorRT-RTX or TensorRT 11.2.1 and newer",
            )
        for name in sorted(operators & set(target.refuses)):
            yield (
                "operator",
                f"{target.name} refuses {name}: {target.refuses[name]}",
                "Replace it with arithmetic on tensors",
            )


def grid_sample_rank(model: onnx.ModelProto) -> int:
    """Highest rank that GridSample is called with, in the graph or in a body; 0 without any.

    Raises:
        ExportError: A node of domain `cineflow` has no row in `cineflow.export.ops`.
    """
    ranks: dict[str, int] = {}
    sampled: list[str] = []
    for graph in every_graph(inferred(model).graph):
        for value in (*graph.input, *graph.value_info, *graph.output):
            ranks[value.name] = len(value.type.tensor_type.shape.dim)
        ranks |= {item.name: len(item.dims) for item in graph.initializer}
        sampled += [name for node in graph.node for name in _sampled_by(node)]
    return max((ranks.get(name, 0) for name in sampled), default=0)


def _sampled_by(node: onnx.NodeProto) -> list[str]:
    """What `node` passes to GridSample, by itself or in its body."""
    if (row := row_of(node)) is not None:
        given = row.inputs_of(node)
        return [given[row.sampled]] if row.sampled else []
    return list(node.input[:1]) if node.op_type == "GridSample" else []
