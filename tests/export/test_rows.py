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


def nested(node: str, where: str) -> onnx.ModelProto:
    """A graph with `node`, which reads a and b and makes x, in a branch, a loop or a function."""
    shape, function = "float[2,3,16,8]", ""
    if where == "branch":
        call = (
            f"y = If (t) <then_branch = yes () => ({shape} p) {{ {node} p = Identity (x) }}, "
            f"else_branch = no () => ({shape} q) {{ q = Relu (a) }}>"
        )
    elif where == "loop":
        call = (
            "n = Constant <value = int64 {2}> () y = Loop (n, t, a) "
            f"<body = each (int64 i, bool more, {shape} s) => (bool on, {shape} p) "
            f"{{ on = Identity (more) {node} p = Identity (x) }}>"
        )
    else:
        call = "y = vendor.Moved (a, b)"
        function = (
            '<domain: "vendor", opset_import: ["" : 20, "cineflow" : 1]> '
            f"Moved (a, b) => (x) {{ {node} }}"
        )
    return onnx.parser.parse_model(f"""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1, "vendor" : 1]>
main ({shape} a, float[2,2,16,8] b, bool t) => ({shape} y) {{ {call} }}
{function}
""")


@pytest.mark.parametrize("where", ["branch", "loop"])
@pytest.mark.parametrize("reader", READERS)
def test_an_op_without_a_row_is_refused_at_any_depth(reader: str, where: str) -> None:
    with pytest.raises(ExportError, match="cineflow::Sharpen"):
        READERS[reader](nested("x = cineflow.Sharpen (a)", where))


@pytest.mark.parametrize(
    ("node", "rule"),
    [
        ("x = cineflow.Sharpen (a)", "unknown-op"),
        ("x = cineflow.Warp (a)", "wrong-inputs"),
        ("x = vendor.Magic (a)", "no-body"),
        ("x = StringNormalizer (a)", "operator"),
        ("k = NonZero (a) x = Identity (a)", "value-sized"),
    ],
)
@pytest.mark.parametrize("where", ["branch", "loop", "function"])
def test_the_lint_reads_nodes_at_any_depth(where: str, node: str, rule: str) -> None:
    assert rule in {finding.rule for finding in lint_model(nested(node, where))}


@pytest.mark.parametrize("where", ["branch", "loop"])
def test_the_lint_reads_samplers_at_any_depth(where: str) -> None:
    """Functions are left out: the bodies of our ops guard their grids."""
    node = "g = Transpose <perm = [0, 2, 3, 1]> (b) x = GridSample (a, g)"
    assert "unguarded-grid" in {finding.rule for finding in lint_model(nested(node, where))}
    assert grid_sample_rank(nested(node, where)) == 4


@pytest.mark.parametrize("where", ["branch", "loop"])
def test_half_precision_coordinates_are_found_at_any_depth(where: str) -> None:
    low = "h = Cast <to = 10> (b) x = cineflow.Warp (a, h)"
    assert half.low_precision_coordinates(nested("x = cineflow.Warp (a, b)", where)) == []
    (found,) = half.low_precision_coordinates(nested(low, where))
    assert "Warp" in found


@pytest.mark.parametrize("where", ["branch", "loop"])
def test_half_precision_results_are_found_at_any_depth(where: str) -> None:
    low = "h = Cast <to = 10> (a) r = Relu (h) x = Cast <to = 1> (r)"
    (said,) = half.low_precision_results(nested(low, where)).values()
    assert "Relu" in said


def test_a_branch_keeps_single_precision() -> None:
    """A feature that it reads from outside is cast for it, and the weights that it reads stay."""
    model = onnx.parser.parse_model("""
<ir_version: 10, opset_import: ["" : 20]>
main (float[1,1,4,4] a, bool t) => (float[1,1,4,4] z, float[1,1,4,4] y)
<float[1,1,1,1] w = {1}, float[1,1,1,1] v = {2}> {
  fine = Conv (a, w)
  soft = Relu (fine)
  z = Conv (soft, w)
  y = If (t) <
    then_branch = yes () => (float[1,1,4,4] p) { p = Conv (soft, v) },
    else_branch = no () => (float[1,1,4,4] q) { q = Conv (soft, w) }
  >
}
""")
    half.to_half(model)
    onnx.checker.check_model(model, full_check=True)
    types = half.value_types(model)
    assert types["soft"] == onnx.TensorProto.FLOAT16
    assert types["y"] == onnx.TensorProto.FLOAT
    assert half.low_precision_coordinates(model) == []


def test_coordinates_of_a_branch_are_computed_in_single_precision() -> None:
    model = onnx.parser.parse_model("""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[1,2,4,4] a, bool t) => (float[1,2,4,4] y)
<float[2,2,1,1] w = {1, 1, 1, 1}> {
  coarse = Conv (a, w)
  flow = Relu (coarse)
  y = If (t) <
    then_branch = yes () => (float[1,2,4,4] p) { twice = Add (flow, flow)
                                                 p = cineflow.Warp (a, twice) },
    else_branch = no () => (float[1,2,4,4] q) { q = Relu (a) }
  >
}
""")
    assert {"coarse", "flow", "twice"} <= half.island_nodes(model.graph)
    assert half.feature_nodes(model.graph) == []


@pytest.mark.parametrize("where", ["branch", "loop"])
def test_arithmetic_counts_at_any_depth(where: str) -> None:
    """Of two branches the costlier one; the body of a loop once."""
    model = nested("x = cineflow.Correlation <radius: int = 0> (a, a)", where)
    shapes = footprint.shapes_at(model, SPEC, {})
    assert footprint.multiply_adds(model, shapes) == 2 * 3 * 16 * 8


def test_bodies_are_attached_for_a_branch() -> None:
    model = nested("x = cineflow.Warp (a, b)", "branch")
    attach_bodies(model)
    assert [function.name for function in model.functions] == ["Warp"]
    assert not [f for f in lint_model(model) if f.severity == "error"]


@pytest.mark.parametrize("where", ["branch", "loop"])
def test_a_graph_is_not_split_inside_a_branch(where: str) -> None:
    with pytest.raises(ExportError, match=r"cineflow::Warp in a(n If| Loop)"):
        split_at_ops(nested("x = cineflow.Warp (a, b)", where))


def test_a_branch_runs_after_the_op_that_it_reads() -> None:
    model = onnx.parser.parse_model("""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[1,1,4,4] a, float[1,2,4,4] b, bool t) => (float[1,1,4,4] y)
<float[1,1,4,4] moved> {
  moved = cineflow.Warp (a, b)
  y = If (t) <
    then_branch = yes () => (float[1,1,4,4] p) { p = Relu (moved) },
    else_branch = no () => (float[1,1,4,4] q) { q = Neg (moved) }
  >
}
""")
    cut = split_at_ops(model)
    assert [step.get("op") or step["inputs"] for step in cut.steps] == ["Warp", ["t", "moved"]]


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
