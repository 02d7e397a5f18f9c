"""Each rule finds its defect, and reports nothing without it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import pytest

from cineflow.errors import ExportError
from cineflow.export import export_bundle
from cineflow.export.check import ERROR, WARNING, check_file, lint_model
from cineflow.export.graph.model import require_interface
from cineflow.runtime import Bundle
from cineflow.spec import ModelSpec, TensorSpec

HEAD = '<ir_version: 10, opset_import: ["" : 20]>'

#: rule -> (severity, graph with the defect, the same graph without it)
CASES = {
    "unused-input": (
        ERROR,
        "(float[4] a, float[4] b) => (float[4] y) { y = Relu (a) }",
        "(float[4] a, float[4] b) => (float[4] y) { y = Add (a, b) }",
    ),
    "static-inputs": (  # seen in a published tracker
        WARNING,
        "(float[1,64] frames, float[64,2] queries) => (float[T,N] y) "
        "{ y = MatMul (frames, queries) }",
        "(float[T,64] frames, float[64,N] queries) => (float[T,N] y) "
        "{ y = MatMul (frames, queries) }",
    ),
    "unknown-output-size": (
        WARNING,
        "(float[n] a) => (float[k] y) { y = Relu (a) }",
        "(float[n] a) => (float[n] y) { y = Relu (a) }",
    ),
    "tracer-name": (
        WARNING,
        "",  # the text form has no such names; see the test of its own below
        "(float[4] frames) => (float[4] y) { y = Relu (frames) }",
    ),
    "state-order": (
        WARNING,
        "(float[4] a_prev, float[4] b_prev) => (float[4] out_a, float[4] new_b) "
        "{ out_a = Relu (a_prev) new_b = Relu (b_prev) }",
        "(float[4] a_in, float[4] b_in) => (float[4] a_out, float[4] b_out) "
        "{ a_out = Relu (a_in) b_out = Relu (b_in) }",
    ),
    "state-shape": (
        WARNING,
        "(float[1,4] h_in) => (float[4,1] h_out) { h_out = Transpose <perm: ints = [1,0]> (h_in) }",
        "(float[1,4] h_in) => (float[1,4] h_out) { h_out = Relu (h_in) }",
    ),
    "state-precision": (
        WARNING,
        "(float16[1,4] h_in) => (float16[1,4] h_out) { h_out = Relu (h_in) }",
        "(float[1,4] h_in) => (float[1,4] h_out) { h_out = Relu (h_in) }",
    ),
    "result-precision": (
        WARNING,
        "(float16[1,4] x) => (float16[1,4] y) { y = Relu (x) }",
        "(float16[1,4] x) => (float[1,4] y) { y = Cast <to: int = 1> (x) }",
    ),
    "coordinate-precision": (
        ERROR,
        "(float16[1,1,8,8] x, float16[1,8,8,2] g) => (float16[1,1,8,8] y) "
        "{ y = GridSample (x, g) }",
        "(float[1,1,8,8] x, float[1,8,8,2] g) => (float[1,1,8,8] y) { y = GridSample (x, g) }",
    ),
    "unguarded-grid": (
        WARNING,
        "(float[1,1,8,8] x, float[1,8,8,2] g) => (float[1,1,8,8] y) { y = GridSample (x, g) }",
        "(float[1,1,8,8] x, float[1,8,8,2] g) => (float[1,1,8,8] y) "
        "{ c = Clip (g) y = GridSample (x, c) }",
    ),
    "float64": (
        ERROR,
        "(double[4] a) => (double[4] y) { y = Relu (a) }",
        "(float[4] a) => (float[4] y) { y = Relu (a) }",
    ),
    "text": (
        ERROR,
        "(string[4] a) => (string[4] y) { y = Identity (a) }",
        "(float[4] a) => (float[4] y) { y = Relu (a) }",
    ),
    "value-sized": (
        WARNING,
        "(float[4] a) => (int64[1,k] y) { y = NonZero (a) }",
        "(float[4] a) => (float[4] y) { y = Relu (a) }",
    ),
    "grid-rank": (
        WARNING,
        "(float[1,1,4,4,4] x, float[1,4,4,4,3] g) => (float[1,1,4,4,4] y) "
        "{ y = GridSample (x, g) }",
        "(float[1,1,8,8] x, float[1,8,8,2] g) => (float[1,1,8,8] y) { y = GridSample (x, g) }",
    ),
}


def model(graph: str, head: str = HEAD) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"{head} main {graph}")


def rename(parsed: onnx.ModelProto, old: str, new: str) -> onnx.ModelProto:
    parsed.graph.input[0].name = new
    for node in parsed.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
    return parsed


def rules(parsed: onnx.ModelProto) -> dict[str, str]:
    return {finding.rule: finding.severity for finding in lint_model(parsed)}


@pytest.mark.parametrize("rule", [rule for rule in CASES if rule != "tracer-name"])
def test_rule_finds_its_defect_only(rule: str) -> None:
    severity, defective, sound = CASES[rule]
    assert rules(model(defective)).get(rule) == severity
    assert rule not in rules(model(sound))


def test_names_made_up_by_the_exporter_are_found() -> None:
    sound = model(CASES["tracer-name"][2])
    assert "tracer-name" not in rules(sound)
    assert rules(rename(sound, "frames", "onnx::Div_1"))["tracer-name"] == WARNING


def test_node_without_body_is_found() -> None:
    head = '<ir_version: 10, opset_import: ["" : 20, "vendor" : 1]>'
    found = lint_model(model("(float[4] a) => (float[4] y) { y = vendor.Magic (a) }", head))
    assert any(f.rule == "no-body" and "vendor::Magic" in f.message for f in found)


@pytest.mark.parametrize("attribute", ["border", "bordr"])
@pytest.mark.parametrize("where", ["graph", "branch", "function"])
def test_attribute_that_our_op_does_not_have_is_found(where: str, attribute: str) -> None:
    """ONNX Runtime loads such a node silently, and warps with the default border."""
    node = f'y = cineflow.Warp <{attribute}: string = "clamp"> (a, b)'
    head = '<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1, "vendor" : 1]>'
    function, body = "", node
    if where == "branch":
        branch = "() => (float[1,1,4,4] y) {"
        body = (
            f"t = Constant <value = bool {{1}}> () y = If (t) "
            f"<then_branch = yes {branch} {node} }}, else_branch = no {branch} y = Relu (a) }}>"
        )
    elif where == "function":
        head_of_function = '<domain: "vendor", opset_import: ["" : 20, "cineflow" : 1]>'
        function = f"{head_of_function} Moved (a, b) => (y) {{ {node} }}"
        body = "y = vendor.Moved (a, b)"
    text = "(float[1,1,4,4] a, float[1,2,4,4] b) => (float[1,1,4,4] y)"
    found = lint_model(model(f"{text} {{ {body} }} {function}", head))
    said = [finding.message for finding in found if finding.rule == "unknown-attribute"]
    assert len(said) == (attribute == "bordr")
    assert all("cineflow::Warp 'y' has an attribute 'bordr'" in message for message in said)


@pytest.mark.parametrize(
    ("head", "rule"),
    [
        ('<ir_version: 10, opset_import: ["" : 26]>', "opset"),
        ('<ir_version: 12, opset_import: ["" : 20]>', "ir-version"),
    ],
)
def test_file_newer_than_a_target_is_found(head: str, rule: str) -> None:
    found = lint_model(model("(float[4] a) => (float[4] y) { y = Relu (a) }", head))
    assert any(f.rule == rule and "TensorRT 10" in f.message for f in found)


def test_file_that_no_target_takes_is_an_error() -> None:
    head = '<ir_version: 10, opset_import: ["" : 99]>'
    assert rules(model("(float[4] a) => (float[4] y) { y = Relu (a) }", head))["opset"] == ERROR


def test_domain_without_a_version_is_found() -> None:
    """Nothing can be inferred of such a graph; the checker reports it."""
    found = lint_model(model("(float[4] a) => (float[4] y) { b = vendor.Magic (a) y = Relu (b) }"))
    assert {"checker", "no-body"} <= {f.rule for f in found}


def test_shape_that_contradicts_itself_is_found() -> None:
    found = lint_model(model("(float[4] a) => (float[5] y) { y = Relu (a) }"))
    assert found[0].rule == "checker"


def test_input_without_a_shape_is_not_called_static() -> None:
    parsed = model("(float[n] a) => (float[n] y) { y = Relu (a) }")
    parsed.graph.input[0].type.tensor_type.ClearField("shape")
    assert set(rules(parsed)) == {"checker"}


def test_weights_listed_as_inputs_are_not_inputs() -> None:
    parsed = model("(float[4] a, float[4] w) => (float[4] y) { y = Relu (a) }")
    parsed.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(4, "float32"), "w"))
    assert "unused-input" not in rules(parsed)


def spec_of(graph: str, **fields: object) -> ModelSpec:
    """A spec with the inputs and outputs of a graph; a size that is not fixed is 1."""
    parsed = model(graph).graph

    def tensors(values: Iterable[onnx.ValueInfoProto]) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(
                value.name,
                onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
                tuple(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim),
                "1",
                tolerance=0.1,
            )
            for value in values
            if not value.name.startswith("h_")
        )

    return ModelSpec("net", "s", tensors(parsed.input), tensors(parsed.output), **fields)


HALF_STATE = "(float16[1,4] h_in) => (float16[1,4] h_out) { h_out = Relu (h_in) }"
HALF_IMAGE = "(float16[1,4] image_in) => (float16[1,4] image_out) { image_out = Relu (image_in) }"


def test_only_the_states_of_a_spec_are_states() -> None:
    image = {f.rule for f in lint_model(model(HALF_IMAGE), spec_of(HALF_IMAGE))}
    assert image == set()
    state = TensorSpec("h", "float16", (1, 4), "1", tolerance=0.1)
    spec = ModelSpec("net", "s", (), (), states=(state,))
    found = {f.rule: f.severity for f in lint_model(model(HALF_STATE), spec)}
    assert found["state-precision"] == ERROR


def test_half_precision_is_refused_where_the_spec_has_motion() -> None:
    spec = spec_of(HALF_IMAGE)
    points = dataclasses.replace(spec.outputs[0], unit="px")
    motion = dataclasses.replace(spec, outputs=(points,))
    found = {f.rule: f.severity for f in lint_model(model(HALF_IMAGE), motion)}
    assert found == {"result-precision": ERROR}


#: Features in half precision, then what the test names.
HALF_FEATURES = """(float16[1,1,4] image, float[1,1,4] h_in, float[1,1,4] c_in,
    float[1,16,4] W, float[1,16,4] R, float[1,4,4] x) => (float[1,1,4] h_out)
{ half = Relu (image) row = Cast <to: int = 1> (half) LAST }"""


@pytest.mark.parametrize(
    ("last", "severity"),
    [
        ("all, h_out = LSTM <hidden_size: int = 4> (row, W, R, , , h_in, c_in)", None),
        ('h_out = Einsum <equation: string = "abc,acd->abd"> (row, x)', None),
        ("h_out = Add (row, h_in)", WARNING),
    ],
    ids=["LSTM", "Einsum", "Add"],
)
def test_a_state_of_features_may_come_of_half_precision(last: str, severity: str | None) -> None:
    half = model(HALF_FEATURES.replace("LAST", last))
    state = TensorSpec("h", "float32", (1, 1, 4), "1", tolerance=0.1)
    spec = ModelSpec("net", "s", (), (), states=(state,))
    found = {f.rule: f.severity for f in lint_model(half, spec)}
    assert found.get("result-precision") == severity
    motion = dataclasses.replace(spec, states=(dataclasses.replace(state, unit="px"),))
    found = {f.rule: f.severity for f in lint_model(half, motion)}
    assert found.get("result-precision") == (ERROR if severity else None)


def test_sizes_that_static_inputs_decide_are_said_and_taken() -> None:
    symbolic = model(CASES["static-inputs"][1])
    (found,) = [f for f in lint_model(symbolic) if f.rule == "static-inputs"]
    assert "it is always [1, 2]" in found.message
    shapes = spec_of(CASES["static-inputs"][1])
    fixed = dataclasses.replace(shapes.outputs[0], shape=(1, 2))
    require_interface(symbolic, dataclasses.replace(shapes, outputs=(fixed,)))


def test_sizes_that_values_decide_are_not_called_static() -> None:
    found = rules(model(CASES["value-sized"][1]))
    assert "static-inputs" not in found
    assert found["value-sized"] == WARNING


HALF_MASK = """
import torch
from cineflow.spec import Feed, ModelSpec, TensorSpec

