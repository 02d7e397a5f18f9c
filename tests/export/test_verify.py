"""`cineflow verify`: proves what is right, and fails what is wrong."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from cineflow.errors import BundleError, EngineError, ExportError
from cineflow.export import export_bundle
from cineflow.export.check.parity import Parity
from cineflow.export.verify import Report, runtimes, verify_bundle
from cineflow.export.verify.beat import (
    BeatParity,
    compare_beat,
    composed,
    mean_strain,
    speckle_beat,
)
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.bundle import file_sha256
from cineflow.runtime.engine import Engine, EngineStatus
from cineflow.runtime.runtimes import Runtime

MY_FLOW = Path(__file__).resolve().parents[2] / "examples" / "my_flow.py"


@pytest.fixture(scope="module")
def report(fresh_default: Bundle) -> Report:
    return verify_bundle(fresh_default)


def test_default_is_verified_against_torch(report: Report, fresh_default: Bundle) -> None:
    assert report.passed, (report.findings, report.refusals, report.parity, report.beat)
    assert report.reference == "torch"
    assert {row.runtime for row in report.parity} >= {"onnxruntime", "onnxruntime-segments"}
    assert "bodies, inlined" in {row.kernels for row in report.parity}
    assert report.refusals == []
    assert report.summary["operators"]["cineflow::Warp"] >= 1
    assert all(value > 0 for value in report.timings_ms.values())
    written = json.loads((fresh_default.path / "report.json").read_text())
    assert written["passed"]
    assert written["parity"][0]["unit"] == "px"


def test_page_is_self_contained_and_says_what_matters(
    report: Report, fresh_default: Bundle
) -> None:
    page = (fresh_default.path / "report.html").read_text()
    assert report.served_name in page
    assert "not for diagnosis" in page
    assert "Weights: none: training-free" in page
    assert "http" not in page
    assert "src=" not in page


def test_beat_is_composed_in_every_runtime(report: Report) -> None:
    compared = {(row.runtime, row.kernels, row.precision) for row in report.beat}
    assert len(report.beat) == len(compared) >= 4
    assert {precision for *_, precision in compared} == {"fp32", "fp16"}
    for row in report.beat:
        assert row.motion_px > 1, "the phantom must move"
        assert row.composed_px < 0.01


def test_composed_motion_of_the_phantom_is_the_wall_s() -> None:
    frames, wall = speckle_beat(128, 128)
    engine = open_engine(Bundle.load("lucas_kanade"))
    motion = composed(engine, Bundle.load("lucas_kanade").spec, frames)
    rows, columns = np.nonzero(wall)
    inward = np.stack([columns.mean() - columns, rows.mean() - rows])
    assert (inward * motion[:, wall]).sum() > 0, "the wall contracts"
    assert np.trace(mean_strain(motion, wall)) < 0 or np.abs(mean_strain(motion, wall)).max() > 0.01


@pytest.mark.parametrize(
    ("px", "points", "passed"),
    [
        (0.01, 0.1, True),
        (0.06, 0.1, False),
        (0.01, 0.3, False),
        (math.nan, 0.1, False),
        (0.01, math.nan, False),
    ],
)
def test_beat_row_fails_beyond_either_tolerance(px: float, points: float, passed: bool) -> None:
    assert BeatParity("x", "k", "fp32", 128, 128, px, points, 5.0).passed is passed


@pytest.mark.parametrize(
    "sizes",
    [
        {"height": 64, "width": 96},
        pytest.param({"height": 200}, marks=pytest.mark.slow),
    ],
)
def test_beat_is_tracked_at_the_bundle_s_own_size(sizes: dict[str, int], tmp_path: Path) -> None:
    bundle = export_bundle(MY_FLOW, tmp_path / "bundle", sizes=sizes)
    report = verify_bundle(bundle, MY_FLOW)
    assert report.not_proven == []
    assert len(report.beat) >= 4
    for row in report.beat:
        assert (row.height, row.width) == (sizes["height"], sizes.get("width", 128))
        assert row.passed


def test_size_without_room_for_a_beat_is_said(tmp_path: Path) -> None:
    recipe = tmp_path / "small.py"
    recipe.write_text(MY_FLOW.read_text().replace("minimum=64", "minimum=16"))
    bundle = export_bundle(recipe, tmp_path / "bundle", sizes={"height": 16, "width": 64})
    report = verify_bundle(bundle, recipe)
    assert report.beat == []
    (missing,) = report.not_proven
    assert "phantom beat was not compared: a phantom of 16 x 64 px" in missing
    assert missing in (bundle.path / "report.html").read_text()


def test_runtime_that_refuses_the_beat_is_named(fresh_default: Bundle) -> None:
    class Narrow:
        name, model, kernels = "tensorrt-rtx", "narrow", "kernels"

        def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            raise EngineError("64 x 64 px", "128 x 128 px")

    engine = open_engine(fresh_default)
    rows, (refusal,) = compare_beat(
        fresh_default.spec, engine, [(Narrow(), "fp32"), (engine, "fp32")]
    )
    assert "phantom beat" in refusal
    assert [row.composed_px for row in rows] == [0.0]


def test_values_that_are_not_finite_fail_and_are_null_in_json() -> None:
    row = Parity("x", "k", "fp32", "flow", "px", {}, 1, math.inf, math.inf, 0.05, 1.0)
    assert not row.passed
    beat = BeatParity("x", "k", "fp32", 64, 64, math.nan, math.nan, 5.0)
    assert not beat.passed
    text = json.dumps([row.to_dict(), beat.to_dict()], allow_nan=False)
    assert text.count("null") == 4, "worst and mean; displacement and strain"


def test_graph_that_is_not_the_module_fails(fresh_default: Bundle, tmp_path: Path) -> None:
    """A graph whose numbers were changed, with a manifest that vouches for it."""
    altered = tmp_path / "altered"
    shutil.copytree(fresh_default.path, altered)
    shutil.rmtree(altered / "segments")
    model = onnx.load(altered / "model.onnx")
    for item in model.graph.initializer:
        values = onnx.numpy_helper.to_array(item)
        if values.dtype == np.float32 and values.ndim > 1:
            item.CopyFrom(onnx.numpy_helper.from_array(values * np.float32(0.7), item.name))
    onnx.save(model, altered / "model.onnx")
    manifest = json.loads((altered / "manifest.json").read_text())
    manifest["files"]["model.onnx"]["sha256"] = file_sha256(altered / "model.onnx")
    (altered / "manifest.json").write_text(json.dumps(manifest))
    report = verify_bundle(Bundle.load(altered))
    assert not report.passed
    assert any(not row.passed for row in report.parity)
    assert "Not verified" in (altered / "report.html").read_text()


def test_half_precision_is_judged_but_does_not_decide(
    write_recipe: Callable[[str], Path], recipe_text: str, tmp_path: Path
) -> None:
    """Features of 100 grey levels cannot be within 0.001 of torch in f16; the bundle is fp32."""
    deep = recipe_text.replace("return self.edges(past)", "return self.deep(self.edges(past))")
    layer = "self.deep = torch.nn.Conv2d(2, 2, 3, padding=1)\n        self.edges = "
    deep = deep.replace("self.edges = ", layer).replace("tolerance=1e-2", "tolerance=1e-3", 1)
    bundle = export_bundle(write_recipe(deep), tmp_path / "bundle")
    report = verify_bundle(bundle, tmp_path / "recipe.py")
    half = [row for row in report.parity if row.precision == "fp16" and row.output == "edges"]
    assert half
    assert not any(row.passed for row in half)
    assert report.passed, (report.findings, report.refusals, report.parity, report.beat)
    assert "fp16" in (bundle.path / "report.html").read_text()


def test_spec_that_is_not_the_graph_s_fails(smoother: Bundle, tmp_path: Path) -> None:
    """An axis that has another name in the manifest than in the graph."""
    renamed = tmp_path / "renamed"
    shutil.copytree(smoother.path, renamed)
    manifest = (renamed / "manifest.json").read_text()
    (renamed / "manifest.json").write_text(manifest.replace('"width"', '"columns"'))
    report = verify_bundle(Bundle.load(renamed))
    assert not report.passed
    (finding,) = [finding for finding in report.findings if finding.rule == "interface"]
    assert "columns" in finding.message


def edit_steps(bundle: Path, manifest: dict) -> None:
    with (bundle / "segments" / "segments.json").open("a") as stream:
        stream.write(" ")


def lose_a_form(bundle: Path, manifest: dict) -> None:
    manifest["files"]["model-inlined.onnx"] = manifest["files"]["model.onnx"]


def claim_half(bundle: Path, manifest: dict) -> None:
    manifest["precision"] = "fp16"


def claim_nothing(bundle: Path, manifest: dict) -> None:
    manifest["precision"] = None


def raise_the_tolerance(bundle: Path, manifest: dict) -> None:
    manifest["spec"]["outputs"][0]["tolerance"] = 1e9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (edit_steps, "segments/segments.json is not the file that was exported"),
        (lose_a_form, "model-inlined.onnx is missing"),
        (claim_half, "the manifest says fp16, but the graph is fp32"),
        (claim_nothing, "the manifest says None, but the graph is fp32"),
        (raise_the_tolerance, "the spec differs from the recipe's in flow"),
    ],
)
def test_bundle_that_is_not_what_its_manifest_says(
    fresh_default: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path, dict], None],
    said: str,
) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(fresh_default.path, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    change(copy, manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    # The checks of the bundle alone: none of the runtimes needs to run for them.
    monkeypatch.setattr("cineflow.export.verify.run.parity_sizes", lambda spec: [])
    monkeypatch.setattr("cineflow.export.verify.run.compare_beat", lambda *_: ([], []))
    report = verify_bundle(Bundle.load(copy))
    assert not report.verdict.startswith("Verified")
    assert any(said in str(line) for line in (*report.findings, *report.not_proven))


def test_runtime_that_works_here_and_refuses_the_bundle_fails(
    smoother: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Engine:
        raise EngineError("this bundle", "a card that is too small")

    status = EngineStatus("tensorrt-rtx", "1.7", True, "a card is here")
    runtime = Runtime(lambda *_: status, refuse)
    monkeypatch.setattr(runtimes, "RUNTIMES", {"tensorrt-rtx": runtime})
    report = verify_bundle(smoother, write_to=tmp_path)
    assert not report.passed
    assert "too small" in (tmp_path / "report.html").read_text()


def test_installed_tensorrt_rtx_is_asked(report: Report) -> None:
    pytest.importorskip("tensorrt_rtx")
    (asked,) = [said for said in report.targets.values() if "just now" in said["source"]]
    assert asked["against"] == []


def test_imported_model_is_compared_with_itself(smoother: Bundle, tmp_path: Path) -> None:
    report = verify_bundle(smoother, write_to=tmp_path)
    assert report.reference == "onnxruntime (bodies in the graph)"
    assert report.beat == []
    assert (tmp_path / "report.html").exists()


def test_stranger_s_recipe_is_the_reference(
    smoother: Bundle, tmp_path: Path, recipe_text: str
) -> None:
    (tmp_path / "recipe.py").write_text(recipe_text)
    report = verify_bundle(smoother, tmp_path / "recipe.py", write_to=tmp_path)
    assert report.passed, (report.findings, report.refusals, report.parity, report.beat)
    assert report.reference == "torch"


def test_recipe_of_another_model_is_refused(smoother: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="lucas_kanade"):
        verify_bundle(smoother, "lucas_kanade", write_to=tmp_path)


def test_place_that_cannot_be_written_is_a_typed_error(smoother: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="--report"):
        verify_bundle(smoother, write_to=tmp_path / "file")
