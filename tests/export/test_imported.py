"""`cineflow import`: somebody else's ONNX file becomes a bundle, or the reason is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from cineflow.errors import ExportError
from cineflow.export.bundle.imported import import_bundle, read_spec
from cineflow.export.verify import verify_bundle
from cineflow.runtime import open_engine
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
        ("height, minimum", "rows, minimum", "rows"),
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
