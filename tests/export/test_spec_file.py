"""A foreign file's spec: drafted, completed by hand, and imported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.errors import ExportError
from cineflow.export.bundle.draft import GUESS, draft_spec
from cineflow.export.bundle.imported import import_bundle, read_spec
from cineflow.runtime import open_engine
from cineflow.runtime.stream import Stream
from cineflow.spec import Axis

#: As another tool writes it: unnamed sizes, a state `memory` that comes back as `memoryN`, outputs
#: in another order than a spec has them.
FOREIGN = """
<ir_version: 10, opset_import: ["" : 20]>
main (float[1,4,?,?] memory, float[?,1,?,?] image) => (float[1,4,?,?] memoryN, float[?,1,?,?] mean)
<int64[1] channel = {1}, int64[2] quarter = {4, 4}> {
  small = AveragePool <kernel_shape: ints = [4, 4], strides: ints = [4, 4]> (image)
  memoryN = Add (memory, small)
  s = ReduceMean (memoryN, channel)
  t = Resize <mode: string = "nearest"> (s, , scales)
  mean = Add (image, t)
}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    model = onnx.parser.parse_model(FOREIGN.replace(", int64[2] quarter = {4, 4}", ""))
    scales = onnx.numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32), "scales")
    model.graph.initializer.append(scales)
    onnx.save(model, tmp_path / "Vendor-net.onnx")
    return tmp_path / "Vendor-net.onnx"


def test_a_draft_names_everything_and_marks_its_guesses(file: Path) -> None:
    text = draft_spec(file)
    lines = text.splitlines()
    assert f"name: vendor_net  {GUESS}" in lines
    assert "  - name: image" in lines
    assert f"    shape: [1, 1, height, width]  {GUESS}" in lines
    assert f"    input: memory  {GUESS}" in lines
    assert f"    output: memoryN  {GUESS}" in lines
    assert f"feed: {{kind: frame, inputs: [image]}}  {GUESS}" in lines


def test_a_corrected_draft_is_imported_and_streams(file: Path, tmp_path: Path) -> None:
    spec_file = tmp_path / "spec.yaml"
    run = CliRunner()
    drafted = run.invoke(_app(), ["import", str(file), "--draft-spec", "--spec", str(spec_file)])
    assert drafted.exit_code == 0, drafted.output
    assert "guesses to correct" in drafted.output
    text = spec_file.read_text()
    assert text.count("[1, 4, height, width]") == 1  # the state, which is at a quarter
    spec_file.write_text(text.replace("[1, 4, height, width]", "[1, 4, height / 4, width / 4]"))
    bundle = import_bundle(file, spec_file, tmp_path / "bundle")
    (state,) = bundle.spec.states
    assert state.name == "memory"
    assert state.shape[2] == Axis("height", 32, 512, 8) / 4
    values = onnx.load(bundle.onnx_path).graph
    assert [value.name for value in values.input] == ["image", "memory_in"]
    assert [value.name for value in values.output] == ["mean", "memory_out"]
    stream = Stream(open_engine(bundle), bundle.spec)
    frame = np.full((32, 40), 8, np.uint8)
    means = [stream.push(frame).outputs["mean"].values.mean() for _ in range(3)]
    np.testing.assert_allclose(means, [16.0, 24.0, 32.0])


