"""The rows of our ops: one per op, read everywhere, and an op without a row is refused by name."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest

from cineflow import ops
from cineflow.errors import ExportError
from cineflow.export.check import lint_model
from cineflow.export.check.targets import grid_sample_rank, target_findings
from cineflow.export.graph import footprint, half
from cineflow.export.graph.split import split_at_ops
from cineflow.export.ops import OPERATORS, Operator, attach_bodies
from cineflow.ops import operator as fronts
from cineflow.spec import ModelSpec, TensorSpec

SPEC = ModelSpec(
    name="one",
    summary="One op.",
    inputs=tuple(TensorSpec(name, "float32", (2, 3, 16, 8), "1") for name in "ab"),
    outputs=(),
)
READERS: dict[str, Callable[[onnx.ModelProto], object]] = {
    "shapes": lambda model: footprint.shapes_at(model, SPEC, {}),
    "arithmetic": lambda model: footprint.multiply_adds(model, {}),
    "half precision": half.to_half,
    "low coordinates": half.low_precision_coordinates,
    "targets": lambda model: list(target_findings(model)),
    "split": split_at_ops,
    "bodies": attach_bodies,
}


def unknown(arguments: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[2,3,16,8] a, float[2,3,16,8] b) => (float[n,c,h,w] y)
{{ y = cineflow.Sharpen ({arguments}) }}
""")


def renamed(model: onnx.ModelProto, op: str, domain: str = "cineflow") -> onnx.ModelProto:
    model.graph.node[0].op_type = op
    model.graph.node[0].domain = domain
    return model


@pytest.mark.parametrize("arguments", ["a", "a, b", "a, b, b"])
@pytest.mark.parametrize("reader", READERS)
def test_an_op_without_a_row_is_refused_by_name(reader: str, arguments: str) -> None:
    with pytest.raises(ExportError, match="cineflow::Sharpen") as caught:
        READERS[reader](unknown(arguments))
    assert caught.value.remedy


def test_the_lint_reports_an_op_without_a_row() -> None:
    rules = {finding.rule: finding.severity for finding in lint_model(unknown("a"))}
    assert rules["unknown-op"] == "error"


def test_every_op_of_cineflow_has_its_row() -> None:
    for name in dir(ops):  # the ops load on first use
        getattr(ops, name)
    rows = {row.torch_name for row in OPERATORS.values()}
    assert rows <= set(fronts.Operator.declared)
    assert {"warp", "correlation", "compose_flow", "polar_resample"} <= rows


@pytest.mark.parametrize("row", OPERATORS.values(), ids=lambda row: row.name)
def test_a_row_agrees_with_the_torch_schema(row: Operator) -> None:
    front = fronts.Operator.declared[row.torch_name]
    assert [name for name, _ in row.inputs] == list(front.axes)
    arguments = front.schema.partition("(")[2].rpartition(") ->")[0].split(", ")
    named = [argument.split()[1].split("=")[0] for argument in arguments]
    assert named[len(row.inputs) :] == list(row.attributes)


@pytest.mark.parametrize("arguments", ["a", "a, b, b"])
@pytest.mark.parametrize("reader", READERS)
def test_a_node_with_the_wrong_number_of_inputs_is_refused(reader: str, arguments: str) -> None:
    count = len(arguments.split())
    with pytest.raises(ExportError, match=f"with the inputs src, flow; got {count} inputs"):
        READERS[reader](renamed(unknown(arguments), "Warp"))


@pytest.mark.parametrize("arguments", ["a", "a, b, b"])
def test_the_lint_reports_the_wrong_number_of_inputs(arguments: str) -> None:
    findings = lint_model(renamed(unknown(arguments), "Warp"))
    (found,) = [finding for finding in findings if finding.rule == "wrong-inputs"]
    assert found.severity == "error"
    assert "cineflow::Warp 'y'" in found.message


@pytest.mark.parametrize("arguments", ["", "a"])
def test_the_lint_reports_a_grid_sample_without_its_grid(arguments: str) -> None:
    findings = lint_model(renamed(unknown(arguments), "GridSample", domain=""))
    assert "checker" in {finding.rule for finding in findings}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coordinates": ("motion",)}, "no input motion"),
        ({"sampled": "image"}, "no input image"),
        ({"coordinates": ("src",)}, "must be f32"),
        ({"features": ("flow",)}, 'must be of type "S"'),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Operator(**{**vars(OPERATORS["Warp"]), **change})


def test_the_rank_of_what_a_body_samples_counts() -> None:
    model = onnx.parser.parse_model("""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[1,1,4,8,8] volume, float[1,3,4,8,8] flow) => (float[n,c,d,h,w] y)
{ y = cineflow.Warp (volume, flow) }
""")
    assert grid_sample_rank(model) == 5
    assert [rule for rule, *_ in target_findings(model)] == ["grid-rank"]
