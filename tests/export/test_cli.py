"""The export side of the command: what it prints, writes, and its exit codes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.runtime import Bundle
from cineflow.runtime.bundle import file_sha256
from cineflow.runtime.store import EngineKey, EngineStore

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed"
)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(_app(), [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_export_takes_every_option(tmp_path: Path, recipe_text: str) -> None:
    (tmp_path / "mine.py").write_text(recipe_text)
    said = run("export", tmp_path / "mine.py", "--out", tmp_path / "out", "--inline", "--split-ops")
    assert "onnxruntime-segments (" in said
    assert "onnxruntime (bodies in the graph) differs from torch" in said
    assert "weights not stated by the recipe (untrained)" in said
    bundle = Bundle.load(tmp_path / "out")
    assert {"model-inlined.onnx", "segments/0.onnx"} <= set(bundle.manifest["files"])


def test_size_of_another_rank_of_axes_is_refused(tmp_path: Path, recipe_text: str) -> None:
    (tmp_path / "mine.py").write_text(recipe_text)
    out = tmp_path / "out"
    said = run("export", tmp_path / "mine.py", "--out", out, "--size", 16, 16, code=2)
    assert "height" in said
    assert not out.exists()


def test_an_input_that_nothing_depends_on_ends_the_export(tmp_path: Path, recipe_text: str) -> None:
    idle = recipe_text.replace('torch.ops.cineflow.warp(image, flow, "zeros")', "image")
    assert idle != recipe_text
    (tmp_path / "idle.py").write_text(idle)
    said = run("export", tmp_path / "idle.py", "--out", tmp_path / "out", code=2)
    assert "no output depends on the input 'flow'" in said
    assert not (tmp_path / "out").exists()


def test_check_names_findings_and_fails_on_errors(tmp_path: Path) -> None:
    head = '<ir_version: 10, opset_import: ["" : 20]> main'
    bad = f"{head} (float[4] a, float[4] b) => (float[4] y) {{ y = Relu (a) }}"
    onnx.save(onnx.parser.parse_model(bad), tmp_path / "bad.onnx")
    assert "no output depends on the input 'b'" in run("check", tmp_path / "bad.onnx", code=2)
    assert "nothing found" in run("check", Bundle.load("lucas_kanade").onnx_path)
    assert "wanted" in run("check", tmp_path / "absent.onnx", code=2)


def test_verify_writes_its_report(smoother: Bundle, tmp_path: Path) -> None:
    said = run("verify", smoother.path, "--report", tmp_path)
    assert "report.html" in said
    assert json.loads((tmp_path / "report.json").read_text())["passed"]


@needs_rtx
def test_engines_are_built_listed_inspected_and_pruned(smoother: Bundle, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "engines")
    said = run("engine", "build", smoother.path, "--sm", "86,120", *store)
    assert said.count("built") == 2
    identity = said.split()[0]
    assert "was there" in run("engine", "build", smoother.path, "--sm", "86", *store)
    assert "sound" in run("engine", "list", *store)
    shown = json.loads(run("engine", "inspect", identity[:8], *store))
    assert shown["key"]["capability"] == "86"
    assert run("engine", "prune", "--keep", smoother.path, *store) == ""
    Path(shown["path"]).write_bytes(b"")
    assert "truncated" in run("engine", "prune", *store)
    assert "wanted" in run("engine", "build", smoother.path, "--sm", "eighty", *store, code=2)


def test_prune_keeps_the_segments_of_a_kept_bundle(fresh_default: Bundle, tmp_path: Path) -> None:
    segment = min(fresh_default.path.glob("segments/*.onnx"))
    key = EngineKey("lucas_kanade", file_sha256(segment), "tensorrt-rtx", "1.7", "86", "fp32")
    EngineStore(tmp_path).get_or_build(key, lambda: b"plan")
    assert run("engine", "prune", "--keep", fresh_default.path, "--store", tmp_path) == ""
    said = run("engine", "prune", "--keep", "lucas_kanade", "--store", tmp_path)
    assert "another bundle" in said  # the built-in one has no segments


def test_repo_writes_a_repository(tmp_path: Path) -> None:
    bundle = Bundle.load("lucas_kanade")
    assert bundle.served_name in run("repo", "lucas_kanade", "--out", tmp_path)
    assert (tmp_path / bundle.served_name / "config.pbtxt").exists()
    assert "wanted" in run("repo", "no_such", "--out", tmp_path, code=2)


def test_import_makes_a_bundle(tmp_path: Path) -> None:
    graph = "(float[1,4] a) => (float[1,4] y) { y = Relu (a) }"
    text = f'<ir_version: 10, opset_import: ["" : 20]> main {graph}'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "net.onnx")
    (tmp_path / "spec.yaml").write_text(
        "{name: net, summary: s, inputs: [{name: a, dtype: float32, shape: [1, 4], unit: px}],\n"
        " outputs: [{name: y, dtype: float32, shape: [1, 4], unit: px, tolerance: 0.1}]}\n"
    )
    out = tmp_path / "out"
    said = run("import", tmp_path / "net.onnx", "--spec", tmp_path / "spec.yaml", "--out", out)
    assert Bundle.load(out).served_name in said


def test_untrained_weights_are_called_so_everywhere(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    recipe = Path(__file__).resolve().parents[2] / "examples" / "my_flow.py"
    told = [
        run("export", recipe, "--out", bundle, "--size", 64, 64),
        run("verify", bundle, "--recipe", recipe),
        run("repo", bundle, "--out", tmp_path / "models"),
        (bundle / "report.html").read_text(),
        (bundle / "report.json").read_text(),
    ]
    assert all("seed 0 (untrained)" in text for text in told)
