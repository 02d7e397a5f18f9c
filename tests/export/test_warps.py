"""A foreign GridSample becomes `cineflow::Warp` where it is the same, and stays where it is not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from cineflow.export.bundle.imported import import_bundle
from cineflow.export.graph.model import operator_counts
from cineflow.runtime import open_engine

HEIGHT, WIDTH = 16, 24

SPEC = f"""
name: warper
summary: Warps a frame.
feed: {{kind: call}}
inputs:
  - {{name: image, dtype: float32, unit: grey level, shape: [1, 1, {HEIGHT}, {WIDTH}]}}
  - {{name: flow, dtype: float32, unit: px, shape: [1, 2, {HEIGHT}, {WIDTH}]}}
outputs:
  - name: moved
    dtype: float32
    unit: grey level
    tolerance: 0.5
    shape: [1, 1, {HEIGHT}, {WIDTH}]
"""

#: How networks normalise a position x of W: factor and offset, and what GridSample is told.
CONVENTIONS = {
    "W - 1, corners": (lambda n: (2 / (n - 1), -1.0), 1),  # ARFlow, EchoTracker
    "half pixel": (lambda n: (2 / n, 1 / n - 1), 0),
    "W - 1, default": (lambda n: (2 / (n - 1), -1.0), 0),  # PWC-Net, cq615
    "2 / W, default": (lambda n: (2 / n, -1.0), 0),  # MyoTracker
}
SAME = ("W - 1, corners", "half pixel")


def network(convention: str, *, padding: str = "zeros", opset: int = 20, gain: float = 1.0):
    """A warp as networks have it: positions, the flow on top, normalised, and sampled."""
    normalise, corners = CONVENTIONS[convention]
    text = f"""
    <ir_version: 10, opset_import: ["" : {opset}]>
    main (float[1,1,{HEIGHT},{WIDTH}] image, float[1,2,{HEIGHT},{WIDTH}] flow)
      => (float[1,1,{HEIGHT},{WIDTH}] moved) {{
      scaled = Mul (flow, gain)
      moving = Add (positions, scaled)
      shares = Mul (moving, factor)
      centred = Add (shares, offset)
      low = Constant <value = float {{-1e6}}> ()
      bounded = Max (centred, low)
      grid = Transpose <perm: ints = [0, 2, 3, 1]> (bounded)
      moved = GridSample <padding_mode: string = "{padding}", align_corners: int = {corners}>
        (image, grid)
    }}"""
    model = onnx.parser.parse_model(text)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    (across, left), (down, top) = normalise(WIDTH), normalise(HEIGHT)
    for name, array in {
        "positions": np.stack([x, y])[None],
        "factor": np.array([across, down], np.float32).reshape(1, 2, 1, 1),
        "offset": np.array([left, top], np.float32).reshape(1, 2, 1, 1),
        "gain": np.array(gain, np.float32),
    }.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return model


def imported(model: onnx.ModelProto, folder: Path):
    onnx.save(model, folder / "net.onnx")
    (folder / "spec.yaml").write_text(SPEC)
    said: list[str] = []
    bundle = import_bundle(
        folder / "net.onnx", folder / "spec.yaml", folder / "out", progress=said.append
    )
    return bundle, said


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("convention", SAME)
def test_what_is_a_warp_becomes_one(convention: str, padding: str, tmp_path: Path) -> None:
    model = network(convention, padding=padding)
    bundle, said = imported(model, tmp_path)
    counts = operator_counts(onnx.load(bundle.onnx_path))
    assert (counts.get("cineflow::Warp"), counts.get("GridSample")) == (1, None)
    assert said == ["GridSample moved became cineflow::Warp along scaled"]
    # The same result as the file gives, inside and far outside.
    import onnxruntime

    before = onnxruntime.InferenceSession(model.SerializeToString())
    engine = open_engine(bundle)
    random = np.random.default_rng(3)
    image = random.uniform(0, 255, (1, 1, HEIGHT, WIDTH)).astype(np.float32)
    for reach in (1.0, 20.0, 400.0):
        flow = (reach * random.normal(size=(1, 2, HEIGHT, WIDTH))).astype(np.float32)
        arrays = {"image": image, "flow": flow}
        (wanted,) = before.run(None, arrays)
        np.testing.assert_allclose(engine.run(arrays)["moved"], wanted, atol=0.05)


@pytest.mark.parametrize("opset", [16, 17, 18, 19])
def test_older_files_are_converted_for_it(opset: int, tmp_path: Path) -> None:
    bundle, said = imported(network("W - 1, corners", opset=opset), tmp_path)
    assert said == ["GridSample moved became cineflow::Warp along scaled"]
    assert operator_counts(onnx.load(bundle.onnx_path)).get("GridSample") is None
    flow = np.zeros((1, 2, HEIGHT, WIDTH), np.float32)
    flow[:, 1] = 1.5
    image = np.tile(np.arange(HEIGHT, dtype=np.float32)[:, None], (1, 1, 1, WIDTH))
    moved = open_engine(bundle).run({"image": image, "flow": flow})["moved"]
    np.testing.assert_allclose(moved[0, 0, :-2], image[0, 0, :-2] + 1.5, atol=1e-3)


def test_an_older_file_without_a_warp_keeps_its_opset(tmp_path: Path) -> None:
    bundle, _ = imported(network("2 / W, default", opset=17), tmp_path)
    opsets = {one.domain: one.version for one in onnx.load(bundle.onnx_path).opset_import}
    assert opsets[""] == 17


@pytest.mark.parametrize("convention", sorted(set(CONVENTIONS) - set(SAME)))
def test_what_samples_elsewhere_stays_and_is_said(convention: str, tmp_path: Path) -> None:
    bundle, (said,) = imported(network(convention), tmp_path)
    counts = operator_counts(onnx.load(bundle.onnx_path))
    assert (counts.get("cineflow::Warp"), counts.get("GridSample")) == (None, 1)
    wanted = r"GridSample moved stays as it is: along scaled it samples 0\.[56]\d* px away from x"
    assert re.match(wanted, said)


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"padding": "reflection"}, "not linear, reflection"), ({"opset": 22}, "has opset 22")],
)
def test_what_warp_cannot_do_stays(change, reason: str, tmp_path: Path) -> None:
    _, (said,) = imported(network("half pixel", **change), tmp_path)
    assert reason in said


def test_a_flow_that_the_network_scales_is_found_after_its_scale(tmp_path: Path) -> None:
    bundle, said = imported(network("half pixel", gain=20.0), tmp_path)
    assert said == ["GridSample moved became cineflow::Warp along scaled"]
    flow = np.zeros((1, 2, HEIGHT, WIDTH), np.float32)
    flow[:, 0] = 0.05
    image = np.tile(np.arange(WIDTH, dtype=np.float32), (1, 1, HEIGHT, 1))
    moved = open_engine(bundle).run({"image": image, "flow": flow})["moved"]
    np.testing.assert_allclose(moved[0, 0, :, : WIDTH - 1], image[0, 0, :, 1:], atol=1e-3)
