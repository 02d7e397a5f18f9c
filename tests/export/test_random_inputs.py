"""Without a recipe, a graph is run on values that its spec says it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from cineflow.export.bundle.imported import import_bundle
from cineflow.export.check.inputs import random_inputs
from cineflow.export.verify import verify_bundle
from cineflow.spec import Feed, ModelSpec, TensorSpec


def model(tensor: TensorSpec, **feed: Any) -> ModelSpec:
    out = TensorSpec("y", "float32", (1,), "1", tolerance=0.1)
    return ModelSpec("net", "A net.", (tensor,), (out,), feed=Feed(**feed))


def image(unit: str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec("x", dtype, (1, 1, 64, 64), unit)


FRAME = {"kind": "frame", "inputs": ("x",)}
CALL = {"kind": "call"}


@pytest.mark.parametrize(
    ("tensor", "feed", "low", "high"),
    [
        (image("grey level"), FRAME, 0, 255),
        (image("0..1"), FRAME, 0, 1),
        (image("0..1"), CALL, 0, 1),
        (image("-1..1"), FRAME, -1, 1),
        (image("probability"), CALL, 0, 1),
        (image("grey level"), FRAME | {"grey": (0.0, 1000.0)}, 0, 1000),
        (image("dB"), FRAME | {"scale": -0.2, "offset": 10.0}, -41, 10),
        (image("0..1"), FRAME | {"grey": (-100.0, 300.0)}, 0, 1),
        (image("1"), CALL, -1, 1),
        (image("grey level", "uint8"), FRAME, 0, 255),
        (image("class", "int64"), CALL, 0, 1),
        (TensorSpec("x", "int32", (64, 64), "class", names=("a", "b", "c")), CALL, 0, 2),
        (image("1", "int64"), CALL, 0, 99),
    ],
)
def test_the_range_is_that_of_the_spec(
    tensor: TensorSpec, feed: dict[str, Any], low: float, high: float
) -> None:
    values = random_inputs(model(tensor, **feed), {}, seed=0)["x"]
    assert values.dtype.name == tensor.dtype
    assert low <= values.min() <= low + 0.05 * (high - low)
    assert high - 0.05 * (high - low) <= values.max() <= high


def test_a_graph_that_only_takes_its_range_is_imported_and_verified(tmp_path: Path) -> None:
    """Below 0 its root is not a number, and of class 7 it has no weight."""
    text = """
    <ir_version: 10, opset_import: ["" : 20]>
    main (float[1,1,16,16] x, int64[1,1,16,16] kind) => (float[1,1,16,16] y)
    <float[3] weights = {1.0, 2.0, 3.0}>
    { root = Sqrt (x) weight = Gather (weights, kind) y = Mul (root, weight) }
    """
    spec = """
    name: root
    summary: A root, weighted.
    feed: {kind: frame, inputs: [x], at_start: [kind]}
    inputs:
      - {name: x, dtype: float32, unit: 0..1, shape: [1, 1, 16, 16]}
      - {name: kind, dtype: int64, unit: class, names: [a, b, c], shape: [1, 1, 16, 16]}
    outputs:
      - {name: y, dtype: float32, unit: "1", tolerance: 0.01, shape: [1, 1, 16, 16]}
    """
    onnx.save(onnx.parser.parse_model(text), tmp_path / "root.onnx")
    (tmp_path / "spec.yaml").write_text(spec)
    bundle = import_bundle(tmp_path / "root.onnx", tmp_path / "spec.yaml", tmp_path / "out")
    assert verify_bundle(bundle).passed
