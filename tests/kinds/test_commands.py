"""`cineflow stream` and `cineflow call` with models of every kind: what they write is known."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from cineflow.cine import read_cine
from cineflow.cli import _app, pacing
from cineflow.serving import TritonServer
from tests.kinds.test_served_kinds import blob, study

PLACES = [(24.0 + k, 20.0) for k in range(12)]


@pytest.fixture
def clip(write_dicom) -> Path:
    """A bright spot that moves right by 1 px per frame, [12, 48, 64], 0.5 mm per pixel."""
    frames = np.stack([blob(*place) for place in PLACES])
    return write_dicom(frames, PixelSpacing=[0.5, 0.5])


def centre(frame: np.ndarray) -> np.ndarray:
    """Centre of brightness (x, y) in px. The clip's sector cuts off the spot's dark rim."""
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]]
    return np.array([(frame * columns).sum(), (frame * rows).sum()]) / frame.sum()


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(_app(), list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return done.output


def written(folder: Path) -> tuple[dict[str, np.ndarray], dict, list[dict[str, str]], str]:
    """result.npz, its JSON, scalars.csv and report.html."""
    with np.load(folder / "result.npz") as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(str(arrays.pop("about")))
    with (folder / "scalars.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return arrays, about, rows, (folder / "report.html").read_text()


def stream(server: TritonServer, clip: Path, name: str, folder: Path, *more: object) -> str:
    return run("stream", clip, "--url", server.url, "--model", name, "--out", folder, *more)


def test_labels_become_areas_and_an_overlay(server, clip: Path, tmp_path: Path) -> None:
    text = stream(server, clip, "segmentation", tmp_path / "out")
    arrays, about, rows, page = written(tmp_path / "out")
    assert arrays["labels"].dtype == np.int64
    assert arrays["labels"].shape == (12, 1, 48, 64)
    np.testing.assert_array_equal(arrays["labels.frame"], np.arange(12))
    counts = [np.bincount(labels.ravel(), minlength=3) / 4 for labels in arrays["labels"]]
    np.testing.assert_allclose(arrays["areas"], counts)
    assert about["arrays"]["labels"]["names"] == ["blood", "tissue", "pericardium"]
    assert about["arrays"]["areas"]["unit"] == "mm^2"
    assert about["engine"].startswith("onnxruntime 1.")
    assert about["engine"] in text
    column = [float(row["area tissue [mm^2]"]) for row in rows]
    np.testing.assert_allclose(column, np.array(counts)[:, 1])
    assert "area tissue [mm^2]" in text
    for word in ("tissue", "Research use, not for diagnosis", about["engine"], "image/webp"):
        assert word in page


def test_given_points_follow_a_window(server, clip: Path, tmp_path: Path) -> None:
    queries = np.array([[[10.0, 12.0], [20.0, 30.0], [40.0, 8.0]]])  # float64, as NumPy makes it
    np.savez(tmp_path / "points.npz", queries=queries)
    folder = tmp_path / "out"
    stream(server, clip, "point_tracker", folder, "--given", tmp_path / "points.npz")
    arrays, about, rows, page = written(folder)
    np.testing.assert_array_equal(arrays["points.frame"], [6, 8, 10])
    centres = [centre(frame) for frame in read_cine(clip).frames]
    moved = [queries[0] + centres[k] - centres[0] for k in (6, 8, 10)]
    np.testing.assert_allclose(arrays["points"], moved, atol=0.01)
    assert arrays["indices"].shape == (12, 7)
    assert about["arrays"]["lengths"]["unit"] == "mm"
    assert "window" in about["absent"]["tracks"]["reason"]
    length = float(rows[7]["length septum to apex [mm]"])
    assert length == pytest.approx(np.hypot(10, 18) / 2, abs=0.01)
    assert rows[8]["length septum to apex [mm]"] == ""
    for name in ("septum", "apex", "lateral wall"):
        assert name in page


def test_a_flow_keeps_its_report_and_its_further_output(server, clip: Path, tmp_path: Path) -> None:
    assert "loop closure" in stream(server, clip, "grid_sample_flow", tmp_path / "out")
    arrays, about, rows, page = written(tmp_path / "out")
    assert about["arrays"]["motion"] == {"array": "flow"}
    assert arrays["flow"].shape == (12, 2, 48, 64)
    np.testing.assert_array_equal(arrays["mismatch.frame"], np.arange(1, 12))
    np.testing.assert_allclose(arrays["flow"][5, :, 20, 29], [1, 0], atol=0.05)
    assert rows[0]["quality [0..1]"] == "1"
    assert "Tracked motion" in page


GRAIN = np.random.default_rng(1).integers(0, 256, (14, 40, 32)).astype(np.uint8)
VOLUMES = np.stack([GRAIN[:, 8 - k : 8 - k + 32] for k in range(4)])  # y grows by 1 per volume


def write_npz(path: Path) -> Path:
    times, spacing = 40.0 * np.arange(4), np.array([2.0, 1.0, 0.5])
    np.savez(path / "v.npz", frames=VOLUMES, times_ms=times, spacing_mm=spacing)
    return path / "v.npz"


def write_nifti(path: Path) -> Path:
    image = nibabel.Nifti1Image(VOLUMES.transpose(3, 2, 1, 0).copy(), np.eye(4))
    image.header.set_zooms((0.5, 1.0, 2.0, 0.04))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path / "v.nii.gz")
    return path / "v.nii.gz"


@pytest.mark.parametrize("write", [write_npz, write_nifti])
def test_a_flow_of_volumes(write, server, tmp_path: Path) -> None:
    text = stream(server, write(tmp_path), "volume_flow", tmp_path / "out")
    assert "2 x 1 x 0.5 mm per pixel (slice, row, column)" in " ".join(text.split())
    assert "14x32x32 were padded to 16x32x32" in " ".join(text.split())
    arrays, about, rows, page = written(tmp_path / "out")
    assert arrays["flow"].shape == (4, 3, 16, 32, 32)
    for k in range(1, 4):
        np.testing.assert_allclose(arrays["flow"][k, :, 7, 16, 16], [0, 1, 0], atol=0.01)
    np.testing.assert_allclose(arrays["displacement"][3, :, 7, 12, 16], [0, 3, 0], atol=0.05)
    assert about["arrays"]["motion"] == {"array": "flow"}
    assert about["picture"]["source"] == [14, 32, 32]
    assert about["picture"]["model"] == [16, 32, 32]
    assert about["spacing_mm"] == [2.0, 1.0, 0.5]
    assert [float(row["time [ms]"]) for row in rows] == pytest.approx([0, 40, 80, 120])
    assert "xy, z = 7; zy, x = 16; xz, y = 16" in page
    assert "volumes of 14×32×32 voxels" in page
    assert "image/webp" in page


def test_a_phantom_of_volumes_goes_from_command_to_command(server, tmp_path: Path) -> None:
    made = tmp_path / "v.npz"
    run("phantom", "ventricle", "--size", "16x24x24", "--frame-rate", 6, "--out", made)
    stream(server, made, "volume_flow", tmp_path / "out")
    arrays, _, rows, _ = written(tmp_path / "out")
    assert len(rows) == 6
    assert np.isfinite(arrays["displacement"]).all()


def test_volumes_that_do_not_fit(server, tmp_path: Path) -> None:
    base = ["--url", server.url, "--out", tmp_path / "out", "--model"]
    assert "images from DICOM" in run("stream", write_npz(tmp_path), *base, "conv_gru", code=2)
    np.savez(tmp_path / "large.npz", frames=np.zeros((2, 8, 16, 136), np.uint8))
    text = run("stream", tmp_path / "large.npz", *base, "volume_flow", code=2)
    assert "8 x 16 x 136" in text
    np.savez(tmp_path / "flat.npz", frames=np.zeros((2, 16, 16), np.uint8))
    text = run("stream", tmp_path / "flat.npz", *base, "volume_flow", code=2)
    assert "a model of images" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "array"),
    [("conv_gru", "surprise"), ("heat_maps", "points"), ("reference_shift", "displacement")],
)
def test_every_other_kind_is_written(
    name: str, array: str, server, clip: Path, tmp_path: Path
) -> None:
    stream(server, clip, name, tmp_path / "out")
    arrays, about, rows, page = written(tmp_path / "out")
    assert len(arrays[array]) == len(rows) == about["frames"] == 12
    assert array in about["arrays"]
    assert ("Wall points" in page) == (name == "reference_shift")


def test_what_a_clip_cannot_be_sent_to(server, clip: Path, tmp_path: Path) -> None:
    base = ["stream", clip, "--url", server.url, "--out", tmp_path / "out", "--model"]
    assert ".npz and NIfTI" in run(*base, "volume_flow", code=2)
    assert "cineflow call" in run(*base, "wall_scores", code=2)
    text = run(*base, "point_tracker", code=2)
    assert "queries" in text
    assert "--given" in text
    np.savez(tmp_path / "wrong.npz", queries=np.zeros((3, 2)))
    text = run(*base, "point_tracker", "--given", tmp_path / "wrong.npz", code=2)
    assert "[3, 2]" in text
    (tmp_path / "text.npz").write_text("no arrays")
    text = run(*base, "point_tracker", "--given", tmp_path / "text.npz", code=2)
    assert "ArgumentError" in text
    assert not (tmp_path / "out").exists()


def test_a_command_waits_longer_than_the_client_library(
    server, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window of a slow network takes more than the library's 10 s."""
    assert pacing.RESULT_S == 60
    monkeypatch.setattr(pacing, "RESULT_S", 0.0001)
    text = run("stream", clip, "--url", server.url, "--model", "segmentation", code=2)
    assert "within 0.0001 s" in text
    np.savez(tmp_path / "study.npz", **study(0.2))
    study_of = ["--url", server.url, "--input", tmp_path / "study.npz"]
    assert "ServerUnavailable" in run("call", "wall_scores", *study_of, code=2)


