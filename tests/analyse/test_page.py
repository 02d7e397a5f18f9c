"""What a report says of its clip: text burned in, gaps in time, few grey levels."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cineflow.cine import read_cine
from cineflow.cli.analyse.batch import Places, analyse_file
from cineflow.cli.analyse.files import Settings
from cineflow.cli.analyse.job import Model
from cineflow.cli.analyse.wall_file import Drawn, drawn
from cineflow.report import (
    Closure,
    Provenance,
    TraceRecorder,
    write_analysis_report,
    write_report,
)
from cineflow_client import LatencyLog

MADE = Provenance("model", "none", "onnxruntime", "", "in process", "cineflow")


@pytest.mark.parametrize(
    ("tags", "whole", "said"),
    [
        ({"BurnedInAnnotation": "YES"}, True, "says that identity is burned into its pixels"),
        ({"BurnedInAnnotation": "NO"}, False, "no identity is burned into its pixels"),
        ({}, False, "does not say whether identity is burned"),
    ],
)
def test_both_pages_state_what_the_file_says_of_text_in_its_pixels(
    tags: dict[str, str],
    whole: bool,
    said: str,
    write_dicom: Callable[..., Path],
    moving_frames: np.ndarray,
    tmp_path: Path,
) -> None:
    frames = moving_frames[:2, :64, :80]
    if not whole:
        frames = np.pad(frames, ((0, 0), (30, 0), (30, 30)))
    clip = read_cine(write_dicom(frames, **tags))
    assert clip.sector.all() == whole
    recorder, latency = TraceRecorder(clip), LatencyLog(frame_period_ms=clip.frame_period_ms)
    for _ in clip.frames:
        recorder.add(np.zeros((2, *clip.size), np.float32), 0.8, 0, 0)
        latency.add(1.0)
    trace, closure = recorder.finish(), Closure(None, None, "too short")
    pages = [
        write_analysis_report(tmp_path / "analysis.html", clip, trace, closure, MADE),
        write_report(
            tmp_path / "stream.html", clip, trace, latency.summary(), closure, MADE, fps=80.0
        ),
    ]
    for page in pages:
        table = page.read_text().split('class="made"')[1].split("</table>")[0]
        assert said in table
        assert ("nothing was blanked" in table) == whole
    seeded = replace(MADE, weights="seed 0 (untrained)")
    page = write_analysis_report(tmp_path / "seeded.html", clip, trace, closure, seeded).read_text()
    assert page.index("outputs are meaningless") < page.index("<main>"), "above everything"


def test_strain_after_a_gap_is_marked(
    write_dicom: Callable[..., Path], moving_frames: np.ndarray, tmp_path: Path, model: Model
) -> None:
    steps = [0.0, 100.0, 100.0, 450.0, 100.0, 100.0, 100.0, 100.0]
    clip = write_dicom(
        moving_frames[[0, 1, 2, 6, 7, 8, 9, 10], :96, :112],
        FrameIncrementPointer=0x00181065,
        FrameTime=None,
        FrameTimeVector=steps,
        RWaveTimeVector=[0.0, 750.0],
    )
    (row,) = analyse_file(clip, Places(tmp_path / "out"), model, Settings())
    assert row["gaps"] == [3]
    assert row["beats"] == "R waves in the file"
    folder = tmp_path / "out" / row["folder"]
    with np.load(folder / "result.npz") as file:
        sigma, references = file["strain_sigma"], file["references"]
        assert json.loads(str(file["about"]))["gaps"] == [3]
    assert not references.any(), "one beat, so that no frame after the gap begins a new one"
    assert np.isfinite(sigma[:, :3]).all()
    assert np.isinf(sigma[:, 3:]).all()
    page = (folder / "report.html").read_text()
    assert "frames are missing before frame" in " ".join(page.split()).lower()
    assert "1 gap in time" in page
    lines = (folder / "frames.csv").read_text().splitlines()
    column = lines[0].split(",").index("frames missing before [0/1]")
    assert [line.split(",")[column] for line in lines[1:]] == list("00010000")


def test_lengths_of_a_long_axis_have_the_phases_of_the_user_and_an_uncertainty(
    write_dicom: Callable[..., Path], moving_frames: np.ndarray, tmp_path: Path, model: Model
) -> None:
    clip = write_dicom(moving_frames[:6, :96, :112], PixelSpacing=[0.5, 0.5])
    points = [[60, 10], [60, 24], [60, 64], [60, 80]]
    view = {"view": "parasternal-long-axis", "points": points, "frame": 2, "ed": [1], "es": [4]}
    settings = Settings(drawn(view))
    (row,) = analyse_file(clip, Places(tmp_path / "out"), model, settings)
    assert row["phases"] == "given by the user"
    assert row["ventricle"]["LVID at end-diastole [mm]"] == pytest.approx(20, abs=0.1)
    sigma = row["ventricle_two_sigma"]
    assert sigma.keys() == row["ventricle"].keys()
    assert all(one > 0 for one in sigma.values())
    folder = tmp_path / "out" / row["folder"]
    page = " ".join((folder / "report.html").read_text().split())
    assert "end-systole, frames 1 and 4: given by the user" in page
    assert "The band is 2 sigma" in page
    lines = (folder / "frames.csv").read_text().splitlines()
    column = lines[0].split(",").index("LVID 2 sigma [mm]")
    assert float(lines[3].split(",")[column]) == 0  # the frame of the points
    with np.load(folder / "result.npz") as file:
        assert (file["length_sigma"][[0, 5]] > 0).all()


def test_few_grey_levels_lower_the_quality(
    write_dicom: Callable[..., Path], moving_frames: np.ndarray, tmp_path: Path, model: Model
) -> None:
    """With levels 0 to 15 the tracker is worse, but its residuals are rounded away."""
    frames, found = moving_frames[:3, :96, :112], {}
    for name, clip in (("all", frames), ("few", frames // 16)):
        path = write_dicom(clip, f"{name}.dcm", PixelSpacing=[0.5, 0.5])
        (found[name],) = analyse_file(path, Places(tmp_path / name), model, Settings())
        folder = tmp_path / name / found[name]["folder"]
        with np.load(folder / "result.npz") as file:
            found[name]["error"] = file["expected_error_px"]
        found[name]["page"] = (folder / "report.html").read_text()
        lines = (folder / "frames.csv").read_text().splitlines()
        row = dict(zip(lines[0].split(","), lines[3].split(","), strict=True))
        found[name]["shown"] = float(row["quality [0..1]"])
    few, whole = found["few"], found["all"]
    assert few["mean_quality"] < whole["mean_quality"]
    assert few["shown"] < whole["shown"]
    assert (few["error"][1:] > whole["error"][1:]).all()
    assert re.search(r"multiplied by [4-8]\b", few["page"])
    assert "multiplied by" not in whole["page"]


def test_phases_that_are_not_known_are_not_named(
    write_dicom: Callable[..., Path], moving_frames: np.ndarray, tmp_path: Path, model: Model
) -> None:
    """Without a beat, the first frame was called end-diastole and another one end-systole."""
    clip = write_dicom(moving_frames[:6, :96, :112])
    (row,) = analyse_file(clip, Places(tmp_path / "out"), model, Settings())
    assert row["beats"].startswith("none")
    assert (row["end_diastole"], row["end_systole"]) == (None, None)
    folder = tmp_path / "out" / row["folder"]
    page = " ".join((folder / "report.html").read_text().split("<script")[0].split())
    assert "whether it is end-diastole is not known" in page
    assert f"the largest mean strain at frame {row['measured_at']}" in page
    assert f"At frame {row['measured_at']}, %" in page
    assert "At end-systole" not in page
    (first, *_) = csv.DictReader((folder / "strain.csv").open())
    assert (first["end-diastole [frame]"], first["end-systole [frame]"]) == ("", "")
    assert first["measured at [frame]"] == str(row["measured_at"])
    known = Settings(Drawn(ed=(0,), es=(4,)))
    (row,) = analyse_file(clip, Places(tmp_path / "known"), model, known)
    assert (row["end_diastole"], row["end_systole"], row["measured_at"]) == (0, 4, 4)
    assert "At end-systole" in (tmp_path / "known" / row["folder"] / "report.html").read_text()
