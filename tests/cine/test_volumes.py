"""Sequences of volumes come from the files that `cineflow phantom` and others write."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from cineflow.cine import (
    Cine,
    DecodeError,
    MissingFileError,
    SingleFrameError,
    VolumeCine,
    padded,
    read_clip,
    read_volumes,
)
from cineflow.errors import ArgumentError, CineError
from cineflow.phantom import io

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 6)).astype(np.uint8)


def npz(path: Path, **arrays) -> Path:
    np.savez(path / "v.npz", **arrays)
    return path / "v.npz"


def nifti(path: Path, stored=None, zooms=(0.5, 1.0, 2.0, 0.04), units=("mm", "sec")) -> Path:
    stored = FRAMES.transpose(3, 2, 1, 0) if stored is None else stored
    image = nibabel.Nifti1Image(np.ascontiguousarray(stored), np.eye(4))
    image.header.set_zooms(zooms[: stored.ndim])
    image.header.set_xyzt_units(*units)
    nibabel.save(image, path / "v.nii.gz")
    return path / "v.nii.gz"


@pytest.mark.parametrize(
    "suffix",
    [".npz", *(pytest.param(one, marks=pytest.mark.slow) for one in (".nii", ".nii.gz"))],
)
def test_a_phantom_comes_back(suffix: str, tmp_path: Path) -> None:
    made = io.make("ventricle", size=(16, 16, 24), frame_rate_hz=5.0)
    read = read_clip(io.save(made, tmp_path / f"v{suffix}"))
    assert isinstance(read, VolumeCine)
    np.testing.assert_array_equal(read.frames, made.frames)
    np.testing.assert_allclose(read.times_ms, made.times_ms)
    np.testing.assert_allclose(read.spacing_mm, made.spacing_mm, rtol=1e-6)
    assert read.size == (16, 16, 24)
    assert read.notes == ()


def test_the_middle_slice_is_a_clip(tmp_path: Path) -> None:
    sector = np.ones((4, 5, 6), bool)
    sector[2, 0] = False
    read = read_volumes(npz(tmp_path, frames=FRAMES, spacing_mm=[2.0, 1.0, 0.5], sector=sector))
    plane = read.plane()
    assert isinstance(plane, Cine)
    np.testing.assert_array_equal(plane.frames[:, 1:], FRAMES[:, 2, 1:])
    assert not plane.frames[:, 0].any()
    assert plane.spacing_mm == (1.0, 0.5)
    assert np.diff(read.times_ms).tolist() == [50.0, 50.0]
    assert "50 ms per volume are assumed" in read.notes[0]


def test_a_nifti_file_is_read_along_its_axes(tmp_path: Path) -> None:
    read = read_volumes(nifti(tmp_path))
    np.testing.assert_array_equal(read.frames, FRAMES)
    np.testing.assert_allclose(read.spacing_mm, (2.0, 1.0, 0.5))
    np.testing.assert_allclose(read.times_ms, [0, 40, 80], rtol=1e-6)


def test_a_spacing_and_times_without_units_are_not_believed(tmp_path: Path) -> None:
    read = read_volumes(nifti(tmp_path, units=("unknown", "unknown")))
    assert read.spacing_mm is None
    assert "no spacing" in read.spacing_reason
    assert np.diff(read.times_ms).tolist() == [50.0, 50.0]


@pytest.mark.parametrize("dtype", [np.int16, ">i2", np.float32, ">f4"])
def test_other_grey_levels_are_scaled_and_said(dtype, tmp_path: Path) -> None:
    stored = FRAMES.transpose(3, 2, 1, 0).astype(dtype) * 4
    read = read_volumes(nifti(tmp_path, stored))
    low, high = int(FRAMES.min()), int(FRAMES.max())
    np.testing.assert_array_equal(
        read.frames, np.rint((FRAMES - low) * np.float32(255 / (high - low))).astype(np.uint8)
    )
    assert "were scaled to 0..255" in read.notes[0]


def test_black_voxels_fill_a_larger_size() -> None:
    larger = padded(FRAMES[0], (8, 8, 8))
    np.testing.assert_array_equal(larger[:4, :5, :6], FRAMES[0])
    assert larger.shape == (8, 8, 8)
    assert larger.sum() == FRAMES[0].sum()
    with pytest.raises(ArgumentError, match="a size of"):
        padded(FRAMES[0], (8, 8, 3))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"frames": FRAMES[:, 0]}, r"frames \[T, D, H, W\].*got uint8 \[3, 5, 6\]"),
        ({"frames": FRAMES.astype(str)}, "of numbers"),
        ({"frames": np.where(FRAMES > 9, np.nan, FRAMES)}, "finite grey levels"),
        ({"picture": FRAMES}, "the array `frames`"),
        ({"frames": FRAMES, "times_ms": [0.0, 2.0, 1.0]}, "increasing"),
        ({"frames": FRAMES, "spacing_mm": [1.0, 1.0]}, "slice, row, column"),
        ({"frames": FRAMES, "spacing_mm": [1.0, 0.0, 1.0]}, "slice, row, column"),
        ({"frames": FRAMES, "sector": np.ones((5, 6), bool)}, "sector"),
    ],
)
def test_a_file_of_something_else(arrays: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match=message):
        read_volumes(npz(tmp_path, **arrays))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        read_clip(tmp_path / "none.nii.gz")
    with pytest.raises(SingleFrameError):
        read_volumes(npz(tmp_path, frames=FRAMES[:1]))
    for name in ("a.npz", "a.nii", "a.nii.gz"):
        (tmp_path / name).write_text("no volumes")
        with pytest.raises(DecodeError):
            read_clip(tmp_path / name)
    with pytest.raises(DecodeError, match="x, y, z and time"):
        read_volumes(nifti(tmp_path, FRAMES[0]))
    with pytest.raises(CineError):
        read_clip(tmp_path / "none.dcm")


def test_a_spacing_that_no_volume_has_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "volumes.npz"
    np.savez(path, frames=np.zeros((2, 8, 8, 8), np.uint8), spacing_mm=[1e9, 1.0, 1.0])
    read = read_volumes(path)
    assert read.spacing_mm is None
    assert "not believed" in read.spacing_reason
