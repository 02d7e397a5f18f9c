"""DICOM objects: read back by other libraries, filed under the patient, accepted by a validator."""

from __future__ import annotations

import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("highdicom")
import pydicom

from cineflow.errors import ArgumentError
from cineflow.filing.dicom.capture import write_capture
from cineflow.filing.dicom.maps import (
    PADDING,
    segment_labels,
    strain_map,
    write_segmentation,
    write_strain_map,
)
from cineflow.filing.dicom.report import write_report
from cineflow.filing.dicom.source import read_source
from cineflow.report.curves import Curves, Measure
from tests.filing.conftest import PATIENT, SIZE, SPACING


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory, source, maker, strain) -> dict[str, Path]:
    """All kinds of objects of one analysis."""
    folder = tmp_path_factory.mktemp("objects")
    labels = segment_labels(strain, SIZE)
    values = strain_map(strain, "circumferential", SIZE, SPACING)
    frames = np.random.default_rng(1).integers(0, 255, (6, *SIZE, 3), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # highdicom's advice on names
        write_report(folder / "report.dcm", source, maker, strain=strain, quality=0.75)
        write_strain_map(
            folder / "map.dcm", source, maker, values, "circumferential", "lagrangian", 2, SPACING
        )
        write_segmentation(folder / "labels.dcm", source, maker, labels, 2, aha=True)
    write_capture(folder / "overlay.dcm", source, maker, frames, 20.0, blanked=True)
    return {path.stem: path for path in folder.iterdir()}


def test_every_object_is_filed_under_its_patient_and_refers_to_its_source(objects, source) -> None:
    seen = set()
    for path in objects.values():
        made = pydicom.dcmread(path)
        assert str(made.PatientName) == PATIENT
        assert made.PatientID == "12345"
        assert made.StudyInstanceUID == source.header.StudyInstanceUID
        assert made.AccessionNumber == "ACC7"
        assert made.SeriesInstanceUID != source.header.SeriesInstanceUID
        assert "not for diagnosis" in made.SeriesDescription
        assert str(source.header.SOPInstanceUID) in str(made)  # by reference
        seen.add(made.SOPInstanceUID)
    assert len(seen) == 4


def test_the_report_has_the_codes_the_values_and_their_uncertainty(objects, strain) -> None:
    from highdicom.sr import srread

    report = srread(objects["report"])
    groups = report.content.get_image_measurement_groups()
    assert len(groups) == len(strain.parts) + 1  # and the quality
    found = {}
    for group in groups:
        for item in group.get_measurements():
            sites = group.finding_sites
            site = sites[0].value.value if sites else ""
            found[item.name.value, item.name.scheme_designator, site] = item
    whole = found["130677", "DCM", "49848007"]
    assert whole.value == pytest.approx(-10.0, abs=0.01)
    assert whole.unit.value == "%"
    radial = found["130675", "DCM", "264848000"]  # left ventricle mid anterior segment
    assert radial.value == pytest.approx(-10.0, abs=0.01)
    text = report.to_json()
    assert "uncertainty" in text.lower(), "the report has no uncertainty"
    assert report.CompletionFlag == "PARTIAL"
    assert report.VerificationFlag == "UNVERIFIED"
    assert "lucas_kanade-0123abcd" in text
    assert "lagrangian strain since frame 1" in text


def test_lengths_have_the_echo_codes(tmp_path: Path, source, maker) -> None:
    measures = (
        Measure("LVID at end-diastole [mm]", 48.5, interval=1.625),
        Measure("LVID at end-systole [mm]", 33.25),
        Measure("fractional shortening [%]", 31.4),
        Measure("LV mass [g]", 150.0, interval=0.0),  # of the frame that it was drawn in
    )
    curves = Curves((), (), None, measures, (), np.zeros((0, 3)))
    path = write_report(tmp_path / "lv.dcm", source, maker, ventricle=curves)
    text = str(pydicom.dcmread(path))
    for code in ("29436-3", "29438-9", "18051-3", "18087-7", "millimeter", "1.625"):
        assert code in text
    assert text.count("range of upper measurement uncertainty") == 1
    assert write_report(tmp_path / "none.dcm", source, maker) is None


def test_the_map_is_the_strain_of_its_frame(objects, source) -> None:
    made = pydicom.dcmread(objects["map"])
    values = made.pixel_array
    assert values.dtype == np.float32
    assert values.shape == SIZE
    wall = values > PADDING
    assert 3000 < wall.sum() < 15000
    np.testing.assert_allclose(values[wall], -0.1, atol=1e-4)
    mapping = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "130677"
    image = made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert image.SourceImageSequence[0].ReferencedFrameNumber == 3
    assert image.SourceImageSequence[0].ReferencedSOPClassUID == source.header.SOPClassUID


def test_labels_are_the_aha_segments(objects) -> None:
    import highdicom

    made = highdicom.seg.segread(objects["labels"])
    assert made.number_of_segments == 6
    anterior = made.get_segment_description(1)
    assert anterior.segmented_property_type.value == "264848000"
    planes = made.pixel_array
    up = np.argwhere(planes[0]).mean(axis=0)
    assert up[0] < 120  # anterior is up
    assert abs(up[1] - 160) < 3
    assert (planes.sum(axis=0) <= 1).all()


def test_the_overlay_plays(objects) -> None:
    made = pydicom.dcmread(objects["overlay"])
    assert made.pixel_array.shape == (6, *SIZE, 3)
    assert float(made.FrameTime) == 20.0
    assert made.BurnedInAnnotation == "NO"


def test_other_readers_agree(objects) -> None:
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.ReadImage(str(objects["overlay"]))
    assert image.GetSize() == (SIZE[1], SIZE[0], 6)


def test_a_validator_finds_no_error(objects) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian's dicom3tools) is not installed")
    for path in objects.values():
        assert errors_of(path) == []


def errors_of(path: Path) -> list[str]:
    """What `dciodvfy` says is wrong with an object."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    assert done.stderr.strip(), "the validator said nothing"
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


def test_a_source_without_a_study_is_refused(write_dicom, tmp_path: Path) -> None:
    path = write_dicom(np.zeros((2, 64, 64), np.uint8))
    with pytest.raises(ArgumentError, match="StudyInstanceUID"):
        read_source(path)
    other = tmp_path / "clip.avi"
    other.write_bytes(b"RIFF" + bytes(200))
    with pytest.raises(ArgumentError, match="DICOM source"):
        read_source(other)