def test_a_call_writes_its_scores(server, bundles, tmp_path: Path) -> None:
    arrays = study(0.2)
    np.savez(tmp_path / "study.npz", **{k: v.astype(np.float64) for k, v in arrays.items()})
    end = ["--url", server.url, "--input", tmp_path / "study.npz", "--out", tmp_path / "r.npz"]
    for model in ("wall_scores", bundles["wall_scores"].path):
        text = run("call", model, *end)
        assert "scores 2 hypokinetic [probability]" in text
        with np.load(tmp_path / "r.npz") as file:
            assert file["scores"].shape == (1, 3, 4)
            assert (file["scores"].argmax(axis=-1) == 1).all()
            about = json.loads(str(file["about"]))
        assert about["arrays"]["scores"]["names"][1] == "hypokinetic"
        assert about["model"] == bundles["wall_scores"].served_name
    assert "cineflow stream" in run("call", "segmentation", *end, code=2)
    np.savez(tmp_path / "study.npz", cines=arrays["cines"])
    assert "landmarks" in run("call", "wall_scores", *end, code=2)


def test_the_demo_takes_any_streamable_bundle(bundles, clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run("demo", "--input", clip, "--model", bundles["segmentation"].path, "--out", folder)
    arrays, about, _, page = written(folder)
    assert arrays["labels"].shape == (12, 1, 48, 64)
    assert about["model"] == bundles["segmentation"].served_name
    assert "pericardium" in page
