"""Export from end to end: what is written, what is proven, what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from cineflow.errors import BundleError, CineflowError, ExportError
from cineflow.export import export_bundle, load_recipe
from cineflow.export.bundle import staged_directory
from cineflow.export.graph.model import inline
from cineflow.export.recipe import parity_sizes, trace_sizes
from cineflow.runtime import Bundle, open_engine


def test_bundle_holds_graph_spec_and_figures(smoother: Bundle) -> None:
    model = onnx.load(smoother.onnx_path)
    assert [value.name for value in model.graph.input] == ["image", "flow", "past_in"]
    assert [value.name for value in model.graph.output] == ["edges", "past_out"]
    assert [function.name for function in model.functions] == ["Warp"]
    width = model.graph.input[0].type.tensor_type.shape.dim[3]
    assert width.dim_param == "width"
    rows = smoother.manifest["parity"]
    assert {row["output"] for row in rows} == {"edges", "past_out"}
    # With our op library an output can equal torch's exactly; `spread` shows it is not constant.
    assert all(row["passed"] and row["worst"] < 1e-2 < row["spread"] for row in rows)
    assert smoother.manifest["operators"]["cineflow::Warp"] == 1


def test_parity_covers_several_sizes(smoother: Bundle) -> None:
    sizes = [row["sizes"]["width"] for row in smoother.manifest["parity"]]
    assert {8, 64} <= set(sizes)


def test_runs_at_every_size_of_the_spec(smoother: Bundle) -> None:
    engine = open_engine(smoother)
    for width in range(8, 65, 8):
        frame = np.ones((1, 1, 16, width), np.float32)
        flow = np.zeros((1, 2, 16, width), np.float32)
        outputs = engine.run({"image": frame, "flow": flow, "past_in": frame})
        np.testing.assert_allclose(outputs["past_out"], 1, atol=1e-5)


def test_equal_recipes_give_equal_bytes(smoother: Bundle, tmp_path: Path, recipe_text: str) -> None:
    file = tmp_path / "another_name.py"
    file.write_text(recipe_text)
    assert export_bundle(file, tmp_path / "again").hash == smoother.hash


def test_no_path_of_this_machine_is_inside(smoother: Bundle, fresh_default: Bundle) -> None:
    for bundle in (smoother, fresh_default):
        for file in (bundle.onnx_path, bundle.path / "manifest.json"):
            content = file.read_bytes()
            assert b".py" not in content
            assert str(Path(__file__).resolve().parents[2]).encode() not in content


def test_inlined_graph_has_standard_operators_only(smoother: Bundle) -> None:
    model = inline(onnx.load(smoother.onnx_path))
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions


def test_committed_default_equals_a_fresh_export(fresh_default: Bundle) -> None:
    committed = Bundle.load("lucas_kanade")
    assert committed.spec == fresh_default.spec
    assert committed.manifest["origin"] == fresh_default.manifest["origin"], "regenerate it"
    old, new = (onnx.load(bundle.onnx_path) for bundle in (committed, fresh_default))
    assert list(old.graph.node) == list(new.graph.node)
    assert list(old.functions) == list(new.functions)
    arrays = [
        {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
        for model in (old, new)
    ]
    assert arrays[0].keys() == arrays[1].keys()
    for name, value in arrays[0].items():
        # exp() of a Gaussian window differs in the last bit between CPUs.
        np.testing.assert_allclose(value, arrays[1][name], rtol=1e-6, err_msg=name)


def test_default_tracks_within_its_tolerance(fresh_default: Bundle) -> None:
    rows = fresh_default.manifest["parity"]
    assert len({json.dumps(row["sizes"]) for row in rows}) >= 3
    assert all(row["unit"] == "px" and row["worst"] <= 0.01 for row in rows)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("SPEC =", "SPECIFICATION =", "SPEC"),
        ("import torch\n", "import torch\nraise RuntimeError('boom')\n", "boom"),
        ("return Smoother()", "return None", "Module"),
        ("return Smoother()", "raise OSError('no weights')", "no weights"),
        ('"flow": 3 *', '"flaw": 3 *', "flow"),
        ("255 * torch.rand(shape, generator=generator),\n    }", "None}", "fit its SPEC"),
        ("return self.edges(past), past", "return self.edges(past)", "past_out"),
        ("return self.edges(past), past", "return past, self.edges(past)", "edges"),
        ("self.edges(past), past", "self.edges(past[..., :8]), past", "edges"),
    ],
)
def test_bad_recipe_is_a_typed_error_and_leaves_nothing(
    write_recipe: Callable[[str], Path],
    recipe_text: str,
    tmp_path: Path,
    old: str,
    new: str,
    message: str,
) -> None:
    assert old in recipe_text
    file = write_recipe(recipe_text.replace(old, new))
    with pytest.raises(CineflowError, match=message):
        export_bundle(file, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == [file]


def test_one_tensor_for_two_inputs_is_refused(
    write_recipe: Callable[[str], Path], recipe_text: str, tmp_path: Path
) -> None:
    text = recipe_text.replace('    return {\n        "image"', '    r = {\n        "image"')
    text += '    r["past_in"] = r["image"]\n    return r\n'
    with pytest.raises(ExportError, match="distinct"):
        export_bundle(write_recipe(text), tmp_path / "out")


def test_result_out_of_tolerance_is_refused(
    write_recipe: Callable[[str], Path], recipe_text: str, tmp_path: Path
) -> None:
    text = recipe_text.replace("tolerance=1e-2", "tolerance=1e-12")
    with pytest.raises(ExportError, match="within 1e-12 grey level of torch"):
        export_bundle(write_recipe(text), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("said", [", tolerance=1e-2),),\n    states", ", tolerance=1e-2),),\n)"])
def test_output_or_state_without_tolerance_is_refused(
    write_recipe: Callable[[str], Path], recipe_text: str, tmp_path: Path, said: str
) -> None:
    assert said in recipe_text
    text = recipe_text.replace(said, said.replace(", tolerance=1e-2", ""))
    with pytest.raises(ExportError, match="a tolerance") as caught:
        export_bundle(write_recipe(text), tmp_path / "out")
    assert caught.value.got in ("none for edges", "none for past_out")
    assert not (tmp_path / "out").exists()


def test_failed_export_keeps_the_older_bundle(
    smoother: Bundle, write_recipe: Callable[[str], Path], recipe_text: str, tmp_path: Path
) -> None:
    good = export_bundle(write_recipe(recipe_text), tmp_path / "out")
    with pytest.raises(ExportError):
        export_bundle(write_recipe(recipe_text.replace("1e-2", "1e-12")), tmp_path / "out")
    assert Bundle.load(tmp_path / "out").hash == good.hash


def test_folder_with_other_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("do not lose me")
    with pytest.raises(BundleError, match="other content"):
        export_bundle("lucas_kanade", tmp_path)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize(
    "manifest", ['{"manifest_version": 3}', "[]", "not JSON", '{"format": 1, "files": {}}']
)
def test_folder_with_another_program_s_manifest_is_refused(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(BundleError, match="other content"):
        export_bundle("lucas_kanade", tmp_path)
    assert (tmp_path / "manifest.json").read_text() == manifest


def test_bundle_with_a_file_of_somebody_else_is_kept(smoother: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(smoother.path, out)
    (out / "report.html").touch()
    with staged_directory(out) as stage:
        shutil.copytree(smoother.path, stage, dirs_exist_ok=True)
    (out / "notes.txt").touch()
    with pytest.raises(BundleError, match="other content"), staged_directory(out):
        pytest.fail("it was let in")
    assert (out / "notes.txt").exists()


def test_bundle_goes_where_the_path_leads(
    write_recipe: Callable[[str], Path],
    recipe_text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty, link = tmp_path / "empty", tmp_path / "link"
    empty.mkdir()
    link.symlink_to(empty)
    with staged_directory(link):
        pass
    assert link.is_symlink()
    monkeypatch.chdir(empty)
    assert export_bundle(write_recipe(recipe_text), ".").path == empty


def test_unknown_recipe_lists_the_builtin_ones() -> None:
    with pytest.raises(ExportError, match="lucas_kanade"):
        load_recipe("no_such_model")


def test_traced_sizes_all_differ() -> None:
    spec = load_recipe("lucas_kanade").spec
    assert len(set(trace_sizes(spec).values())) == len(trace_sizes(spec)) == 2
    assert len(parity_sizes(spec)) == 3


def test_importing_export_loads_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, cineflow.export; from cineflow.export import write_repository;"
        "sys.exit(bool({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_fixed_sizes_give_a_static_graph(
    write_recipe: Callable[[str], Path], recipe_text: str, tmp_path: Path
) -> None:
    file = write_recipe(recipe_text)
    bundle = export_bundle(file, tmp_path / "out", sizes={"width": 24}, inlined=True)
    shape = onnx.load(bundle.onnx_path).graph.input[0].type.tensor_type.shape
    assert [dim.dim_value for dim in shape.dim] == [1, 1, 16, 24]
    assert not onnx.load(bundle.path / "model-inlined.onnx").functions
    assert set(bundle.manifest["files"]) == {"model.onnx", "model-inlined.onnx", "probes.npz"}


@pytest.mark.parametrize(
    ("sizes", "message"), [({"width": 20}, "8..64 by 8"), ({"depth": 8}, "a dynamic axis")]
)
def test_sizes_that_the_spec_refuses(
    write_recipe: Callable[[str], Path],
    recipe_text: str,
    tmp_path: Path,
    sizes: dict[str, int],
    message: str,
) -> None:
    with pytest.raises(ExportError, match=message):
        export_bundle(write_recipe(recipe_text), tmp_path / "out", sizes=sizes)
