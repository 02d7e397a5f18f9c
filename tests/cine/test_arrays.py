"""Array files and folders of pictures: images over time, and what is told about them."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from cineflow.cine import Cine, DecodeError, VolumeCine, read_cine, read_clip
from cineflow.cine.errors import SingleFrameError, TooLargeError

FRAMES = np.random.default_rng(0).integers(0, 256, (6, 48, 64)).astype(np.uint8)


def test_npz_of_images(tmp_path: Path) -> None:
    sector = np.ones((48, 64), bool)
    sector[:5] = False
    times = [0.0, 20.0, 41.0, 60.0, 80.0, 100.0]
    np.savez(
        tmp_path / "c.npz", frames=FRAMES, times_ms=times, spacing_mm=[0.5, 0.4], sector=sector
    )
    for clip in (read_cine(tmp_path / "c.npz"), read_clip(tmp_path / "c.npz")):
        assert isinstance(clip, Cine)
        np.testing.assert_array_equal(clip.frames, FRAMES * sector)
        np.testing.assert_allclose(clip.times_ms, times)
        assert clip.spacing_mm == (0.5, 0.4)


def test_nifti_of_one_slice_is_a_clip(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(FRAMES.transpose(2, 1, 0)[:, :, None], np.eye(4))
    image.header.set_zooms((0.4, 0.5, 8.0, 0.03))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, tmp_path / "c.nii.gz")
    clip = read_clip(tmp_path / "c.nii.gz")
    assert isinstance(clip, Cine)
    np.testing.assert_array_equal(clip.frames, FRAMES)
    assert clip.spacing_mm == pytest.approx((0.5, 0.4))
    np.testing.assert_allclose(np.diff(clip.times_ms), 30.0, rtol=1e-6)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_itk_files(suffix: str, tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    volumes = np.stack([FRAMES, FRAMES], axis=1)
    for stored, kind in ((FRAMES[:, None], Cine), (volumes, VolumeCine)):
        # A 4-D image is written as a vector image by default, so its slices are joined.
        image = itk.JoinSeries([itk.GetImageFromArray(volume) for volume in stored])
        image.SetSpacing((0.4, 0.5, 8.0, 1.0))
        itk.WriteImage(image, str(tmp_path / f"c{suffix}"))
        clip = read_clip(tmp_path / f"c{suffix}")
        assert isinstance(clip, kind)
        assert clip.spacing_mm == pytest.approx((8.0, 0.5, 0.4)[-(clip.frames.ndim - 1) :])
        assert "no times" in " ".join(clip.notes)
    itk.WriteImage(itk.GetImageFromArray(FRAMES), str(tmp_path / f"c{suffix}"))
    with pytest.raises(DecodeError, match="third axis is not said to be time"):
        read_clip(tmp_path / f"c{suffix}")


def test_a_folder_of_pictures_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for index, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / f"frame{7 + index}.png")  # 7 .. 12
    (tmp_path / "Thumbs.db").write_bytes(b"not a picture")
    clip = read_cine(tmp_path)
    np.testing.assert_array_equal(clip.frames, FRAMES)
    assert "30 Hz was assumed" in " ".join(clip.notes)


def test_pictures_that_are_refused(tmp_path: Path) -> None:
    Image.fromarray(FRAMES[0]).save(tmp_path / "1.png")
    with pytest.raises(SingleFrameError):
        read_cine(tmp_path)
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:500])
    with pytest.raises(DecodeError, match="picture 2, which is damaged"):
        read_cine(tmp_path)
    Image.fromarray(FRAMES[0, :20]).save(tmp_path / "2.png")
    with pytest.raises(DecodeError, match="picture 2 of 20x64"):
        read_cine(tmp_path)
    Image.fromarray(FRAMES[0].astype(np.uint16)).save(tmp_path / "2.png")
    with pytest.raises(DecodeError, match="another depth"):
        read_cine(tmp_path)
    pages = [Image.fromarray(frame) for frame in FRAMES]
    (tmp_path / "2.png").unlink()
    pages[0].save(tmp_path / "2.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DecodeError, match="picture 2, which has 6"):
        read_cine(tmp_path)
    (tmp_path / "2.tif").unlink()
    header = bytearray((tmp_path / "1.png").read_bytes())
    header[16:24] = struct.pack(">II", 60_000, 4_000)
    header[29:33] = struct.pack(">I", zlib.crc32(header[12:29]))
    (tmp_path / "2.png").write_bytes(header)
    with pytest.raises(TooLargeError, match="picture 2, which is larger"):
        read_cine(tmp_path)


@pytest.mark.parametrize(
    "values",
    [FRAMES.astype(np.uint16) << 4, FRAMES.astype(np.float32) / 255, FRAMES.astype(np.int32) * 999],
    ids=["12 bits in 16", "0 to 1", "32 bits"],
)
def test_deep_pictures_are_scaled_over_the_whole_clip(tmp_path: Path, values: np.ndarray) -> None:
    """Cut to the upper 8 of 16 bits, they had 16 levels, or were black or white."""
    for index, frame in enumerate(values):
        Image.fromarray(frame).save(tmp_path / f"{index}.tif")
    clip = read_cine(tmp_path)
    assert FRAMES.min() == 0
    assert FRAMES.max() == 255
    np.testing.assert_array_equal(clip.frames, FRAMES)
    assert any("were scaled to 0..255" in note for note in clip.notes)


def printed_by(path: Path) -> tuple[str, str]:
    """What a program of its own prints that reads a file, without pytest's handlers."""
    code = (
        "import cineflow.cine\n"
        "try:\n"
        f"    cineflow.cine.read_cine({str(path)!r})\n"
        "except cineflow.errors.CineError:\n"
        "    pass"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_a_tag_is_not_quoted_by_a_warning(write_dicom) -> None:
    path = write_dicom(FRAMES, SOPClassUID="1.2.3.45678901")
    path.write_bytes(path.read_bytes().replace(b"1.2.3.45678901", b"1.2.3.ZYXWVUTS"))  # no UID
    assert printed_by(path) == ("", "")


def test_what_nibabel_repairs_is_not_printed(tmp_path: Path) -> None:
    """Python itself prints the warnings of a logger that has no handler."""
    path = tmp_path / "clip.nii"
    nibabel.save(nibabel.Nifti1Image(FRAMES.transpose(2, 1, 0)[:, :, None], np.eye(4)), path)
    damaged = bytearray(path.read_bytes())
    damaged[108:112] = np.float32(np.nan).tobytes()  # vox_offset
    path.write_bytes(damaged)
    assert printed_by(path) == ("", "")


def test_a_stated_limit_holds_for_every_format(tmp_path: Path, write_dicom) -> None:
    limit = FRAMES.nbytes - 1
    np.savez(tmp_path / "c.npz", frames=FRAMES)
    nibabel.save(
        nibabel.Nifti1Image(FRAMES.transpose(2, 1, 0)[:, :, None], np.eye(4)), tmp_path / "c.nii"
    )
    (tmp_path / "pictures").mkdir()
    for index, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / "pictures" / f"{index}.png")
    for path in (
        tmp_path / "c.npz",
        tmp_path / "c.nii",
        tmp_path / "pictures",
        write_dicom(FRAMES),
    ):
        with pytest.raises(TooLargeError, match="6 frames of 48x64"):
            read_cine(path, limit_bytes=limit)
        assert len(read_cine(path, limit_bytes=limit + 1)) == 6
