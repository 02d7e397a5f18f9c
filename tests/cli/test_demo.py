"""`cineflow demo` end to end against the real server: figures, report, and nothing left behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

SUMMARY_KEYS = {
    "frames", "p50_ms", "p95_ms", "p99_ms", "max_ms", "fps", "missed_deadlines",
    "frame_period_ms", "server_version", "engine", "loop_closure_px", "spacing", "spacing_reason",
    "model", "weights", "repeated_frames",
}  # fmt: skip


def test_the_demo_runs_the_whole_path(cineflow, server_binary, server_segments, tmp_path) -> None:
    folder = tmp_path / "out"
    ended = cineflow("demo", "--out", folder, torch=False)
    assert ended.code == 0, ended.err
    assert ended.left == []
    assert server_segments(folder / "server.log") == []

    summary = json.loads((folder / "summary.json").read_text())
    assert summary.keys() == SUMMARY_KEYS
    assert summary["frames"] == 30
    assert 0 < summary["p50_ms"] <= summary["p95_ms"] <= summary["p99_ms"] <= summary["max_ms"]
    assert summary["fps"] > 1
    assert 0 <= summary["missed_deadlines"] <= 30
    assert summary["frame_period_ms"] == pytest.approx(33.333)
    assert re.fullmatch(r"\d+\.\d+\.\d+", summary["server_version"])
    assert "onnxruntime" in summary["engine"]
    assert re.fullmatch("lucas_kanade-[0-9a-f]{8}", summary["model"])
    assert summary["weights"] == "none: training-free"
    assert re.search(r"weights +none: training-free", ended.out)
    assert summary["spacing"] is None
    assert "outside the 320x240 pixels" in summary["spacing_reason"]
    # The whole picture shifts by 5 px over the beat. OpenCV's Farneback closes at 5.5 px here.
    assert 3 < summary["loop_closure_px"] < 8

    page = (folder / "report.html").read_text()
    assert summary["server_version"] in page
    assert "Research use, not for diagnosis" in page
    assert "model: lucas_kanade-" in ended.err
    shown = re.search(r"p50 ([\d.]+) ms", ended.out)
    assert shown is not None
    # Both are rounded, to one and to three digits: 8.5498 is 8.5 in one and 8.550 in the other.
    assert float(shown[1]) == pytest.approx(summary["p50_ms"], abs=0.0506)


@pytest.mark.slow
def test_a_recipe_is_exported(cineflow, server_binary, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    recipe = Path(__file__).parents[2] / "examples" / "kinds" / "grid_sample_flow.py"
    ended = cineflow("demo", "--model", recipe, "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert ended.left == []
    assert (tmp_path / "out" / "bundle" / "model.onnx").is_file()
    assert "model: grid_sample_flow-" in ended.err


def test_a_clip_of_the_users_own(server_binary, write_dicom, tmp_path: Path) -> None:
    """A calibrated RGB clip of a size that the model does not take."""
    import cineflow.cli as cli

    rng = np.random.default_rng(2)
    texture = rng.integers(30, 220, (100, 200), np.uint8).repeat(1, axis=0)
    frames = np.stack([texture[:, 10 + k : 140 + k] for k in range(12)])
    rgb = np.repeat(frames[..., None], 3, axis=3)
    clip = write_dicom(rgb, name="Doe_John.dcm", PixelSpacing=[0.4, 0.3])
    folder = tmp_path / "out"
    arguments = ["demo", "--input", str(clip), "--out", str(folder)]
    done = CliRunner().invoke(cli._app(), arguments)
    assert done.exit_code == 0, done.output
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["frames"] == 12
    assert summary["spacing"] == [0.4, 0.3]
    assert summary["spacing_reason"] == "PixelSpacing"
    assert summary["loop_closure_px"] is None
    text = done.output
    assert "Stored in colour (RGB)" in text
    assert "padded to 112x144" in text
    page = (folder / "report.html").read_text()
    assert "padded to 112x144" in page
    for written in ("report.html", "summary.json"):
        assert "Doe" not in (folder / written).read_text()


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("clip:", marks=pytest.mark.slow),
        pytest.param("Triton repository", marks=pytest.mark.slow),
        "server: Triton",
    ],
)
def test_ctrl_c_ends_everything(
    moment: str, cineflow, server_binary, server_segments, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    ended = cineflow("demo", "--out", folder, interrupt_at=moment, torch=False)
    assert ended.code == 130
    assert ended.left == []
    if moment == "server: Triton":  # earlier, the log may not name the server yet
        assert server_segments(folder / "server.log") == []
    assert not (folder / "summary.json").exists()
    assert "Traceback" not in ended.err
