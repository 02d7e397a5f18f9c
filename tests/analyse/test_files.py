"""Which clips there are, and keys that change with whatever changes the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from cineflow.cli.analyse.batch import Places, analyse_file
from cineflow.cli.analyse.files import Settings, clips_of, key_of
from cineflow.cli.analyse.job import Model
from cineflow.cli.analyse.outputs import Wanted
from cineflow.cli.analyse.wall_file import drawn
from cineflow.errors import ArgumentError
from tests.analyse.test_analyse import WALL

MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture
def series(tmp_path: Path, write_dicom: Callable[..., Path], moving_frames: np.ndarray) -> Path:
    """A folder with the single frames of an MR series: two slices of three phases."""
    folder = tmp_path / "study" / "Zyxwvuts series"
    folder.mkdir(parents=True)
    for z in range(2):
        for phase in range(3):
            path = write_dicom(
                moving_frames[phase + 6 * z][None, :64, :80],
                SOPClassUID=MR,
                Modality="MR",
                StudyInstanceUID="1.2",
                SeriesInstanceUID="1.2.3",
                SOPInstanceUID=f"1.2.3.{z}.{phase}",
                NumberOfFrames=None,
                FrameTime=None,
                FrameIncrementPointer=None,
                ImagePositionPatient=[0.0, 0.0, 8.0 * z],
                ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                PixelSpacing=[0.7, 0.9],
                TriggerTime=45.0 * phase,
                NominalInterval=800,
            )
            path.rename(folder / f"I{z}{phase}")
    return folder


def test_a_folder_is_one_clip_or_many(series: Path, write_dicom: Callable[..., Path]) -> None:
    study = series.parent
    assert clips_of([study]) == [series]
    clips = study / "clips"
    clips.mkdir()
    for name in ("b.dcm", "a.dcm"):
        write_dicom(np.zeros((2, 8, 8), np.uint8)).rename(clips / name)
    (clips / "a.dcm.wall.json").write_text("{}")
    (clips / "DICOMDIR").write_bytes(b"")
    pictures = clips / "pictures"
    pictures.mkdir()
    for name in ("1.png", "2.png"):
        (pictures / name).write_bytes(b"")
    lost = clips / "c.dcm"
    lost.symlink_to(clips / "nothing")  # the table says that it leads nowhere
    found = [series, clips / "a.dcm", clips / "b.dcm", lost, pictures]
    assert clips_of([study, clips]) == found


def test_a_series_has_a_result_for_each_slice(series: Path, tmp_path: Path, model: Model) -> None:
    pytest.importorskip("highdicom")
    settings = Settings()
    places = Places(tmp_path / "out", tmp_path / "dicom")
    rows = analyse_file(series, places, model, settings)
    assert [(row["state"], row["part"], row["parts"]) for row in rows] == [
        ("done", 0, 2),
        ("done", 1, 2),
    ]
    assert len({row["folder"] for row in rows}) == 2
    for row in rows:
        assert (places.out / row["folder"] / "report.html").is_file()
        assert any("slice" in note for note in row["notes"])
        overlay = pydicom.dcmread(tmp_path / "dicom" / row["folder"] / "overlay.dcm")
        assert [str(one.ReferencedSOPInstanceUID) for one in overlay.SourceImageSequence] == [
            f"1.2.3.{row['part']}.{phase}" for phase in range(3)
        ]
    again = analyse_file(series, places, model, settings)
    assert [row["state"] for row in again] == ["already done"] * 2
    # One wall cannot belong to two slices; each may have its own.
    series.with_name(series.name + ".part1.wall.json").write_text("{}")
    walled = analyse_file(series, places, model, replace(settings, drawn=drawn(WALL)))
    assert "a wall for each cine" in walled[0]["reason"]
    assert "a view of" in walled[1]["reason"]
    assert "zyxwvuts" not in json.dumps([rows, walled]).lower()


def test_a_key_changes_with_all_that_changes_the_result(
    tmp_path: Path, write_dicom: Callable[..., Path]
) -> None:
    clip = write_dicom(np.zeros((2, 8, 8), np.uint8), SOPInstanceUID="1.2.3")
    given = tmp_path / "given.npz"
    given.write_bytes(b"one")
    plain = Settings()
    moved = [*WALL["contour"][:-1], [137.5, 130]]  # type: ignore[misc]
    asked = [
        plain,
        replace(plain, convention="natural"),
        replace(plain, wanted=Wanted(fields=True)),
        replace(plain, given=given),
        replace(plain, drawn=drawn(WALL)),
        replace(plain, drawn=drawn(WALL | {"contour": moved})),
        replace(plain, drawn=drawn(WALL | {"es": [5]})),
        replace(plain, drawn=drawn(WALL | {"frame": 1})),
    ]
    keys = [key_of(clip, "bundle", settings) for settings in asked]
    keys += [key_of(clip, "another", plain), key_of(clip, "bundle", plain, 1)]
    given.write_bytes(b"two")
    keys.append(key_of(clip, "bundle", asked[3]))
    own = clip.with_name(clip.name + ".wall.json")
    own.write_text(json.dumps(WALL | {"ed": [1]}))
    keys.append(key_of(clip, "bundle", plain))
    own.write_text(json.dumps(WALL))
    # The same wall, next to the clip or given for all: the same result.
    assert key_of(clip, "bundle", plain) == keys[4]
    own.unlink()
    assert len(set(keys)) == len(keys)
    assert key_of(clip, "bundle", Settings()) == keys[0]
    assert not any("1.2.3" in key for key in keys)


def test_copies_of_one_instance_that_differ_are_not_taken_for_one_another(
    tmp_path: Path, write_dicom: Callable[..., Path]
) -> None:
    clip = write_dicom(np.zeros((2, 8, 8), np.uint8), SOPInstanceUID="1.2.3")
    copy, damaged = tmp_path / "copy.dcm", tmp_path / "damaged.dcm"
    copy.write_bytes(clip.read_bytes())
    damaged.write_bytes(clip.read_bytes()[:-9] + b"\1" * 9)
    keys = [key_of(path, "bundle", Settings()) for path in (clip, copy, damaged)]
    assert keys[0] == keys[1] != keys[2]
    assert keys[0][:16] == keys[2][:16], "the same instance is still to be seen"


def test_one_wall_for_several_cines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.dcm").write_bytes(b"x")
    (tmp_path / "clip.dcm.wall.json").write_text(json.dumps(WALL))
    with pytest.raises(ArgumentError, match="part2"):
        key_of(tmp_path / "clip.dcm", "bundle", Settings(), 2)


def test_a_uid_that_is_a_name_is_not_quoted(
    write_dicom: Callable[..., Path], recwarn: pytest.WarningsRecorder
) -> None:
    """pydicom warns of it, and the warning has the value."""
    path = write_dicom(np.zeros((2, 8, 8), np.uint8), SOPInstanceUID="1.2.826.0.1.77777")
    path.write_bytes(path.read_bytes().replace(b"1.2.826.0.1.77777", b"1.2.DOE^JOHN.7777"))
    recwarn.clear()
    assert key_of(path, "hash", Settings())
    assert not [str(warning.message) for warning in recwarn]
