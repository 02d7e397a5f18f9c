"""Phantoms written and read back by the readers that users have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cineflow.cine import read_cine
from cineflow.errors import ArgumentError
from cineflow.phantom import Beat, Phantom, ShortAxisPhantom
from cineflow.phantom.io import VIEWS, make, save


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


def test_names_decide_and_unknown_ones_are_refused(phantom: Phantom, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="npz"):
        save(phantom, tmp_path / "p.mp4")
    with pytest.raises(ArgumentError, match="short-axis"):
        make("subcostal")


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_made_by_name(view: str) -> None:
    made = make(view, 3, frame_rate_hz=5.0, beats=2.0, clutter=0.2, decorrelation=0.1)
    assert len(made) == 10
    assert made.tissue.clutter == 0.2


def test_gif_plays_at_the_frame_rate(phantom: Phantom, tmp_path: Path) -> None:
    with Image.open(save(phantom, tmp_path / "p.gif")) as picture:
        assert picture.size == (56, 48)
        assert picture.n_frames == 4
        assert picture.info["duration"] == 250
