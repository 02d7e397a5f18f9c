"""A graph cut at our ops returns what the whole graph returns."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from cineflow.errors import BundleError, EngineError, ExportError
from cineflow.export import export_bundle
from cineflow.export.graph.split import split_at_ops
from cineflow.export.ops import attach_bodies
from cineflow.runtime import Bundle
from cineflow.runtime.bundle import file_sha256
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine, open_segments
from cineflow.runtime.segments import SegmentedEngine
from tests.export.steps import step_counts

#: Correlation and warp in turn, a value that skips two segments, an output from the first one.
NETWORK = """
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[1,2,8,8] a, float[1,2,8,8] b) => (float[1,2,8,8] flow, float[1,2,8,8] early)
<float[2,9,1,1] w = {WEIGHTS}>
{
  fa = Tanh (a)
  fb = Tanh (b)
  early = Abs (fb)
  volume = cineflow.Correlation <radius: int = 1, scale: float = 0.5> (fa, fb)
  coarse = Conv (volume, w)
  moved = cineflow.Warp <border: string = "clamp"> (fb, coarse)
  volume_2 = cineflow.Correlation <radius: int = 1, scale: float = 0.5> (fa, moved)
  step = Conv (volume_2, w)
  flow = Add (coarse, step)
}
"""


@pytest.fixture
def network() -> onnx.ModelProto:
    weights = ",".join(str(round(0.3 * np.sin(k), 3)) for k in range(18))
    model = onnx.parser.parse_model(NETWORK.replace("{WEIGHTS}", "{" + weights + "}"))
    attach_bodies(model)
    return model


def run(model: onnx.ModelProto, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString())
    inputs = {item.name: values[item.name] for item in session.get_inputs()}
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def test_steps_in_order_make_the_whole(network: onnx.ModelProto) -> None:
    random = np.random.default_rng(1)
    values = {name: random.normal(size=(1, 2, 8, 8)).astype(np.float32) for name in ("a", "b")}
    expected = run(network, values)
    cut = split_at_ops(network)
    assert [step.get("op", "engine") for step in cut.steps] == [
        "engine", "Correlation", "engine", "Warp", "Correlation", "engine",
    ]  # fmt: skip
    for step in cut.steps:
        if "segment" in step:
            values |= run(cut.segments[step["segment"]], values)
        else:
            values |= run(_single_node(network, step["outputs"][0]), values)
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value, atol=1e-5)


def _single_node(network: onnx.ModelProto, output: str) -> onnx.ModelProto:
    """One of our ops as a graph of its own, run through its body."""
    (node,) = [node for node in network.graph.node if output in node.output]
    known = {v.name: v for v in onnx.shape_inference.infer_shapes(network).graph.value_info}
    float4 = onnx.helper.make_tensor_value_info
    inputs = [
        known.get(name, float4(name, onnx.TensorProto.FLOAT, [None] * 4)) for name in node.input
    ]
    outputs = [float4(output, onnx.TensorProto.FLOAT, [None] * 4)]
    graph = onnx.helper.make_graph([node], "one", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=network.opset_import, ir_version=10)
    model.functions.extend(network.functions)
    return model


def test_segments_hold_standard_operators_only(network: onnx.ModelProto) -> None:
    for segment in split_at_ops(network).segments.values():
        onnx.checker.check_model(segment, full_check=True)
        assert {node.domain for node in segment.graph.node} == {""}


def test_scheduler_gives_what_the_unsplit_graph_gives(fresh_default: Bundle) -> None:
    random = np.random.default_rng(2)
    frames = random.uniform(0, 255, (2, 1, 1, 80, 96)).astype(np.float32)
    inputs = dict(zip(("previous", "current"), frames, strict=True))
    whole = OnnxRuntimeEngine(fresh_default, use_op_library=False).run(inputs)["flow"]
    pieces = open_segments(fresh_default).run(inputs)["flow"]
    assert np.abs(whole).max() > 0.1
    np.testing.assert_allclose(pieces, whole, atol=1e-3)


def test_split_bundle_lists_and_proves_its_segments(fresh_default: Bundle) -> None:
    counts = step_counts(fresh_default)
    made = fresh_default.manifest["operators"]
    assert counts["Warp"] == made["cineflow::Warp"] == 3
    # The kinds of a level are one op with other attributes. Its images come from a warp at once,
    # except on the coarsest level.
    kinds = [name for name in made if name.startswith("cineflow::LucasKanadeStep")]
    assert counts["LucasKanadeStep"] == sum(made[name] for name in kinds) == 4
    assert counts["segment"] == counts["LucasKanadeStep"] + 1
    runtimes = {row["runtime"] for row in fresh_default.manifest["parity"]}
    assert "onnxruntime-segments" in runtimes
    assert "segments/0.onnx" in fresh_default.manifest["files"]


def test_changed_segment_is_refused(smoother: Bundle, tmp_path: Path, recipe_text: str) -> None:
    (tmp_path / "recipe.py").write_text(recipe_text)
    bundle = export_bundle(tmp_path / "recipe.py", tmp_path / "out", split_ops=True)
    file = bundle.path / "segments" / "0.onnx"
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(BundleError, match="different content"):
        open_segments(bundle)


def test_changed_steps_are_refused(smoother: Bundle, tmp_path: Path, recipe_text: str) -> None:
    """Swapped inputs of an op still run, and give other values."""
    (tmp_path / "recipe.py").write_text(recipe_text)
    bundle = export_bundle(tmp_path / "recipe.py", tmp_path / "out", split_ops=True)
    steps = bundle.path / "segments" / "segments.json"
    listed = json.loads(steps.read_text())
    (warp,) = [step for step in listed if step.get("op") == "Warp"]
    warp["attributes"] = dict.fromkeys(warp["attributes"], "clamp")
    steps.write_text(json.dumps(listed))
    with pytest.raises(BundleError, match=r"segments\.json with the hash in the manifest"):
        open_segments(Bundle.load(bundle.path))


def test_bundle_without_segments_names_the_flag(smoother: Bundle) -> None:
    with pytest.raises(BundleError, match="--split-ops"):
        open_segments(smoother)


def test_graph_without_our_ops_is_not_split() -> None:
    text = '<ir_version: 10, opset_import: ["" : 20]> m (float[1] a) => (float[1] y) {y = Abs (a)}'
    with pytest.raises(ExportError, match="ops to split at"):
        split_at_ops(onnx.parser.parse_model(text))


def test_steps_that_lack_a_value_or_an_op_are_refused(
    fresh_default: Bundle, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match="LucasKanadeStep"):
        SegmentedEngine(fresh_default, lambda step: dict, ops={})
    broken = tmp_path / "broken"
    shutil.copytree(fresh_default.path, broken)
    steps = broken / "segments" / "segments.json"
    steps.write_text(json.dumps(json.loads(steps.read_text())[1:]))
    manifest = json.loads((broken / "manifest.json").read_text())
    manifest["files"]["segments/segments.json"]["sha256"] = file_sha256(steps)
    (broken / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EngineError, match="every value before"):
        open_segments(Bundle.load(broken))
