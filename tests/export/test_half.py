"""Half precision reaches features only: coordinates, flow and results stay in f32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from cineflow.errors import ExportError
from cineflow.export import export_bundle
from cineflow.export.graph.half import (
    feature_nodes,
    low_precision_coordinates,
    to_half,
    value_types,
)

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16

#: Features -> correlation -> estimator -> flow -> warp of features -> second flow, as PWC does.
NETWORK = """
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[1,1,16,16] a, float[1,1,16,16] b) => (float[1,2,16,16] flow)
<float[4,1,3,3] encode = {EIGHTH}, float[2,9,1,1] estimate = {SMALL}, float two = {2.0}>
{
  scaled = Mul (a, two)
  fa_0 = Conv <pads: ints = [1,1,1,1]> (scaled, encode)
  fa = LeakyRelu (fa_0)
  fb = Conv <pads: ints = [1,1,1,1]> (b, encode)
  volume = cineflow.Correlation <radius: int = 1, scale: float = 0.25> (fa, fb)
  coarse = Conv (volume, estimate)
  moved = cineflow.Warp <border: string = "zeros"> (fb, coarse)
  volume_2 = cineflow.Correlation <radius: int = 1, scale: float = 0.25> (fa, moved)
  step = Conv (volume_2, estimate)
  flow = Add (coarse, step)
}
"""


def network() -> onnx.ModelProto:
    text = NETWORK.replace("{EIGHTH}", "{" + ",".join(["0.125"] * 36) + "}")
    return onnx.parser.parse_model(text.replace("{SMALL}", "{" + ",".join(["0.01"] * 18) + "}"))


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    from cineflow.export.ops import attach_bodies

    attach_bodies(model)
    onnx.checker.check_model(model, full_check=True)
    return value_types(model)


def test_features_are_half_and_flow_is_single() -> None:
    model = network()
    to_half(model)
    types = types_of(model)
    assert {types[name] for name in ("fa_0", "fa", "fb", "volume", "moved", "volume_2")} == {HALF}
    assert {types[name] for name in ("coarse", "step", "flow", "scaled", "a", "b")} == {FLOAT}
    assert types["encode_half"] == HALF
    assert types["estimate"] == FLOAT


def test_an_output_may_be_a_constant() -> None:
    """A state that says that a stream has begun is always 1 after a frame."""
    model = network()
    model.graph.initializer.append(onnx.helper.make_tensor("begun_out", FLOAT, [1], [1.0]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("begun_out", FLOAT, [1]))
    to_half(model)
    assert types_of(model)["begun_out"] == FLOAT


def test_the_verifier_accepts_what_the_exporter_writes() -> None:
    model = network()
    to_half(model)
    types_of(model)
    assert low_precision_coordinates(model) == []


def test_the_verifier_refuses_half_precision_flow() -> None:
    model = network()
    to_half(model)
    types_of(model)
    # A careless converter: the flow's own convolution in f16, cast up at the border.
    cast = onnx.helper.make_node("Cast", ["coarse_low"], ["coarse"], "up", to=FLOAT)
    for position, node in enumerate(model.graph.node):
        if "coarse" in node.output:
            node.output[0] = "coarse_low"
            half = [name.replace("_single", "") for name in node.input]
            node.input[0] = half[0]
            node.input[1] = "estimate_half"
            model.graph.node.insert(position + 1, cast)
            break
    weight = next(item for item in model.graph.initializer if item.name == "estimate")
    low = onnx.numpy_helper.to_array(weight).astype("float16")
    model.graph.initializer.append(onnx.numpy_helper.from_array(low, "estimate_half"))
    assert any("Conv" in finding for finding in low_precision_coordinates(model))


def test_a_fused_warp_keeps_its_flow_in_single_precision() -> None:
    fused = NETWORK.replace(
        'moved = cineflow.Warp <border: string = "zeros"> (fb, coarse)', "moved = Abs (fb)"
    ).replace(
        "volume_2 = cineflow.Correlation <radius: int = 1, scale: float = 0.25> (fa, moved)",
        "volume_2 = cineflow.WarpCorrelation <radius: int = 1, scale: float = 0.25> "
        "(fa, moved, coarse)",
    )
    model = onnx.parser.parse_model(
        fused.replace("{EIGHTH}", "{" + ",".join(["0.125"] * 36) + "}").replace(
            "{SMALL}", "{" + ",".join(["0.01"] * 18) + "}"
        )
    )
    to_half(model)
    types = types_of(model)
    assert {types[name] for name in ("fa", "fb", "moved", "volume_2")} == {HALF}
    assert types["coarse"] == FLOAT
    assert low_precision_coordinates(model) == []


@pytest.mark.parametrize(
    "node",
    [
        "cineflow.Warp (image, two)",
        "cineflow.WarpCorrelation (image, image, two)",
        "cineflow.PolarResample <rows: int = 4, columns: int = 4, angle_step: float = 0.1> "
        "(image, centre)",
        "cineflow.ComposeFlow (two, flow)",
    ],
)
def test_the_verifier_refuses_half_coordinates_of_every_op(node: str) -> None:
    graph = f"""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float16[1,1,8,8] image, float[1,2,8,8] flow, float[1,2] at) => (float16[n,c,h,w] y)
{{ two = Cast <to: int = 10> (flow) centre = Cast <to: int = 10> (at) y = {node} }}
"""
    low = low_precision_coordinates(onnx.parser.parse_model(graph))
    assert any("samples at coordinates in f16" in finding for finding in low)


def deep_recipe(text: str, tolerance: str) -> str:
    """The user's recipe with a second convolution: the first one's output is a feature."""
    text = text.replace("return self.edges(past)", "return self.deep(self.edges(past))")
    layer = "self.deep = torch.nn.Conv2d(2, 2, 3, padding=1)"
    text = text.replace("self.edges = ", f"{layer}\n        self.edges = ")
    return text.replace("tolerance=1e-2", f"tolerance={tolerance}", 1)


def test_fp16_export_is_proven_in_the_unit_of_its_output(
    write_recipe: Callable[[str], Path], recipe_text: str, tmp_path: Path
) -> None:
    file = write_recipe(deep_recipe(recipe_text, "1.0"))
    bundle = export_bundle(file, tmp_path / "out", precision="fp16")
    assert bundle.precision == "fp16"
    rows = {row["output"]: row["worst"] for row in bundle.manifest["parity"]}
    assert 1e-3 < rows["edges"] < 1.0, "it is not in half precision"
    assert rows["past_out"] < 1e-3, "a state left single precision"


def test_precision_that_costs_too_much_is_refused(
    write_recipe: Callable[[str], Path], recipe_text: str, tmp_path: Path
) -> None:
    file = write_recipe(deep_recipe(recipe_text, "1e-3"))
    export_bundle(file, tmp_path / "single")
    with pytest.raises(ExportError, match=r"within 0\.001 grey level of torch"):
        export_bundle(file, tmp_path / "half", precision="fp16")
    assert not (tmp_path / "half").exists()


def test_unknown_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="fp16"):
        export_bundle("lucas_kanade", tmp_path / "out", precision="int4")


def test_the_shape_of_a_feature_is_not_a_coordinate() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 20]>
    main (float[1,1,16,16] a, float[1,16,16,2] base) => (float[1,1,16,16] out)
    <int64[1] two = {2}, int64[1] four = {4}, float[1,1,3,3] encode = {EIGHTH}>
    {
      feature_0 = Conv <pads: ints = [1,1,1,1]> (a, encode)
      feature = LeakyRelu (feature_0)
      sides = Shape (feature)
      scale = Cast <to: int = 1> (sides)
      scale_2 = Slice (scale, two, four)
      grid = Div (base, scale_2)
      moved = GridSample (feature, grid)
      out = Conv <pads: ints = [1,1,1,1]> (moved, encode)
    }
    """.replace("{EIGHTH}", "{" + ",".join(["0.125"] * 9) + "}")
    graph = onnx.parser.parse_model(text).graph
    assert {node.output[0] for node in feature_nodes(graph)} >= {"feature_0", "feature"}
