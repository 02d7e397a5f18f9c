"""Memory: small files that ask for much are refused before it is taken, and large clips fit.

The peak is that of a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

CHILD = """
import json, sys
from cineflow.cine import default_clip, read_cine
from cineflow.errors import CineflowError

def peak():
    # Of this program alone: getrusage would begin with the peak of the one that started it.
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])

default_clip()  # loads the libraries
before, found = peak(), []
for path in sys.argv[1:]:
    try:
        clip = read_cine(path)
        found.append([clip.frames.nbytes, clip.notes])
    except CineflowError as error:
        found.append([type(error).__name__, error.got])
    print(json.dumps([found[-1], peak() - before]))
"""
FRAMES = np.random.default_rng(1).integers(0, 256, (2, 64, 64)).astype(np.uint8)


def read_apart(*paths: Path) -> list[tuple[list, int]]:
    """For each file: what became of it, and the bytes that the process had grown by since then."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=280,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def zeros(path: Path, count: int, rows: int, columns: int) -> Path:
    """Grow the pixels of an object with one frame of 16 bits, as a sparse file of zeros."""
    size = 2 * count * rows * columns
    header = pydicom.dcmread(path)
    header.NumberOfFrames, header.Rows, header.Columns = count, rows, columns
    header.RescaleSlope, header.RescaleIntercept = 2.0, -10.0
    header.PixelData = b""
    header.save_as(path)
    data = path.read_bytes()
    assert data.endswith(b"OW" + bytes(6))
    path.write_bytes(data[:-4] + size.to_bytes(4, "little"))
    with path.open("r+b") as file:
        file.truncate(len(data) + size)
    return path


def encoded(path: Path, frames: list[bytes], syntax: str, **tags: object) -> Path:
    header = pydicom.dcmread(path)
    header.file_meta.TransferSyntaxUID = syntax
    header.PixelData = encapsulate(frames)
    header["PixelData"].VR = "OB"
    for keyword, value in tags.items():
        setattr(header, keyword, value)
    header.save_as(path)
    return path


def test_bombs_are_refused_before_memory_is_taken(write_dicom, tmp_path: Path) -> None:
    run = b"\x81\x00" * 2_000_000  # 254 MB of zeros
    rle = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + run
    wide = b"\xff\xd8\xff\xc0\x00\x0b\x08\xea\x60\xea\x60\x01\x01\x11\x00" + bytes(50)
    deflated = write_dicom(FRAMES, name="deflated.dcm")
    data = deflated.read_bytes()
    at = data.index(b"\x08\x00\x16\x00")  # the first element after the file's own
    header = pydicom.dcmread(deflated)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(deflated)
    start = deflated.read_bytes()
    meta = 144 + int.from_bytes(start[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(data[at:]) + packer.flush(zlib.Z_FULL_FLUSH)
    packed += 600 * (packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH))
    packed += packer.flush()
    deflated.write_bytes(start[:meta] + packed)
    bombs = {
        write_dicom(FRAMES, name="million.dcm", NumberOfFrames=1_000_000): "TruncatedError",
        write_dicom(FRAMES, name="wide.dcm", Rows=60000, Columns=60000): "TruncatedError",
        encoded(
            write_dicom(FRAMES, name="jpeg.dcm"),
            [wide, wide],
            JPEGBaseline8Bit,
            Rows=60000,
            Columns=60000,
        ): "TooLargeError",
        encoded(
            write_dicom(FRAMES, name="stream.dcm"), [wide, wide], JPEGBaseline8Bit
        ): "DecodeError",
        encoded(write_dicom(FRAMES, name="rle.dcm"), [rle, rle], RLELossless): "DecodeError",
        encoded(
            write_dicom(FRAMES, name="many.dcm"), [rle[:900]] * 2, RLELossless, NumberOfFrames=10**6
        ): "TruncatedError",
        deflated: "TooLargeError",
    }
    size = (48, 480, 640)
    deep = zeros(write_dicom(FRAMES[:1].astype(np.uint16), name="deep.dcm"), *size)
    *refused, read = read_apart(*bombs, deep)
    for (outcome, grown), error in zip(refused, bombs.values(), strict=True):
        assert outcome[0] == error, outcome
        assert grown < 40e6, f"{error} after {grown / 1e6:.0f} MB"
    check_deep(read, size)


@pytest.mark.slow
def test_a_large_deep_clip_takes_little_more_than_its_grey_levels(write_dicom) -> None:
    size = (600, 768, 1024)
    (read,) = read_apart(zeros(write_dicom(FRAMES[:1].astype(np.uint16)), *size))
    check_deep(read, size)
    assert read[1] < 1.5 * np.prod(size)


def array_files(folder: Path, clip: np.ndarray) -> dict[str, Callable[[], Path]]:
    """How to write a clip [T, H, W] of 64-bit numbers in every format and layout."""
    import nibabel

    itk = pytest.importorskip("SimpleITK")

    def npz(frames: np.ndarray, save: Callable = np.savez) -> Path:
        save(folder / "c.npz", frames=frames)
        return folder / "c.npz"

    def nifti(suffix: str) -> Path:
        image = nibabel.Nifti1Image(clip.transpose(2, 1, 0)[:, :, None], np.eye(4))
        nibabel.save(image, folder / f"c{suffix}")
        return folder / f"c{suffix}"

    def written(suffix: str, packed: bool) -> Path:
        image = itk.JoinSeries([itk.GetImageFromArray(frame[None]) for frame in clip])
        itk.WriteImage(image, str(folder / f"c{suffix}"), useCompression=packed)
        return folder / f"c{suffix}"

    return {
        "npz": lambda: npz(clip),
        "npz, deflated": lambda: npz(clip, np.savez_compressed),
        "npz, Fortran order": lambda: npz(np.asfortranarray(clip)),
        "npz, RGB": lambda: npz(np.repeat(clip[..., None].astype(np.uint8), 3, axis=-1)),
        "nii": lambda: nifti(".nii"),
        "nii.gz": lambda: nifti(".nii.gz"),
        "mha": lambda: written(".mha", False),
        "mha, deflated": lambda: written(".mha", True),
        "nrrd": lambda: written(".nrrd", False),
        "nrrd, deflated": lambda: written(".nrrd", True),
    }


@pytest.mark.slow
def test_array_files_take_little_more_than_their_grey_levels(tmp_path: Path) -> None:
    """Eight bytes for each pixel in the file, one and a half in memory."""
    noise = np.random.default_rng(2).integers(0, 256, (120, 60, 80)).astype(np.float64)
    small = tmp_path / "small"
    small.mkdir()
    loaded = [write() for write in array_files(small, noise[:4]).values()]
    clip = noise.repeat(8, axis=1).repeat(8, axis=2)
    for name, write in array_files(tmp_path, clip).items():
        path = write()
        *_, (_, before), (outcome, grown) = read_apart(*dict.fromkeys(loaded), path)
        path.unlink()
        assert outcome[0] == clip.size, f"{name}: {outcome}"
        times = (grown - before) / clip.size
        print(f"{name}: {times:.2f} times")
        assert times < 1.5, name


def check_deep(read: tuple[list, int], size: tuple[int, int, int]) -> None:
    (nbytes, notes), grown = read
    assert nbytes == np.prod(size)
    assert "All frames are black" in " ".join(notes)
    few_frames = 40 * size[1] * size[2]  # counting the values of a frame takes eight bytes for each
    assert grown < 1.1 * nbytes + few_frames
