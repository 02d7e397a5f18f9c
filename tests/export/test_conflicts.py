"""Axes that do not fit each other are named as the spec names them, not by a runtime's node."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from cineflow.errors import ExportError
from cineflow.export.bundle.imported import import_bundle
from cineflow.export.engines import build_engines
from cineflow.export.graph.conflicts import size_conflict, sizes_explained
from cineflow.runtime import Bundle
from cineflow.runtime.store import EngineStore
from cineflow.spec import Axis

#: A memory at a quarter of the frame's size, joined with the frame.
GRAPH = """
<ir_version: 10, opset_import: ["" : 20]>
main (float[1,1,"height","width"] frame, float[1,1,"tall","wide"] memory_in)
  => (float[1,1,"height","width"] shown, float[1,1,"tall","wide"] memory_out)
  <int64[1] channels = {1}> {
  small = AveragePool <kernel_shape: ints = [4, 4], strides: ints = [4, 4]> (frame)
  both = Concat <axis: int = 1> (small, memory_in)
  memory_out = ReduceMean <keepdims: int = 1> (both, channels)
  shown = Neg (frame)
}"""

SPEC = """
name: recurrent
summary: A memory at a quarter of the size.
feed: {kind: frame, inputs: [frame]}
inputs:
  - name: frame
    dtype: float32
    unit: grey level
    shape:
      - 1
      - 1
      - {name: height, minimum: 32, maximum: 64, multiple: 4}
      - {name: width, minimum: 32, maximum: 64, multiple: 4}
outputs:
  - {name: shown, dtype: float32, unit: grey level, tolerance: 1, shape: [1, 1, height, width]}
states:
  - name: memory
    dtype: float32
    unit: "1"
    tolerance: 1
    shape: [1, 1, STATE]
"""

FREE = "{name: tall, minimum: 8, maximum: 16}, {name: wide, minimum: 8, maximum: 16}"


def recurrent(folder: Path, state: str) -> Bundle:
    model = onnx.parser.parse_model(GRAPH)
    model.graph.node[1].name = "concat_2"
    if state != FREE:
        for value in (model.graph.input[1], model.graph.output[1]):
            for dim in list(value.type.tensor_type.shape.dim)[2:]:
                dim.ClearField("dim_param")
    onnx.save(model, folder / "net.onnx")
    (folder / "spec.yaml").write_text(SPEC.replace("STATE", state))
    return import_bundle(folder / "net.onnx", folder / "spec.yaml", folder / "out")


def test_an_import_names_the_axes(tmp_path: Path) -> None:
    with pytest.raises(ExportError) as raised:
        recurrent(tmp_path, FREE)
    message = str(raised.value)
    assert "from frame (height=" in message
    assert "from memory_in (tall=" in message
    assert "height / 4" in message


def test_an_engine_build_names_the_axes(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    bundle = recurrent(tmp_path, "height / 4, width / 4")
    model = onnx.load(bundle.onnx_path)
    # The same graph under a spec that lost the relation.
    free = (1, 1, Axis("tall", minimum=8, maximum=16), Axis("wide", minimum=8, maximum=16))
    states = (replace(bundle.spec.states[0], shape=free),)
    loose = replace(bundle, spec=replace(bundle.spec, states=states))
    profile = {
        "height": (32, 64, 64), "width": (32, 64, 64), "tall": (8, 8, 16), "wide": (8, 8, 16),
    }  # fmt: skip
    with pytest.raises(ExportError, match=r"from memory_in \(tall=8, wide=8\)"):
        build_engines(
            loose, "tensorrt-rtx", [86], profile=profile, store=EngineStore(tmp_path / "store")
        )
    built = build_engines(bundle, "tensorrt-rtx", [86], store=EngineStore(tmp_path / "store"))
    assert len(built) == 1
    smallest = {name: sizes[0] for name, sizes in profile.items()}
    assert size_conflict(model, loose.spec, smallest) == ""


def test_other_failures_pass_unchanged(tmp_path: Path) -> None:
    bundle = recurrent(tmp_path, "height / 4, width / 4")
    model = onnx.load(bundle.onnx_path)
    with (
        pytest.raises(ExportError, match="something else"),
        sizes_explained(model, bundle.spec, {"height": 32, "width": 64}),
    ):
        raise ExportError("a", "something else")
