"""Objects name frames as they are stored, not as the clip counts them in the order of time."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("highdicom")
import pydicom

from cineflow.cine import Cine, read_cine
from cineflow.errors import ArgumentError
from cineflow.filing.dicom.capture import write_capture
from cineflow.filing.dicom.maps import (
    segment_labels,
    strain_map,
    write_segmentation,
    write_strain_map,
)
from cineflow.filing.dicom.report import write_report
from cineflow.filing.dicom.source import Source, read_source
from tests.cine.test_enhanced import MR, groups, mr_tags
from tests.filing.conftest import SIZE, SPACING
from tests.filing.test_objects import errors_of

STUDY = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "Modality": "MR"}
ED, ES = 0, 3  # of the strain's beat, in the order of time


def marked(frames: int) -> np.ndarray:
    """Frames [N, H, W] of noise in 16 bits, 0 to 255: each is different, and all is sector."""
    noise = np.random.default_rng(3).integers(0, 256, (frames, *SIZE)).astype(np.uint16)
    noise[:, 0, :2] = 0, 255
    return noise


@pytest.fixture
def shuffled(write_dicom: Callable[..., Path]) -> tuple[Path, list[int]]:
    """An enhanced MR of six phases in another order, after two frames of slices at one time; and
    the stored number of each phase.
    """
    order = np.array([4, 2, 5, 0, 3, 1])
    tags = groups(1, 6, order)
    for z, one in enumerate(groups(1, 2, np.arange(2))["PerFrameFunctionalGroupsSequence"]):
        one.PlanePositionSequence[0].ImagePositionPatient = [0.0, 0.0, 50.0 + z]
        tags["PerFrameFunctionalGroupsSequence"].insert(2 * z, one)
    kept = [1, 3, 4, 5, 6, 7]  # the others, at 0 and 2, are left out
    path = write_dicom(marked(8), **STUDY, **tags)
    return path, [kept[order.tolist().index(phase)] + 1 for phase in range(6)]


@pytest.fixture
def series(write_dicom: Callable[..., Path], tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder of six single frames, whose names are not in the order of time; and the SOP instance
    of each phase.
    """
    folder = tmp_path / "series"
    folder.mkdir()
    tags = mr_tags(1, 6)
    order = [4, 2, 5, 0, 3, 1]
    for at, phase in enumerate(order):
        write_dicom(
            marked(6)[phase][None],
            SOPClassUID=MR,
            SOPInstanceUID=f"1.2.3.5.{phase + 1}",
            NumberOfFrames=None,
            FrameTime=None,
            FrameIncrementPointer=None,
            **STUDY,
            **tags[phase],
        ).rename(folder / f"I{at}")
    return folder, [f"1.2.3.5.{phase + 1}" for phase in range(6)]


def write_all(folder: Path, source: Source, maker, strain, clip: Cine) -> dict[str, Path]:
    made = {name: folder / f"{name}.dcm" for name in ("report", "map", "labels", "overlay")}
    values = strain_map(strain, "circumferential", SIZE, SPACING)
    common = source, maker
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom's advice on names
        write_report(made["report"], *common, strain=strain)
        write_strain_map(made["map"], *common, values, "circumferential", "lagrangian", ES, SPACING)
        write_segmentation(made["labels"], *common, segment_labels(strain, SIZE), ES, aha=True)
    colours = np.repeat(clip.frames[..., None], 3, axis=-1)
    write_capture(made["overlay"], *common, colours, 45.0, blanked=True)
    if shutil.which("dciodvfy") is not None:
        for path in made.values():
            assert errors_of(path) == [], path.name
    return made


def sources_of_groups(path: Path) -> list[list[tuple[str, list[int]]]]:
    """By highdicom: of each group, the instances and frames that it was measured in."""
    from highdicom.sr import srread

    report = srread(path)
    found = []
    for group in report.content.get_image_measurement_groups():
        images = [
            item.ReferencedSOPSequence[0]
            for item in group[0].ContentSequence
            if item.ConceptNameCodeSequence[0].CodeMeaning == "Source of Measurement"
        ]
        found.append(
            [
                (
                    str(image.ReferencedSOPInstanceUID),
                    np.atleast_1d(image.get("ReferencedFrameNumber") or []).astype(int).tolist(),
                )
                for image in images
            ]
        )
    return found


