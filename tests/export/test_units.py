"""Each kind of output is compared in what it means, with differences that are known in advance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from cineflow.errors import ExportError
from cineflow.export.bundle.imported import import_bundle
from cineflow.export.check.parity import agreement, require
from cineflow.export.check.units import measure, spread, unit_of
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec

HEIGHT, WIDTH = Axis("height", 8, 64, 2), Axis("width", 8, 64, 2)
SIZES = {"height": 16, "width": 24}


def model(output: TensorSpec, feed: Feed | None = None) -> ModelSpec:
    image = TensorSpec("image", "float32", (1, 1, HEIGHT, WIDTH), "0..1")
    return ModelSpec("net", "s", (image,), (output,), feed=feed or Feed("frame", ("image",)))


def test_spread_of_half_precision_is_not_half_precision() -> None:
    grey = np.arange(256, dtype=np.float16).repeat(4096)
    with np.errstate(over="ignore"):
        assert np.isinf(grey.sum()), "the sum itself is beyond float16"
    assert spread([grey, grey]) == pytest.approx(73.9, abs=0.01)


def test_labels_differ_by_a_share_of_the_pixels() -> None:
    names = ("blood", "wall", "lung")
    labels = TensorSpec("labels", "int64", (1, HEIGHT, WIDTH), "class", role="labels", names=names)
    one = np.zeros((1, 16, 24), np.int64)
    one[:, :, 12:] = 1
    other = one.copy()
    other[0, :, 12:15] = 0  # 48 of 384 pixels
    gap = measure(labels, one, other, model(labels), SIZES)
    assert unit_of(labels) == "of the pixels"
    assert gap.distances.max() == 0.125
    # 192 and 240 pixels of blood share 192; 192 and 144 of the wall share 144; nobody has lung.
    assert gap.dice == {"blood": 384 / 432, "wall": 288 / 336, "lung": 1.0}


def test_heat_maps_differ_by_the_distance_of_their_peaks() -> None:
    maps = TensorSpec(
        "maps", "float32", (1, 2, HEIGHT / 2, WIDTH / 2), "1", tolerance=0.1, role="heat_maps"
    )
    one = np.zeros((1, 2, 8, 12), np.float32)
    one[0, 0, 4, 5] = one[0, 1, 2, 3] = 1.0
    other = 0.5 * np.roll(one, (0, 0, 0, 1), (0, 1, 2, 3))
    other[0, 1] = 0.25 * one[0, 1]  # another height, the same place
    gap = measure(maps, one, other, model(maps), SIZES)
    assert unit_of(maps) == "px"
    np.testing.assert_allclose(gap.distances, [2.0, 0.0])  # a sample of the map is 2 px


def test_a_heat_map_that_is_not_finite_is_infinitely_far() -> None:
    maps = TensorSpec("maps", "float32", (1, 8, 8), "1", tolerance=0.1, role="heat_maps")
    one = np.zeros((1, 8, 8), np.float32)
    gap = measure(maps, one, np.full_like(one, np.nan), model(maps), SIZES)
    assert gap.distances.max() == np.inf


def test_points_differ_by_their_distance() -> None:
    feed = Feed("window", ("image",), length=3, time_axis=0)
    points = TensorSpec(
        "points", "float32", (1, 3, 4, 2), "px", tolerance=0.1, role="points", time_axis=1
    )
    one = np.zeros((1, 3, 4, 2), np.float32)
    other = one.copy()
    other[0, 1, 2] = [3.0, 4.0]
    spec = ModelSpec(
        "net", "s", (TensorSpec("image", "float32", (3, 1, 16, 24), "0..1"),), (points,), feed=feed
    )
    gap = measure(points, one, other, spec, {})
    assert gap.distances.shape == (3, 4)
    assert gap.distances.max() == 5.0


def test_scores_need_the_same_highest_class() -> None:
    scores = TensorSpec("scores", "float32", (2, 3), "probability", tolerance=0.1, role="scores")
    one = np.float32([[0.2, 0.41, 0.39], [0.8, 0.1, 0.1]])
    other = np.float32([[0.2, 0.39, 0.41], [0.8, 0.1, 0.1]])
    gap = measure(scores, one, other, model(scores), SIZES)
    np.testing.assert_allclose(gap.distances.max(), 0.02, atol=1e-6)
    assert gap.ranks_changed == 1


def test_roles_with_a_batch_are_compared_whole() -> None:
    batch = Axis("batch", 1, 8)
    maps = TensorSpec("maps", "float32", (batch, 1, 8, 8), "1", tolerance=0.1, role="heat_maps")
    array = TensorSpec("array", "float32", (batch, 4), "1")
    spec = ModelSpec("net", "s", (array,), (maps,), feed=Feed("call"))
    one = np.zeros((3, 1, 8, 8), np.float32)
    one[:, 0, 4, 4] = 1.0
    other = one.copy()
    other[2] = np.roll(one[2], 1, axis=1)
    gap = measure(maps, one, other, spec, {"batch": 3})
    np.testing.assert_allclose(gap.distances, [0, 0, 1])  # a call has no frame: samples of the map


SUM = """
<ir_version: 10, opset_import: ["" : 20]>
main (float[1,4] x, float[1,4] sum_in) => (float[1,4] y, float[1,4] sum_out)
<float gain = {%s}>
{ z = Mul (x, gain) sum_out = Add (sum_in, z) y = Identity (sum_out) }
"""
SUM_SPEC = """
name: total
summary: Adds up what it is given.
inputs: [{name: x, dtype: float32, unit: probability, shape: [1, 4]}]
outputs: [{name: y, dtype: float32, unit: "1", tolerance: 0.004, shape: [1, 4]}]
states: [{name: sum, dtype: float32, unit: "1", tolerance: 0.004, shape: [1, 4]}]
"""


def test_an_error_that_grows_in_a_state_is_found(tmp_path: Path) -> None:
    """One step is within 0.001 of the right one, and eight are not within 0.004."""
    for gain in ("1.0", "1.001"):
        onnx.save(onnx.parser.parse_model(SUM % gain), tmp_path / f"{gain}.onnx")
    (tmp_path / "spec.yaml").write_text(SUM_SPEC)
    bundle = import_bundle(tmp_path / "1.0.onnx", tmp_path / "spec.yaml", tmp_path / "bundle")
    right = OnnxRuntimeEngine(bundle)
    wrong = OnnxRuntimeEngine(bundle, graph=tmp_path / "1.001.onnx")
    inputs = [{name: np.ones((1, 4), np.float32) for name in ("x", "sum_in")}]
    step = {name: right.run(inputs[0])[name] - wrong.run(inputs[0])[name] for name in ("y",)}
    assert np.abs(step["y"]).max() < 0.0011
    rows = agreement(bundle.spec, [right, wrong], inputs, {}, "fp32")
    y, total, *again = rows
    assert (y.output, total.output, y.frames) == ("y", "sum_out", 8)
    np.testing.assert_allclose([y.worst, total.worst], 0.008, rtol=0.01)
    assert not y.passed
    assert all(row.worst == 0 for row in again), "the first engine repeats itself"
    assert y.to_dict()["frames"] == 8
    with pytest.raises(ExportError, match="over 8 frames, each side with its own states"):
        require(rows, bundle.spec)
