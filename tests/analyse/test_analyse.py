"""`cineflow analyse` on files: every clip is accounted for, and no output but DICOM has a name."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

import cineflow.cli as cli
from cineflow.cli.analyse.batch import without_name
from cineflow.cli.analyse.wall_file import drawn, parse_points, read_wall
from cineflow.errors import ArgumentError
from tests.analyse.conftest import PATIENT

WALL = {
    "view": "four-chamber",
    "contour": [[60, 130], [62, 90], [80, 60], [100, 52], [120, 62], [136, 92], [138, 130]],
    "ed": [0],
    "es": [4],
}
#: Parts of the planted identity, in small letters.
PLANTED = ("zyxwvuts", "quentinius", "pid-", "19500102", "accqzxj7741", "hospital")


def invoke(*arguments: object):
    return CliRunner().invoke(cli._app(), ["analyse", *map(str, arguments)])


def text_of(path: Path) -> str:
    """Everything in a file that could be read as text, archives unpacked, in small letters."""
    data = path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            data = b"".join(archive.read(name) for name in archive.namelist())
    if path.suffix == ".gz":
        import gzip

        data = gzip.decompress(data)
    # NumPy keeps texts as UTF-32.
    return (data.decode("latin-1") + data.replace(b"\0", b"").decode("latin-1")).lower()


@pytest.fixture
def archive(named_clip: Path) -> Path:
    """A folder of a good clip with its wall, a text and a truncated clip."""
    folder = named_clip.parent / "Zyxwvuts folder"
    folder.mkdir()
    clip = named_clip.rename(folder / named_clip.name)
    clip.with_name(clip.name + ".wall.json").write_text(json.dumps(WALL))
    (folder / "Quentinius_notes.dcm").write_text("not DICOM")
    uid = pydicom.dcmread(clip, stop_before_pixels=True).SOPInstanceUID.encode()
    other = clip.read_bytes().replace(uid, uid[:-1] + (b"1" if uid[-1:] != b"1" else b"2"))
    (folder / "Quentinius_cut.dcm").write_bytes(other[:40_000])
    return folder


@pytest.fixture
def analysed(archive: Path, tmp_path: Path):
    """That folder, analysed with everything."""
    folder = archive
    out, objects = tmp_path / "out", tmp_path / "objects"
    pytest.importorskip("highdicom")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")  # pytest would keep them from the terminal
        done = invoke(
            folder, "--out", out, "--out-dicom", objects, "--fields", "--picture", "gif",
            "--picture", "png",
        )  # fmt: skip
    said = " ".join(str(one.message) for one in warned).lower()
    assert not [word for word in PLANTED if word in said], said
    return done, out, objects


def test_bad_files_do_not_stop_a_folder_and_a_second_run_takes_what_is_there(
    archive: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = invoke(archive, "--out", out)
    assert first.exit_code == 1, first.output  # some were not done
    clips = json.loads((out / "summary.json").read_text())["clips"]
    assert [row["state"] for row in clips] == ["refused", "refused", "done"]
    assert "Truncated" in clips[0]["reason"]
    assert "NotDicom" in clips[1]["reason"]
    again = invoke(archive, "--out", out)
    rows = json.loads((out / "summary.json").read_text())["clips"]
    assert [row["state"] for row in rows] == ["refused", "refused", "already done"]
    # A redrawn wall is another result.
    drawn_file = next(archive.glob("*.wall.json"))
    drawn_file.write_text(json.dumps(WALL | {"es": [5]}))
    redrawn = invoke(archive, "--out", out)
    row = json.loads((out / "summary.json").read_text())["clips"][2]
    assert (row["state"], row["end_systole"]) == ("done", 5)
    assert row["folder"] != clips[2]["folder"]
    nobody_is_named(first.output + again.output + redrawn.output, out)


@pytest.mark.slow
def test_everything_is_written_for_a_folder_and_nobody_is_named(analysed) -> None:
    done, out, objects = analysed
    assert done.exit_code == 1, done.output  # some were not done
    summary = json.loads((out / "summary.json").read_text())
    assert [row["state"] for row in summary["clips"]] == ["refused", "refused", "done"]
    assert "Truncated" in summary["clips"][0]["reason"]
    assert "NotDicom" in summary["clips"][1]["reason"]
    row = summary["clips"][2]
    assert row["view"] == "four-chamber"
    assert row["reference_frame"] == 0
    assert row["end_systole"] == 4
    assert len(row["strain_percent"]) == 7
    assert all(one["two_sigma"] > 0 for one in row["strain_percent"])
    clip = out / row["folder"]
    assert {*row["files"]} == {entry.name for entry in clip.iterdir()}
    page = (clip / "report.html").read_text()
    words = ["Research use, not for diagnosis", "Bull's eye", "2 sigma", "Loop closure"]
    words += ["Lagrangian strain", "Reference frame 0", 'data-mode="wall"', "basal inferoseptal"]
    for word in [*words, row["bundle_hash"], "onnxruntime"]:
        assert word in page, word
    assert not re.search(r'\b(src|href)="(?!data:)', page), "the page fetches something"
    assert len(list((objects / row["folder"]).glob("*.dcm"))) == 4
    nobody_is_named(done.output, out)
    filed_objects_name_the_patient(objects / row["folder"])
    names_in_the_pixels_are_blank(clip, objects / row["folder"])
    arrays_agree(clip, row)


def nobody_is_named(said: str, out: Path) -> None:
    texts = {"terminal": said.lower()} | {
        str(path.relative_to(out)).lower(): text_of(path)
        for path in out.rglob("*")
        if path.is_file()
    }
    assert len(texts) > 9
    for name, text in texts.items():
        for word in PLANTED:
            assert word not in name, name
            assert word not in text, f"{word} in {name}"


def filed_objects_name_the_patient(objects: Path) -> None:
    for path in objects.iterdir():
        assert str(pydicom.dcmread(path).PatientName) == PATIENT


def arrays_agree(clip: Path, row: dict) -> None:
    """NPZ, CSV and NIfTI say the same, to libraries that are not ours."""
    nibabel = pytest.importorskip("nibabel")
    with np.load(clip / "result.npz") as file:
        strain, parts = file["strain"], file["parts"].tolist()
        about = json.loads(str(file["about"]))
    assert about["use"].startswith("Research")
    assert about["reference_frames"] == [0]
    whole = next(one for one in row["strain_percent"] if one["part"] == "global")
    assert 100 * strain[parts.index("global"), 4] == pytest.approx(whole["value"], abs=0.006)
    lines = (clip / "frames.csv").read_text().splitlines()
    columns = dict(zip(lines[0].split(","), lines[5].split(","), strict=True))
    assert float(columns["longitudinal global [%]"]) == pytest.approx(whole["value"], abs=0.006)
    assert len(lines) == 9
    image = nibabel.load(clip / "motion.nii.gz")
    assert image.shape == (192, 160, 1, 8, 2)
    assert image.header.get_xyzt_units() == ("mm", "msec")
    assert (
        image.header.get_intent()[0] == "dispvec" or "disp" in image.header.get_intent()[0].lower()
    )
    assert image.header.get_zooms()[:2] == pytest.approx((0.4, 0.5))
    stated = json.loads(image.header.extensions[0].get_content())
    assert stated["unit"] == "mm"
    assert stated["reference_frame_of_each"] == [0] * 8
    with np.load(clip / "fields.npz") as file:
        field = file["displacement"][7]
    np.testing.assert_allclose(
        np.asarray(image.dataobj)[:, :, 0, 7, 0].T, 0.4 * field[0], atol=1e-5
    )
    sitk = pytest.importorskip("SimpleITK")
    assert sitk.ReadImage(str(clip / "motion.nii.gz")).GetSize()[:2] == (192, 160)


def names_in_the_pixels_are_blank(clip: Path, objects: Path) -> None:
    from PIL import Image

    overlay = pydicom.dcmread(objects / "overlay.dcm")
    assert overlay.pixel_array[:, :20, :80].max() < 40  # JPEG's ringing; the name was 255
    with Image.open(clip / "overlay.png") as picture:
        assert picture.size[1] > 100
    with Image.open(clip / "overlay.gif") as picture:
        assert picture.n_frames == 8


def test_points_are_given_as_arguments_or_in_a_file(tmp_path: Path) -> None:
    assert parse_points("1,2 3.5,4") == [[1.0, 2.0], [3.5, 4.0]]
    with pytest.raises(ArgumentError, match="x,y"):
        parse_points("1;2")
    file = tmp_path / "wall.json"
    file.write_text(json.dumps(WALL))
    wall = read_wall(file).wall(None)
    assert wall is not None
    assert [part.segment for part in wall.parts] == [3, 9, 14, 16, 12, 6, 0]
    for wrong, why in (
        ({"view": "five-chamber"}, "a view of"),
        ({"view": "four-chamber"}, "missing"),
        (WALL | {"colour": 3}, "unknown"),
        (WALL | {"frame": -1}, "a whole number of 0 or more"),
    ):
        with pytest.raises(ArgumentError, match=why):
            drawn(wrong)
    four = {"view": "parasternal-long-axis", "points": [[1, 1], [1, 9], [1, 5], [1, 20]]}
    with pytest.raises(ArgumentError, match="in order"):
        drawn(four).landmarks()


def test_a_message_does_not_quote_the_file(named_clip: Path) -> None:
    said = f"{named_clip}: bad value {PATIENT} of 19500102, wanted 2 frames"
    left = without_name(said, named_clip)
    assert "wanted 2 frames" in left
    for word in ("zyxwvuts", "quentinius", "19500102"):
        assert word not in left.lower()


@pytest.mark.parametrize("name", ["times.npz", "vol/inf.nii.gz", "Clip1.dcm", "may"])
def test_a_plain_name_does_not_change_our_own_words(name: str) -> None:
    path = Path("vol") / name
    said = f"wanted frame times of volumes; got inf. The copy may be of {path} or {path.name}"
    left = without_name(said, path)
    assert left.startswith("wanted frame times of volumes; got inf. The copy may be of the clip")
    if path.suffix:
        assert path.name not in left


@pytest.mark.slow
def test_a_model_that_gives_labels_has_its_own_page(tmp_path: Path, named_clip: Path) -> None:
    pytest.importorskip("torch")
    from cineflow.export import export_bundle

    recipe = Path(__file__).parents[2] / "examples" / "kinds" / "segmentation.py"
    export_bundle(str(recipe), tmp_path / "bundle")
    out, objects = tmp_path / "out", tmp_path / "objects"
    done = invoke(named_clip, "--model", tmp_path / "bundle", "--out", out, "--out-dicom", objects)
    assert done.exit_code == 0, done.output
    row = json.loads((out / "summary.json").read_text())["clips"][0]
    assert "gives no motion" in row["no_strain"]
    page = (out / row["folder"] / "report.html").read_text()
    assert "none (in process)" in page
    assert "deadline" not in page  # nothing was streamed
    labels = pydicom.dcmread(objects / row["folder"] / "labels_0000.dcm")
    assert labels.Modality == "SEG"
