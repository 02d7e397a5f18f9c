"""A folder of pictures, one per frame, in the order of the numbers in their names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image

from cineflow.cine.assemble import Parts, assemble
from cineflow.cine.clip import Cine
from cineflow.cine.errors import DecodeError, SingleFrameError
from cineflow.cine.limits import check_size
from cineflow.cine.timing import FALLBACK_HZ, evenly
from cineflow.errors import CineError

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm"}
_FORMATS = ["PNG", "JPEG", "BMP", "TIFF", "PPM"]


def read_pictures(paths: list[Path], limit_bytes: int | None = None) -> Cine:
    """Read pictures as the frames of a clip. They have no times, so 30 Hz is assumed.

    Raises:
        SingleFrameError: There is one picture.
        DecodeError: A picture is damaged, or has another size than the first.
        TooLargeError: The frames exceed the limit.
    """
    if len(paths) < 2:
        raise SingleFrameError("two pictures or more", "one", "Motion needs a sequence.")
    ordered = sorted(paths, key=lambda path: (_numbers(path.stem), path.name))
    frames: np.ndarray | None = None
    deep = False
    for index, path in enumerate(ordered):
        try:
            with Image.open(path, formats=_FORMATS) as image:
                if frames is None:
                    check_size(len(ordered), image.height, image.width, limit_bytes)
                    frames = np.empty((len(ordered), image.height, image.width), np.uint8)
                if (image.height, image.width) != frames.shape[1:]:
                    raise DecodeError(
                        f"pictures of {frames.shape[1]}x{frames.shape[2]}, as the first",
                        f"picture {index + 1} of {image.height}x{image.width}",
                        "Give a folder that holds one clip.",
                    )
                deep |= image.mode.startswith("I")
                frames[index] = _grey(image)
        except CineError:
            raise
        except Exception as error:  # Pillow raises many types on damaged files
            raise DecodeError(
                "a picture that can be decoded",
                f"picture {index + 1}, which is damaged ({type(error).__name__})",
                "Export the pictures again.",
            ) from error
    assert frames is not None
    notes = [f"Pictures have no times; {FALLBACK_HZ:g} Hz was assumed."]
    if deep:
        notes.append("Grey levels of 16 bits were cut to their upper 8.")
    return assemble(
        Parts(
            frames=frames,
            times_ms=evenly(1000 / FALLBACK_HZ, len(frames)),
            spacing=lambda sector: (None, "pictures have no calibration: pixels only"),
            notes=notes,
        )
    )


def _grey(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits, also where Pillow holds them in 32
        return (np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8)
    return np.asarray(image.convert("L"))


def _numbers(text: str) -> list[int]:
    return [int(digits[:18]) for digits in re.findall(r"\d+", text)]
