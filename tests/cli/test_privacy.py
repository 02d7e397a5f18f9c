"""A name planted in tags, in the file's name and in the pixels appears in no output."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageSequence
from typer.testing import CliRunner

from cineflow.cine import read_cine
from cineflow.cli import _app

NAME = "ZWICKY"


def planted(write_dicom) -> tuple[Path, np.ndarray, np.ndarray]:
    """A curved array with a name over its hollow face; its first frame, and the name's picture."""
    wedge = np.zeros((128, 192), np.uint8)
    cv2.ellipse(wedge, (96, -40), (165, 165), 0, 52, 128, 1, -1)
    cv2.circle(wedge, (96, -40), 72, 0, -1)
    written = np.zeros_like(wedge)
    cv2.putText(written, NAME, (72, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255)
    rng = np.random.default_rng(3)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (160, 224)), (5, 5), 0)
    frames = []
    for index in range(10):
        moved = texture[8 + index // 2 :][:128, 8 + index :][:, :192]
        frame = np.where(wedge, np.clip(90 + 250 * moved, 1, 255), 0).astype(np.uint8)
        frames.append(np.maximum(frame, np.where(wedge, 0, written)))
    path = write_dicom(
        np.stack(frames),
        name=f"{NAME}_ANNE.dcm",
        PatientName=f"{NAME}^ANNE",
        PatientID=f"{NAME}1",
        PatientComments=f"{NAME} was here",
        StudyDescription=f"study of {NAME}",
        SeriesDescription=NAME,
        DeviceSerialNumber=NAME,
        BurnedInAnnotation="YES",
    )
    rows, columns = np.nonzero(written)
    name = written[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return path, frames[0], name


def pictures_of(file: Path) -> list[np.ndarray]:
    """Every frame of every picture in a file, grey."""
    data = file.read_bytes()
    found = [data] if file.suffix in (".png", ".gif", ".webp") else []
    for code in re.findall(rb"data:image/[a-z]+;base64,([A-Za-z0-9+/=]+)", data):
        found.append(base64.b64decode(code))
    return [
        np.asarray(frame.convert("L"))
        for one in found
        for frame in ImageSequence.Iterator(Image.open(io.BytesIO(one)))
    ]


def seen(picture: np.ndarray, name: np.ndarray) -> float:
    """How much the best place in a picture looks like the name: 1 for the name itself."""
    if any(side < least for side, least in zip(picture.shape, name.shape, strict=True)):
        return 0.0
    best = 0.0
    for scale in (1, 2, 3):
        larger = cv2.resize(name, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        if all(side >= least for side, least in zip(picture.shape, larger.shape, strict=True)):
            match = cv2.matchTemplate(picture, larger, cv2.TM_CCOEFF_NORMED)
            best = max(best, float(np.nanmax(match[np.isfinite(match)], initial=0)))
    return best


def test_the_name_is_in_no_output(server, write_dicom, tmp_path: Path) -> None:
    path, first, name = planted(write_dicom)
    assert seen(first, name) > 0.95, "the test would not see a name"
    clip = read_cine(path)
    assert max(seen(frame, name) for frame in clip.frames) < 0.6
    assert "BurnedInAnnotation YES" in clip.burned_in
    assert NAME not in repr((clip.notes, clip.name, clip.spacing_reason, clip.burned_in))

    folder = tmp_path / "out"
    arguments = ["stream", path, "--url", server.url, "--out", folder]
    done = CliRunner().invoke(_app(), list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert NAME not in done.output.upper().replace(str(path).upper(), "")
    files = [file for file in folder.rglob("*") if file.is_file()]
    shown = 0
    for file in files:
        assert NAME not in file.read_bytes().decode("latin-1").upper(), file.name
        for picture in pictures_of(file):
            shown += 1
            assert seen(picture, name) < 0.6, file.name
    assert shown >= 10
    with np.load(folder / "result.npz") as arrays:
        for key in arrays.files:
            assert NAME not in str(arrays[key].dtype) + key