PICTURE = (1, 1, 32, 32)
SPEC = ModelSpec(
    "half_mask",
    "A mask in half precision.",
    inputs=(TensorSpec("image", "float16", PICTURE, "0..1"),),
    outputs=(
        TensorSpec("mask", "float16", PICTURE, "probability", role="probabilities", tolerance=0.01),
    ),
    feed=Feed("frame", ("image",)),
)

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.Sigmoid()).half()

def example_inputs(sizes, seed):
    return {"image": torch.rand(PICTURE, generator=torch.Generator().manual_seed(seed)).half()}
"""


def test_the_file_of_a_bundle_is_judged_by_its_spec(tmp_path: Path) -> None:
    recipe = tmp_path / "half_mask.py"
    recipe.write_text(HALF_MASK)
    bundle = export_bundle(recipe, tmp_path / "out")
    assert check_file(bundle.onnx_path) == []
    alone = shutil.copy(bundle.onnx_path, tmp_path / "alone.onnx")
    assert {one.rule for one in check_file(alone)} == {"result-precision"}


def test_our_own_export_is_clean() -> None:
    assert check_file(Bundle.load("lucas_kanade").onnx_path) == []


@pytest.mark.parametrize("content", [b"", b"\x00\x01garbage", b"\x08\x0a"])
def test_corrupt_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.onnx"
    file.write_bytes(content)
    with pytest.raises(ExportError, match="ONNX"):
        check_file(file)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    whole = Bundle.load("lucas_kanade").onnx_path.read_bytes()
    (tmp_path / "x.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ExportError, match="ONNX"):
        check_file(tmp_path / "x.onnx")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no\.onnx"):
        check_file(tmp_path / "no.onnx")
