"""Array files of every layout give the same frames, and none is loaded as a whole."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from cineflow.cine import DecodeError, TooLargeError, VolumeCine, read_clip
from cineflow.cine.arrays import Stored, read_array

RNG = np.random.default_rng(5)
#: Larger than a piece that is read at once, with sides that do not divide it.
FRAMES = RNG.integers(0, 256, (7, 181, 203)).astype(np.uint8)
RGB = RNG.integers(0, 256, (5, 143, 161, 3)).astype(np.uint8)


def scaled(values: np.ndarray) -> np.ndarray:
    """From lowest to highest value, over the whole clip."""
    low, high = float(values.min()), float(values.max())
    return np.rint((values.astype(np.float64) - low) * (255 / (high - low)))


def luma(rgb: np.ndarray) -> np.ndarray:
    return rgb[..., :3].astype(np.float64) @ np.array([0.299, 0.587, 0.114])


def read(path: Path) -> Stored:
    stored = read_array(path)
    assert stored.frames.flags.c_contiguous
    assert stored.frames.dtype == np.uint8
    return stored


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_of_any_type_and_order(save: Callable, tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    for dtype in ("u1", "<f8", ">f4", "<i2", ">u2"):
        values = FRAMES.astype(dtype) * (1 if dtype == "u1" else 3)
        wanted = FRAMES if dtype == "u1" else scaled(values)
        for array in (values, np.asfortranarray(values)):
            save(path, frames=array, times_ms=20.0 * np.arange(7))
            np.testing.assert_array_equal(read(path).frames, wanted)


def test_colours_become_luma(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    np.savez(path, frames=RGB)
    stored = read(path)
    assert stored.frames.shape == RGB.shape[:3]
    assert np.abs(stored.frames - luma(RGB)).max() < 0.51
    assert "BT.601" in " ".join(stored.notes)
    np.savez(path, frames=RGB.astype(np.float64) / 255)
    assert np.abs(read(path).frames - scaled(luma(RGB))).max() <= 1
    np.savez(path, frames=np.asfortranarray(RGB))
    with pytest.raises(DecodeError, match="C order"):
        read_array(path)
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    voxels = np.ascontiguousarray(RGB.transpose(2, 1, 0, 3)).view(kind)[..., 0]
    nibabel.save(nibabel.Nifti1Image(voxels[:, :, None], np.eye(4)), tmp_path / "c.nii.gz")
    assert np.abs(read(tmp_path / "c.nii.gz").frames[:, 0] - luma(RGB)).max() < 0.51


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_with_a_scale(suffix: str, tmp_path: Path) -> None:
    voxels = FRAMES.astype(np.int16).transpose(2, 1, 0)[:, :, None]
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    image.header.set_slope_inter(0.25, -7.0)
    nibabel.save(image, tmp_path / f"c{suffix}")
    proxy = nibabel.load(tmp_path / f"c{suffix}")
    stored = read(tmp_path / f"c{suffix}")
    np.testing.assert_array_equal(
        stored.frames[:, 0], scaled(np.asarray(proxy.dataobj)[:, :, 0].transpose(2, 1, 0))
    )
    low, high = (0.25 * float(end) - 7 for end in (FRAMES.min(), FRAMES.max()))
    assert f"Grey levels {low:g}..{high:g}" in " ".join(stored.notes)


META = """ObjectType = Image
NDims = 4
BinaryData = True
BinaryDataByteOrderMSB = {msb}
CompressedData = {packed}
CompressedDataSize = {length}
DimSize = {size}
ElementSpacing = 0.4 0.5 8 1
ElementType = MET_SHORT
ElementDataFile = {file}
"""
NRRD = """NRRD0004
# written by hand
type: short
dimension: 4
sizes: {size}
spacings: 0.4 0.5 8 1
kinds: domain domain domain time
endian: {endian}
encoding: {encoding}
{file}"""


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_metaimage_and_nrrd_as_they_are_written_by_hand(
    big: bool, packed: bool, tmp_path: Path
) -> None:
    """Deflated or not, both byte orders, in one file or in two."""
    itk = pytest.importorskip("SimpleITK")
    volumes = np.stack([FRAMES[:4], FRAMES[3:]], axis=1) * np.int16(5)
    volumes = volumes.astype(">i2" if big else "<i2")
    size = " ".join(map(str, volumes.shape[::-1]))
    packer = zlib.compressobj(wbits=31)
    gzip = packer.compress(volumes.tobytes()) + packer.flush()
    data = {False: (volumes.tobytes(),) * 2, True: (zlib.compress(volumes.tobytes()), gzip)}[packed]
    endian, encoding = "big" if big else "little", "gzip" if packed else "raw"
    made = {}
    for alone in (True, False):
        meta = META.format(
            msb=big,
            packed=packed,
            length=len(data[0]),
            size=size,
            file="LOCAL" if alone else "voxels.bin",
        )
        path = tmp_path / ("c.mha" if alone else "c.mhd")
        path.write_bytes(meta.encode() + (data[0] if alone else b""))
        (tmp_path / "voxels.bin").write_bytes(data[0])
        made[path] = meta
        nrrd = NRRD.format(
            size=size,
            endian=endian,
            encoding=encoding,
            file="\n" if alone else "data file: voxels.gz\n\n",
        )
        path = tmp_path / ("c.nrrd" if alone else "c.nhdr")
        path.write_bytes(nrrd.encode() + (data[1] if alone else b""))
        (tmp_path / "voxels.gz").write_bytes(data[1])
        made[path] = nrrd
    for path in made:
        stored = read(path)
        np.testing.assert_array_equal(stored.frames, scaled(volumes), err_msg=path.name)
        assert stored.spacing_mm == pytest.approx((8.0, 0.5, 0.4))
        # SimpleITK reads the same numbers.
        np.testing.assert_array_equal(
            itk.GetArrayFromImage(itk.ReadImage(str(path))), volumes.astype(int), path.name
        )
    short = tmp_path / "c.mha"
    short.write_bytes(short.read_bytes()[: -len(data[0]) // 2])
    with pytest.raises(DecodeError, match="damaged"):
        read_array(short)


def test_itk_of_colours_vectors_and_text(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    for suffix in ("mha", "nrrd"):
        for samples in (3, 2):
            frames = [
                itk.GetImageFromArray(frame[None, ..., :samples], isVector=True) for frame in RGB
            ]
            itk.WriteImage(itk.JoinSeries(frames), str(tmp_path / f"{samples}.{suffix}"))
        stored = read(tmp_path / f"3.{suffix}")
        assert np.abs(stored.frames[:, 0] - luma(RGB)).max() < 0.51
        with pytest.raises(DecodeError, match="vectors of 2"):
            read_array(tmp_path / f"2.{suffix}")
    volumes = FRAMES[:, None, :9, :9]
    text = META.format(msb=False, packed=False, length=0, size="9 9 1 7", file="LOCAL")
    text = text.replace("BinaryData = True", "BinaryData = False")
    (tmp_path / "t.mha").write_text(text + " ".join(map(str, volumes.ravel())) + "\n")
    np.testing.assert_array_equal(read(tmp_path / "t.mha").frames, scaled(volumes))


@pytest.mark.parametrize("binary", ["True", "False"])
@pytest.mark.parametrize("file", ["../voxels.bin", "/voxels.bin", "LIST\na.raw\n../b.raw"])
def test_a_header_names_no_file_outside_its_folder(binary: str, file: str, tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK")
    (tmp_path / "voxels.bin").write_bytes(FRAMES.astype("<i2").tobytes())
    folder = tmp_path / "of a stranger"
    folder.mkdir()
    size = " ".join(map(str, FRAMES[:, None].shape[::-1]))
    meta = META.format(msb=False, packed=False, length=0, size=size, file=file)
    (folder / "c.mhd").write_text(meta.replace("BinaryData = True", f"BinaryData = {binary}"))
    nrrd = NRRD.format(size=size, endian="little", encoding="raw", file=f"data file: {file}\n\n")
    (folder / "c.nhdr").write_text(nrrd)
    for path in (folder / "c.mhd", folder / "c.nhdr"):
        with pytest.raises(DecodeError, match="a header that names others"):
            read_array(path)


def test_levels_far_from_zero_stay_apart(tmp_path: Path) -> None:
    """In float32 there are 128 between 1e9 and the next number."""
    path = tmp_path / "c.npz"
    np.savez(path, frames=FRAMES + 1e9)
    np.testing.assert_array_equal(read(path).frames, scaled(FRAMES.astype(np.float64)))


def test_sizes_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    np.savez_compressed(path, frames=FRAMES, sector=np.zeros((4000, 4000), bool))
    with pytest.raises(DecodeError, match="sector that fits the frames"):
        read_clip(path)
    np.savez(path, frames=RGB.astype(np.float64))
    with pytest.raises(TooLargeError, match="5 frames of 143x161"):
        read_clip(path, limit_bytes=RGB[..., 0].size - 1)
    read_clip(path, limit_bytes=RGB[..., 0].size)
    np.savez(path, frames=FRAMES[:, None].repeat(2, axis=1))
    assert isinstance(read_clip(path), VolumeCine)