def sources_of_frame(path: Path) -> list[pydicom.Dataset]:
    """By pydicom: what the first frame of a map was derived from."""
    made = pydicom.dcmread(path)
    return list(
        made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence
    )


def test_shuffled_phases_are_named_by_their_stored_frames(
    shuffled: tuple[Path, list[int]], tmp_path: Path, maker, strain
) -> None:
    path, numbers = shuffled
    clip = read_cine(path)
    assert (clip.stored_at + 1).tolist() == numbers
    assert "another order" in " ".join(clip.notes)
    stored = pydicom.dcmread(path)
    # The clip's frames are those of the file by these numbers.
    np.testing.assert_array_equal(clip.frames, stored.pixel_array[np.array(numbers) - 1])
    source = read_source(path, clip.stored_at)
    made = write_all(tmp_path, source, maker, strain, clip)
    instance = str(stored.SOPInstanceUID)
    for group in sources_of_groups(made["report"]):
        assert group == [(instance, [numbers[ED], numbers[ES]])]
    assert f"since frame {numbers[ED]} of" in pydicom.dcmread(made["report"]).to_json()
    for name in ("map", "labels"):
        (image,) = sources_of_frame(made[name])
        assert image.ReferencedSOPInstanceUID == instance
        assert image.ReferencedSOPClassUID == stored.SOPClassUID
        assert image.ReferencedFrameNumber == numbers[ES]
    (image,) = pydicom.dcmread(made["overlay"]).SourceImageSequence
    assert image.ReferencedSOPInstanceUID == instance
    assert list(image.ReferencedFrameNumber) == numbers


def test_a_series_is_named_by_the_instance_of_each_frame(
    series: tuple[Path, list[str]], tmp_path: Path, maker, strain
) -> None:
    folder, instances = series
    clip = read_cine(folder)
    source = read_source(folder, clip.stored_at)
    assert [str(header.SOPInstanceUID) for header in source.headers] == instances
    made = write_all(tmp_path, source, maker, strain, clip)
    for group in sources_of_groups(made["report"]):
        assert group == [(instances[ED], []), (instances[ES], [])]
    report = pydicom.dcmread(made["report"])
    assert f"since instance {instances[ED]} of" in report.to_json()
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    named = {str(one.ReferencedSOPInstanceUID) for one in evidence.ReferencedSOPSequence}
    assert named == set(instances)
    for name in ("map", "labels"):
        (image,) = sources_of_frame(made[name])
        assert image.ReferencedSOPInstanceUID == instances[ES]
        assert image.ReferencedSOPClassUID == MR
        assert "ReferencedFrameNumber" not in image
    overlay = pydicom.dcmread(made["overlay"])
    named = [str(image.ReferencedSOPInstanceUID) for image in overlay.SourceImageSequence]
    assert named == instances
    assert overlay.pixel_array.shape[0] == 6


def test_a_frame_beyond_the_stated_number_cannot_be_named(write_dicom: Callable[..., Path]) -> None:
    path = write_dicom(marked(6), NumberOfFrames=4, **STUDY)
    clip = read_cine(path)
    assert len(clip) == 6
    with pytest.raises(ArgumentError, match="frame 6"):
        read_source(path, clip.stored_at)
    with pytest.raises(ArgumentError, match="0 to 3"):
        read_source(path).image(4)


@pytest.mark.parametrize(("uid", "kept"), [("../../../evil", False), ("1.2.03.4", True)])
def test_a_source_with_a_uid_that_is_not_one_has_no_objects(
    write_dicom: Callable[..., Path], uid: str, kept: bool
) -> None:
    """Every object would carry it. A leading zero is against the standard, but common."""
    path = write_dicom(marked(2), **STUDY | {"SeriesInstanceUID": "1.2.77777.88888"})
    stored = b"1.2.77777.88888\0"
    path.write_bytes(path.read_bytes().replace(stored, uid.encode().ljust(len(stored), b"\0")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kept:
            assert read_source(path, None).header.SeriesInstanceUID == uid
            return
        with pytest.raises(ArgumentError, match="something else as SeriesInstanceUID"):
            read_source(path, None)
