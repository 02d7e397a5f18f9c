"""`cineflow import`: somebody else's ONNX file becomes a bundle, or the reason is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from cineflow.errors import ExportError
from cineflow.export.bundle.imported import import_bundle, read_spec
from cineflow.export.verify import verify_bundle
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream
from cineflow.spec import Axis

SPEC = """
name: vendor_net
summary: Mean of two frames.
source: A vendor's network
inputs:
  - name: a
    dtype: float32
    unit: grey level
    shape: [1, 1, &h {name: height, minimum: 8, maximum: 64, multiple: 8}, 16]
  - {name: b, dtype: float32, unit: grey level, shape: [1, 1, *h, 16]}
outputs:
  - {name: y, dtype: float32, unit: grey level, tolerance: 0.01, shape: [1, 1, *h, 16]}
"""
GRAPH = """
<ir_version: 10, opset_import: ["" : 20]>
main (float[1,1,height,16] a, float[1,1,height,16] b) => (float[1,1,height,16] y)
<float half = {0.5}> { s = Add (a, b) y = Mul (s, half) }
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    onnx.save(onnx.parser.parse_model(GRAPH), tmp_path / "net.onnx")
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path / "net.onnx", tmp_path / "spec.yaml"


def test_imported_bundle_runs(files: tuple[Path, Path], tmp_path: Path) -> None:
    bundle = import_bundle(*files, tmp_path / "out")
    assert bundle.spec.axis("height") == Axis("height", 8, 64, 8)
    frame = np.full((1, 1, 24, 16), 8, np.float32)
    outputs = open_engine(bundle).run({"a": frame, "b": 3 * frame})
    np.testing.assert_allclose(outputs["y"], 16)
    assert all(row["passed"] for row in bundle.manifest["parity"])
    assert bundle.spec.weights.describe() == "the imported file"
    assert verify_bundle(bundle).not_proven == [
        "torch was not compared: the bundle was imported from a graph, without a recipe"
    ]


def test_half_precision_is_recorded(files: tuple[Path, Path], tmp_path: Path) -> None:
    assert import_bundle(*files, tmp_path / "single").precision == "fp32"
    features = """
      k = Constant <value = float {1e-4}> ()
      m = Mul (s, k)  t = Cast <to: int = 10> (m)  r = Transpose <perm: ints = [0, 1, 3, 2]> (t)
      q = MatMul (r, t)  p = Cast <to: int = 1> (q)  n = MatMul (m, p)  y = Mul (n, half)"""
    inner = GRAPH.replace("y = Mul (s, half)", features)
    onnx.save(onnx.parser.parse_model(inner), files[0])
    assert import_bundle(*files, tmp_path / "half").precision == "fp16"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: y", "name: z", "outputs"),
        ("dtype: float32", "dtype: float99", "float99"),
        ("inputs:", "inlets:", "YAML"),
        ("name: vendor_net", "name: [", "YAML"),
        ("minimum: 8", "minimum: 80", "minimum"),
        (" tolerance: 0.01,", "", "a tolerance for every output"),
        ("tolerance: 0.01", "tolerance: tiny", "a tolerance of 0 or more"),
        ("tolerance: 0.01", "tolerance: .nan", "a tolerance of 0 or more"),
        ("tolerance: 0.01", "tolerance: true", "a tolerance of 0 or more"),
        ("name: vendor_net", "name: 5", "text as its name; got 5"),
        ("name: vendor_net", "name:", "text as its name; got None"),
        ("name: vendor_net", "name: netz_ä", "letters a to z"),
        ("summary: Mean of two frames.", "summary: [1]", "text as its summary"),
        ("minimum: 8", "minimum: 4.5", "whole numbers"),
        ("multiple: 8", "multiple: true", "whole numbers"),
        ("name: height, min", "name: 3, min", "text as its name"),
        ("*h, 16]}\noutputs", "*h, 16.7]}\noutputs", "whole numbers or axes"),
        ("unit: grey level, shape", "unit: null, shape", "text as its unit"),
        (
            "*h, 16]}\noutputs",
            "{name: height, minimum: 8, maximum: 32}, 16]}\noutputs",
            "one range for the axis height",
        ),
        ("source: A vendor's network", "weights: {source: 5}", "text as its source"),
        ("outputs:\n  - {", "outputs:\n  - y\n  - {", "outputs: wanted a mapping"),
    ],
)
def test_spec_that_does_not_fit_is_refused(
    files: tuple[Path, Path], tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in SPEC
    files[1].write_text(SPEC.replace(old, new))
    with pytest.raises(ExportError, match=message) as caught:
        import_bundle(*files, tmp_path / "out")
    assert "SpecError" not in caught.value.got
    assert caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_file_with_a_lint_error_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(GRAPH.replace("Add (a, b)", "Add (a, a)")), files[0])
    with pytest.raises(ExportError, match="no output depends on the input 'b'"):
        import_bundle(*files, tmp_path / "out")