def test_a_draft_overwrites_nothing(file: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("mine")
    command = ["import", str(file), "--draft-spec", "--spec", str(tmp_path / "spec.yaml")]
    assert CliRunner().invoke(_app(), command).exit_code == 2
    assert (tmp_path / "spec.yaml").read_text() == "mine"
    printed = CliRunner().invoke(_app(), command[:3])
    assert printed.output == draft_spec(file)


def test_without_a_spec_the_draft_is_named(file: Path) -> None:
    refused = CliRunner().invoke(_app(), ["import", str(file)])
    assert refused.exit_code == 2
    assert "--draft-spec" in refused.output


def odd(folder: Path, name: str, sizes: dict[str, str]) -> Path:
    """A file with an input `name`, whose sizes have other names than a spec can have."""
    text = """
    <ir_version: 10, opset_import: ["" : 20]>
    main (float[1,1,H,W] image) => (float[1,1,P,Q] small)
    { small = AveragePool <kernel_shape: ints = [3, 3], strides: ints = [3, 3]> (image) }
    """
    model = onnx.parser.parse_model(text)
    model.graph.input[0].name = model.graph.node[0].input[0] = name
    for value in (*model.graph.input, *model.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param in sizes:
                size.dim_param = sizes[size.dim_param]
    onnx.save(model, folder / "odd.onnx")
    return folder / "odd.onnx"


@pytest.mark.parametrize("name", ["input.1", "Frame/0", "no", "1", 'a"b', "image"])
@pytest.mark.parametrize(
    "sizes",
    [
        {"P": "H//3", "Q": "W//3"},
        {"H": "height", "W": "width", "P": "height//3", "Q": "(width//3)"},
        {"H": "yes", "W": "größe", "P": "yes // 3", "Q": "größe//3"},
        {"H": "a b", "W": "a-b", "P": "(a b - 1)//3 + 1", "Q": "floor(x/3)"},
        {"P": "P", "Q": "2*Q"},
        {"P": "s0*2", "Q": "null"},
    ],
)
def test_a_draft_is_one_that_its_reader_takes(
    tmp_path: Path, name: str, sizes: dict[str, str]
) -> None:
    text = draft_spec(odd(tmp_path, name, sizes))
    (tmp_path / "spec.yaml").write_text(text)
    spec = read_spec(tmp_path / "spec.yaml")
    assert spec.feed.inputs == (spec.inputs[0].name,)


def test_a_draft_of_parts_is_imported_as_it_is(tmp_path: Path) -> None:
    """torch writes `height//3`; the size follows the axis, whose sizes must be multiples of 3."""
    file = odd(tmp_path, "input.1", {"P": "H//3", "Q": "W//3"})
    text = draft_spec(file)
    assert "shape: [1, 1, H / 3, W / 3]" in text
    (tmp_path / "spec.yaml").write_text(text.replace("unit: '1'", "unit: grey level"))
    bundle = import_bundle(file, tmp_path / "spec.yaml", tmp_path / "bundle")
    frame = np.full((48, 72), 7, np.uint8)
    result = Stream(open_engine(bundle), bundle.spec).push(frame)
    assert result.outputs["small"].values.shape == (1, 1, 16, 24)


def test_two_names_do_not_become_one(tmp_path: Path) -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 20]>
    main (float[2] a_b, float[2] A_B) => (float[2] y) { y = Add (a_b, A_B) }
    """
    onnx.save(onnx.parser.parse_model(text), tmp_path / "two.onnx")
    (tmp_path / "s.yaml").write_text(draft_spec(tmp_path / "two.onnx"))
    bundle = import_bundle(tmp_path / "two.onnx", tmp_path / "s.yaml", tmp_path / "bundle")
    assert [one.name for one in bundle.spec.inputs] == ["a_b", "a_b_2"]


COMPLETE = """
name: complete
summary: Everything a spec can say.
axes:
  - {name: height, minimum: 32, maximum: 64, multiple: 8}
feed: {kind: window, inputs: [clip], length: 3, time_axis: 1, at_start: [points]}
inputs:
  - {name: clip, dtype: float32, unit: 0..1, shape: [1, 3, height, 32]}
  - {name: points, dtype: float32, unit: px, shape: [2, 2]}
outputs:
  - name: tracks
    dtype: float32
    unit: px
    tolerance: 0.1
    shape: [3, 2, 2]
    role: points
    names: [base, apex]
    components: [y, x]
    time_axis: 0
  - name: zoomed
    dtype: float32
    unit: "1"
    tolerance: 0.1
    shape: [1, height * 2, 3 height / 4]
"""


def test_a_spec_in_yaml_says_all_that_a_recipe_says(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(COMPLETE)
    spec = read_spec(tmp_path / "s.yaml")
    assert (spec.feed.kind, spec.feed.length, spec.feed.at_start) == ("window", 3, ("points",))
    tracks, zoomed = spec.outputs
    assert (tracks.role, tracks.names, tracks.time_axis) == ("points", ("base", "apex"), 0)
    assert tracks.components == ("y", "x")
    assert [dim.name for dim in zoomed.shape[1:]] == ["2 height", "3 height / 4"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("height * 2", "depth * 2", "wanted an axis of"),
        ("height * 2", "height / 0", "whole numbers of 1 or more"),
        ("height * 2", "height / 3", "in multiples of 3"),
        ("kind: window", "kind: windows", "a feed of frame"),
        ("role: points", "role: dots", "a role of"),
    ],
)
def test_what_a_spec_cannot_say_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in COMPLETE
    (tmp_path / "s.yaml").write_text(COMPLETE.replace(old, new))
    with pytest.raises(ExportError, match=message) as caught:
        read_spec(tmp_path / "s.yaml")
    assert caught.value.remedy


def test_a_state_that_the_file_does_not_have_is_named(file: Path, tmp_path: Path) -> None:
    text = draft_spec(file).replace("output: memoryN", "output: memory2")
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ExportError, match="an input or output memory2 in the file"):
        import_bundle(file, tmp_path / "s.yaml", tmp_path / "bundle")
