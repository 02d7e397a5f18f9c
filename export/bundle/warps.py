"""GridSample of a file from elsewhere as `cineflow::Warp`, where the two are proven to be the same.

A vendor's network warps with GridSample along a grid that it makes from its flow. Networks differ
in that step:

    2 x / (W - 1) - 1   with align_corners=1   samples at x: the same as Warp
    (2 x + 1) / W - 1   with align_corners=0   samples at x: the same as Warp
    2 x / (W - 1) - 1   with align_corners=0   samples up to half a pixel away from x
    2 x / W - 1         with align_corners=0   samples half a pixel away from x

The form of the graph does not decide: the file is run. A node is replaced if its grid, for random
flows that point inside, outside and far outside, is at x + flow within a thousandth of a pixel, and
the images that it samples there are those of Warp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.version_converter
import onnx_ir as ir
import onnxruntime
from onnxscript import rewriter
from onnxscript.rewriter import pattern

from cineflow.export.check.inputs import random_inputs
from cineflow.export.check.units import absolute_difference
from cineflow.export.graph.sampling import Sampling
from cineflow.export.ops import DOMAIN, OPSET, attach_bodies
from cineflow.export.recipe import parity_sizes
from cineflow.runtime.bundle import graph_outputs
from cineflow.spec import ModelSpec

#: Farthest that a sampled position may be from x + flow, in pixels.
POSITION_PX = 1e-3

#: Largest difference of the sampled images, of values in 0..1.
VALUE = 1e-3

#: A value whose positions are nearer than this to x + flow looks like a flow, and is named.
_WORTH_SAYING_PX = 2.0

#: Standard deviations of the flows that are tried, in pixels: inside, across the border, outside.
_REACHES = (1.0, 10.0, 300.0)

_BORDERS = {"zeros": "zeros", "border": "clamp"}


@dataclass(frozen=True)
class Sampled:
    """A GridSample node of a file.

    Attributes:
        node: Its name, or its output's.
        flow: The flow that it was proven to warp along; "" where it stays as it is.
        reason: Why it stays, in words.
    """

    node: str
    flow: str = ""
    reason: str = ""

    def __str__(self) -> str:
        if self.flow:
            return f"GridSample {self.node} became cineflow::Warp along {self.flow}"
        return f"GridSample {self.node} stays as it is: {self.reason}"


def to_warps(model: onnx.ModelProto, spec: ModelSpec) -> tuple[onnx.ModelProto, list[Sampled]]:
    """`model` with `cineflow::Warp` where a GridSample is the same, and what was found per node.

    Args:
        model: A graph that fits `spec` and runs in ONNX Runtime; it is not changed. One of an
            opset below Warp's comes back at Warp's opset if a node was replaced.
        spec: Its inputs are tried at several sizes.
    """
    given = model
    nodes = [node for node in model.graph.node if _is_grid_sample(node)]
    if nodes and _opset(model) > OPSET:  # a function must have the opset of its graph
        reason = f"the file has opset {_opset(model)}, and Warp's body has {OPSET}"
        return given, [Sampled(_name(node), reason=reason) for node in nodes]
    if nodes and _opset(model) < OPSET:
        try:
            model = onnx.version_converter.convert_version(model, OPSET)
        except Exception as error:  # the converter raises several types
            reason = f"the file cannot be converted to opset {OPSET}: {error}"
            return given, [Sampled(_name(node), reason=reason) for node in nodes]
        nodes = [node for node in model.graph.node if _is_grid_sample(node)]
    found = [_judge(model, spec, node) for node in nodes]
    along = {one.node: one.flow for one in found if one.flow}
    if not along:
        return given, found
    borders = {
        _name(node): _BORDERS[_sampling(node).padding]
        for node in model.graph.node
        if _is_grid_sample(node) and _name(node) in along
    }
    if len(set(borders.values())) > 1:  # a graph has one body of Warp
        first = next(iter(borders.values()))
        for position, one in enumerate(found):
            if one.flow and borders[one.node] != first:
                found[position] = Sampled(one.node, reason="another warp has a different border")
                del along[one.node]
    rewritten = _rewritten(model, along, borders)
    theirs = [function for function in model.functions if function.domain != DOMAIN]
    attach_bodies(rewritten)
    rewritten.functions.extend(theirs)
    if reason := _changed(given, rewritten, spec):
        return given, [Sampled(one.node, reason=one.reason or reason) for one in found]
    return rewritten, found


def _opset(model: onnx.ModelProto) -> int:
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def _changed(model: onnx.ModelProto, rewritten: onnx.ModelProto, spec: ModelSpec) -> str:
    """Which output of the whole graph is out of tolerance, in words; "" where none is."""
    tensors = graph_outputs(spec)
    names = [tensor.name for tensor in tensors]
    for sizes in parity_sizes(spec):
        inputs = random_inputs(spec, sizes, seed=1)
        before, after = (_run(graph, inputs, {}, names) for graph in (model, rewritten))
        for tensor, one, other in zip(tensors, before, after, strict=True):
            gap = float(absolute_difference(one, other).max(initial=0.0))
            if gap > (tensor.tolerance or 0.0):
                return f"with Warp, {tensor.name} would change by {gap:.2g} {tensor.unit}"
    return ""


def _rewritten(
    model: onnx.ModelProto, along: Mapping[str, str], borders: Mapping[str, str]
) -> onnx.ModelProto:
    values: dict[str, ir.Value] = {}

    class ToWarp(pattern.RewriteRuleClassBase):
        def pattern(self, op, image, grid):  # type: ignore[no-untyped-def]
            return op.GridSample(image, grid, _allow_other_attributes=True, _outputs=["sampled"])

        def check(self, context, sampled, **_):  # type: ignore[no-untyped-def, override]
            return _ir_name(sampled.producer()) in along

        def rewrite(self, op, image, grid, sampled):  # type: ignore[no-untyped-def]
            name = _ir_name(sampled.producer())
            flow = values[along[name]]
            return op.Warp(image, flow, border=borders[name], _domain=DOMAIN, _version=1)

    graph = ir.from_proto(model)
    values.update({value.name: value for value in graph.graph.inputs if value.name})
    for node in graph.graph:
        values.update({value.name: value for value in node.outputs if value.name})
    graph.opset_imports.setdefault(DOMAIN, 1)
    rule = ToWarp.rule()  # type: ignore[no-untyped-call]
    rewriter.RewriteRuleSet([rule]).apply_to_model(graph)
    return ir.to_proto(graph)


def _judge(model: onnx.ModelProto, spec: ModelSpec, node: onnx.NodeProto) -> Sampled:
    name, how = _name(node), _sampling(node)
    if how.mode != "linear" or how.padding not in _BORDERS:
        return Sampled(name, reason=f"Warp is linear with zeros or border, not {how}")
    nearest, closest = "", _WORTH_SAYING_PX
    for candidate in _candidates(model, node):
        try:
            apart = _apart(model, spec, node, candidate)
        except Exception:
            continue
        if apart is None:
            continue
        position, value = apart
        if position <= POSITION_PX and value <= VALUE:
            return Sampled(name, flow=candidate)
        if position < closest:
            closest = position
            nearest = f"along {candidate} it samples {position:.2g} px away from x + flow"
    return Sampled(name, reason=nearest or "no flow [N, 2, H, W] in pixels leads to its grid")


def _candidates(model: onnx.ModelProto, node: onnx.NodeProto) -> Iterator[str]:
    """Values that the grid is computed from, nearest first."""
    producer = {name: one for one in model.graph.node for name in one.output}
    stored = {item.name for item in model.graph.initializer}
    seen: set[str] = set()
    open_names = [node.input[1]]
    while open_names:
        name = open_names.pop(0)
        if name in seen or not name or name in stored:
            continue
        seen.add(name)
        yield name
        if name in producer and producer[name].op_type != "Shape":
            open_names.extend(producer[name].input)


def _apart(
    model: onnx.ModelProto, spec: ModelSpec, node: onnx.NodeProto, flow: str
) -> tuple[float, float] | None:
    """How far positions (px) and images are from those of Warp; None if `flow` cannot be one.

    The graph is run up to `flow` for its shape, then on from there with flows of its own.
    """
    worst_position = worst_value = 0.0
    for sizes in parity_sizes(spec)[:2]:
        inputs = random_inputs(spec, sizes, seed=0)
        image, was, grid = _run(model, inputs, {}, [node.input[0], flow, node.input[1]])
        if was.ndim != 4 or was.shape[1] != 2 or was.dtype != np.float32 or image.ndim != 4:
            return None
        if grid.shape != (was.shape[0], *was.shape[2:], 2) or was.shape[2:] != image.shape[2:]:
            return None
        random = np.random.default_rng(0)
        for reach in _REACHES:
            tried = (reach * random.normal(size=was.shape)).astype(np.float32)
            picture = random.uniform(size=image.shape).astype(np.float32)
            (grid,) = _run(model, inputs, {flow: tried}, [node.input[1]])
            position = _position_gap(grid, tried, _sampling(node), image.shape[2:])
            worst_position = max(worst_position, position)
            if worst_position > POSITION_PX:
                return worst_position, math.inf
            value = _value_gap(node, picture, grid, tried)
            worst_value = max(worst_value, value)
    return worst_position, worst_value


def _position_gap(
    grid: np.ndarray, flow: np.ndarray, how: Sampling, size: tuple[int, ...]
) -> float:
    """Largest distance of the sampled positions from x + flow, in pixels."""
    worst = 0.0
    for channel, extent in enumerate((size[1], size[0])):
        share = grid[..., channel].astype(np.float64) + 1
        at = share * (extent - 1) / 2 if how.align_corners else (share * extent - 1) / 2
        shape = (1, 1, -1) if channel == 0 else (1, -1, 1)
        wanted = np.arange(extent).reshape(shape) + flow[:, channel]
        worst = max(worst, float(np.abs(at - wanted).max()))
    return worst


def _value_gap(
    node: onnx.NodeProto, image: np.ndarray, grid: np.ndarray, flow: np.ndarray
) -> float:
    """Largest difference between GridSample of `grid` and Warp along `flow`, on one image."""
    sampler = onnx.NodeProto()
    sampler.CopyFrom(node)
    sampler.input[:], sampler.output[:] = ["image", "grid"], ["sampled"]
    border = _BORDERS[_sampling(node).padding]
    warp = onnx.helper.make_node(
        "Warp", ["image", "flow"], ["warped"], domain=DOMAIN, border=border
    )
    arrays = {"image": image, "grid": grid, "flow": flow}
    graph = onnx.helper.make_graph(
        [sampler, warp],
        "both",
        [onnx.helper.make_tensor_value_info(k, 1, v.shape) for k, v in arrays.items()],
        [onnx.helper.make_tensor_value_info(k, 1, [None] * 4) for k in ("sampled", "warped")],
    )
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(DOMAIN, 1)]
    both = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    attach_bodies(both)
    one, other = _session(both).run(["sampled", "warped"], arrays)
    return float(np.abs(one - other).max(initial=0.0))


def _run(
    model: onnx.ModelProto,
    inputs: Mapping[str, np.ndarray],
    given: Mapping[str, np.ndarray],
    wanted: list[str],
) -> list[np.ndarray]:
    """Values of `model` for `inputs`, with the values of `given` in place of its own."""
    part = onnx.ModelProto()
    part.CopyFrom(model)
    graph = part.graph
    for node in graph.node:
        node.output[:] = [f"{name}_unused" if name in given else name for name in node.output]
    kept_inputs = [value for value in graph.input if value.name not in given]
    fresh = [onnx.helper.make_tensor_value_info(k, 1, v.shape) for k, v in given.items()]
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.extend([*kept_inputs, *fresh])
    fed = {name: array for name, array in inputs.items() if name not in given} | dict(given)
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in fed)
    computed = [name for name in wanted if name not in fed]
    found = _session(part).run(computed, fed) if computed else []
    values = fed | dict(zip(computed, found, strict=True))
    return [values[name] for name in wanted]


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _is_grid_sample(node: onnx.NodeProto) -> bool:
    return node.op_type == "GridSample" and node.domain in ("", "ai.onnx")


def _sampling(node: onnx.NodeProto) -> Sampling:
    given = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    mode = given.get("mode", b"linear").decode()
    return Sampling(
        "linear" if mode == "bilinear" else mode,
        given.get("padding_mode", b"zeros").decode(),
        bool(given.get("align_corners", 0)),
    )


def _name(node: onnx.NodeProto) -> str:
    return node.output[0]


def _ir_name(node: ir.Node) -> str:
    return node.outputs[0].name or ""