def test_graph_that_does_not_repeat_itself_is_refused(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    noisy = GRAPH.replace(
        "y = Mul (s, half)", "t = Mul (s, half) n = RandomNormalLike (t) y = Add (t, n)"
    )
    onnx.save(onnx.parser.parse_model(noisy), files[0])
    with pytest.raises(ExportError, match="grey level of its first run"):
        import_bundle(*files, tmp_path / "out")


def test_graph_whose_values_are_not_finite_is_refused(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    """NaN equals NaN in every runtime, so the comparison would prove nothing."""
    endless = GRAPH.replace("y = Mul (s, half)", "t = Sub (s, s) y = Div (t, t)")
    onnx.save(onnx.parser.parse_model(endless), files[0])
    with pytest.raises(ExportError, match="finite values of y") as caught:
        import_bundle(*files, tmp_path / "out")
    assert caught.value.remedy


def test_axes_default_to_any_size(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SPEC.replace(", multiple: 8", ""))
    assert read_spec(tmp_path / "s.yaml").axis("height") == Axis("height", 8, 64, 1)


RECURRENT = """
<ir_version: 10, opset_import: ["" : 20]>
main (float[1,1,height,width] image, float[1,1,{tall},{wide}] state)
  => (float[1,1,{tall},{wide}] out, float[1,1,{tall},{wide}] stateN)
{{
  small = AveragePool <kernel_shape: ints = [{by}, {by}], strides: ints = [{by}, {by}]> (image)
  stateN = Add (small, state)
  out = Identity (stateN)
}}
"""
RECURRENT_SPEC = """
name: recurrent
summary: A running mean at a quarter of the size.
feed: {{kind: frame, inputs: [image]}}
axes:
  - {{name: height, minimum: 32, maximum: 128, multiple: 8}}
  - {{name: width, minimum: 32, maximum: 128, multiple: 8}}
inputs:
  - {{name: image, dtype: float32, shape: [1, 1, {rows}, {columns}], unit: grey level}}
outputs:
  - {{name: out, dtype: float32, shape: [1, 1, height / 4, width / 4], unit: "1", tolerance: 0.01}}
states:
  - name: memory
    input: state
    output: stateN
    dtype: float32
    shape: [1, 1, height / 4, width / 4]
    unit: "1"
    tolerance: 0.01
"""


def recurrent(
    folder: Path, tall: str, wide: str, by: int = 4, rows: str = "height", columns: str = "width"
) -> Bundle:
    """Imports a model with a state, whose sizes the file calls `tall` and `wide`."""
    text = RECURRENT.format(tall="TALL", wide="WIDE", by=by)
    model = onnx.parser.parse_model(text)
    for value in (*model.graph.input, *model.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param in ("TALL", "WIDE"):
                size.dim_param = {"TALL": tall, "WIDE": wide}[size.dim_param]
    onnx.save(model, folder / "net.onnx")
    (folder / "spec.yaml").write_text(RECURRENT_SPEC.format(rows=rows, columns=columns))
    return import_bundle(folder / "net.onnx", folder / "spec.yaml", folder / "out")


@pytest.mark.parametrize("names", [("h4", "w4"), ("height//4", "width//4"), ("a b", "s0")])
def test_sizes_that_the_file_calls_otherwise_stream(tmp_path: Path, names: tuple[str, str]) -> None:
    bundle = recurrent(tmp_path, *names)
    stream = Stream(open_engine(bundle), bundle.spec)
    for step in (1, 2):
        result = stream.push(np.full((40, 64), 9, np.uint8))
        np.testing.assert_array_equal(
            result.outputs["out"].values, np.full((1, 1, 10, 16), 9 * step)
        )


def test_a_name_of_the_spec_is_not_taken_for_another_size(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="height / 4"):
        recurrent(tmp_path, "height", "width")
    with pytest.raises(ExportError, match="axis names"):  # swapped in the spec
        recurrent(tmp_path, "h4", "w4", rows="width", columns="height")


def test_one_name_for_two_sizes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="h4"):
        recurrent(tmp_path, "h4", "h4")


def test_a_size_that_is_another_part_is_found_by_running_it(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as error:
        recurrent(tmp_path, "h2", "w2", by=2)
    assert "height" in str(error.value)
    assert error.value.remedy


def test_an_output_of_another_size_than_the_spec_says_is_refused(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    """The file calls it by a name of its own; a run shows its size."""
    text = GRAPH.replace("(float[1,1,height,16] y)", "(float[1,1,rows,16] y)").replace(
        "y = Mul (s, half)", "m = Mul (s, half) y = Concat <axis: int = 2> (m, m)"
    )
    onnx.save(onnx.parser.parse_model(text), files[0])
    with pytest.raises(ExportError, match=r"y: float32 .*height") as error:
        import_bundle(*files, tmp_path / "out")
    assert "height" in error.value.remedy
