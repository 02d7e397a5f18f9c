"""Phantoms are written and read back with common readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from cineflow.cine import read_cine
from cineflow.cine.errors import UnknownTypeError
from cineflow.errors import ArgumentError
from cineflow.phantom import Beat, Phantom, Shadow, ShortAxisPhantom, Tissue, ventricle
from cineflow.phantom.io import KINDS, make, save
from cineflow.phantom.picture import planes


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return ShortAxisPhantom(5, size=(96, 112), beat=Beat(frame_rate_hz=8.0))


def test_npz_holds_the_truth(phantom: Phantom, tmp_path: Path) -> None:
    with np.load(save(phantom, tmp_path / "a" / "p.npz")) as data:
        np.testing.assert_array_equal(data["frames"], phantom.frames)
        np.testing.assert_array_equal(data["displacement"][3], phantom.displacement(3))
        np.testing.assert_array_equal(data["myocardium"][2], phantom.myocardium(2))
        assert tuple(data["spacing_mm"]) == phantom.spacing_mm
        assert list(data["es"]) == [phantom.es]


def test_dicom_reads_back_with_its_calibration(phantom: Phantom, tmp_path: Path) -> None:
    cine = read_cine(save(phantom, tmp_path / "p.dcm"))
    assert cine.spacing_mm == pytest.approx(phantom.spacing_mm)
    np.testing.assert_allclose(cine.times_ms, phantom.times_ms)
    seen = cine.sector & phantom.sector
    assert seen.sum() > 0.9 * phantom.sector.sum()
    np.testing.assert_array_equal(cine.frames[:, seen], phantom.frames[:, seen])


def test_dicom_is_the_same_file_twice(phantom: Phantom, tmp_path: Path) -> None:
    first, second = (save(phantom, tmp_path / name).read_bytes() for name in ("a.dcm", "b.dcm"))
    assert first == second


def test_nifti_keeps_axes_and_spacing(phantom: Phantom, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.load(save(phantom, tmp_path / "p.nii.gz"))
    data = np.asarray(image.dataobj)
    assert data.shape == (112, 96, 1, len(phantom))
    assert data[70, 50, 0, 3] == phantom.frames[3, 50, 70]
    zooms = image.header.get_zooms()
    assert zooms[3] == pytest.approx(0.125)
    assert zooms[:2] == pytest.approx(phantom.spacing_mm[::-1])


def test_unknown_suffixes_and_kinds_are_refused(phantom: Phantom, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="npz"):
        save(phantom, tmp_path / "p.mp4")
    with pytest.raises(ArgumentError, match="short-axis"):
        make("subcostal")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_made_by_name(kind: str) -> None:
    made = make(kind, 3, frame_rate_hz=5.0, beats=2.0, clutter=0.2, decorrelation=0.1)
    assert len(made) == 10
    assert made.tissue.clutter == 0.2


@pytest.mark.parametrize(("suffix", "frames"), [("gif", 8), ("webp", 8)])
def test_animations_play_at_the_frame_rate(
    phantom: Phantom, tmp_path: Path, suffix: str, frames: int
) -> None:
    with Image.open(save(phantom, tmp_path / f"p.{suffix}")) as picture:
        assert picture.size == (160, 137)
        assert picture.n_frames == frames
        picture.load()
        assert picture.info["duration"] == pytest.approx(125, abs=5)


@pytest.fixture(scope="module")
def volume() -> Phantom:
    sparse = Tissue(density_per_mm3=0.03)  # a tenth of the scatterers, for speed
    return ventricle(5, size=(20, 28, 24), beat=Beat(frame_rate_hz=4.0), tissue=sparse)


def test_npz_of_volumes_holds_the_truth(volume: Phantom, tmp_path: Path) -> None:
    with np.load(save(volume, tmp_path / "p.npz")) as data:
        assert data["frames"].shape == (4, 20, 28, 24)
        assert data["displacement"].shape == (4, 3, 20, 28, 24)
        np.testing.assert_array_equal(data["segments"], volume.segments())
        np.testing.assert_array_equal(data["strain"][1], volume.strain(1))
        assert list(data["strain_names"]) == ["radial", "circumferential", "longitudinal"]
        assert data["key_points"].shape == (4, 17, 3)
        assert data["key_point_names"][16] == "segment 17"


def test_nifti_of_volumes_is_rotated_not_mirrored(volume: Phantom, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.load(save(volume, tmp_path / "p.nii.gz"))
    data = np.asarray(image.dataobj)
    assert data.shape == (24, 28, 20, 4)
    assert data[7, 15, 11, 2] == volume.frames[2, 11, 15, 7]
    step = volume.spacing_mm[0]
    assert image.header.get_zooms() == pytest.approx((step, step, step, 0.25))
    assert image.header["pixdim"][4] == pytest.approx(0.25)
    assert image.header.get_xyzt_units() == ("mm", "sec")
    for affine in (image.affine, image.get_qform(), image.get_sform()):
        np.testing.assert_allclose(affine, np.diag([step, -step, -step, 1.0]), rtol=1e-6)
    assert np.linalg.det(image.affine) > 0


def test_dicom_of_volumes_states_geometry_and_times(volume: Phantom, tmp_path: Path) -> None:
    data = pydicom.dcmread(save(volume, tmp_path / "p.dcm"))
    assert data.SOPClassUID.name == "Enhanced US Volume Storage"
    assert data.NumberOfFrames == 80
    np.testing.assert_array_equal(data.pixel_array.reshape(4, 20, 28, 24), volume.frames)
    shared = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(shared.PixelSpacing[0]) == pytest.approx(volume.spacing_mm[1], rel=1e-5)
    frame = data.PerFrameFunctionalGroupsSequence[20 * 2 + 7]
    assert frame.FrameContentSequence[0].DimensionIndexValues == [3, 8]
    position = frame.PlanePositionVolumeSequence[0].ImagePositionVolume
    assert list(position) == pytest.approx([0.0, 0.0, 7 * volume.spacing_mm[0]])
    assert frame.TemporalPositionSequence[0].TemporalPositionTimeOffset == pytest.approx(0.5)


def test_volumes_are_not_read_as_a_cine_of_slices(volume: Phantom, tmp_path: Path) -> None:
    with pytest.raises(UnknownTypeError, match="volumes"):
        read_cine(save(volume, tmp_path / "p.dcm"))


def test_mr_slices_are_captures_and_mr_volumes_are_refused(tmp_path: Path) -> None:
    beat = Beat(frame_rate_hz=4.0)
    flat = ShortAxisPhantom(0, size=(64, 80), beat=beat, contrast="mr")
    cine = read_cine(save(flat, tmp_path / "flat.dcm"))
    assert cine.spacing_mm == pytest.approx(flat.spacing_mm)
    np.testing.assert_array_equal(cine.frames, flat.frames)
    np.testing.assert_allclose(cine.times_ms, flat.times_ms)
    stack = ventricle(0, size=(16, 16, 16), beat=beat, contrast="mr")
    with pytest.raises(ArgumentError, match=r"nii\.gz"):
        save(stack, tmp_path / "stack.dcm")
    assert not (tmp_path / "stack.dcm").exists()


def test_planes_meet_at_their_point() -> None:
    frames = np.arange(2 * 5 * 6 * 7, dtype=np.uint8).reshape(2, 5, 6, 7)
    shown = planes(frames, (3, 4, 2))
    assert shown.shape == (2, 6, 7 + 4 + 5 + 4 + 7)
    assert shown[1, 4, 2] == shown[1, 4, 11 + 3] == shown[1, 3, 20 + 2] == frames[1, 3, 4, 2]
    assert not shown[:, :, 7:11].any()
    with pytest.raises(ArgumentError, match="inside"):
        planes(frames, (5, 0, 0))
    with pytest.raises(ArgumentError, match="volumes"):
        planes(frames[0])


@pytest.mark.parametrize(
    "arguments",
    [
        {"kind": "ventricle", "size": (64, 64)},
        {"kind": "apical", "size": (64, 64, 64)},
        {"contrast": "mr", "clutter": 0.5},
        {"contrast": "mr", "shadows": [Shadow(0.0, 10.0, 20.0)]},
        {"beats": 0.0},
        {"frame_rate_hz": -1.0},
        {"contrast": "ct"},
    ],
)
def test_invalid_phantoms_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        make(**arguments)


def test_sizes_show_the_same_heart() -> None:
    for kind in ("short-axis", "apical"):
        small, large = (make(kind, size=(n, n)) for n in (64, 128))
        assert small.spacing_mm[0] == pytest.approx(2 * large.spacing_mm[0])
        share = [phantom.myocardium(0).mean() for phantom in (small, large)]
        assert share[0] == pytest.approx(share[1], rel=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_the_docs_show_every_kind_moving_in_a_small_file(kind: str) -> None:
    path = Path(__file__).resolve().parents[2] / "docs" / "img" / f"phantom-{kind}.webp"
    assert path.stat().st_size < 1_000_000
    with Image.open(path) as picture:
        assert picture.n_frames >= 20
