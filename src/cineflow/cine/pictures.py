"""A folder of pictures, one per frame, in the order of the numbers in their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from cineflow.cine.assemble import Parts, assemble
from cineflow.cine.clip import Cine
from cineflow.cine.errors import DecodeError, SingleFrameError, TooLargeError
from cineflow.cine.limits import check_size
from cineflow.cine.timing import FALLBACK_HZ, evenly
from cineflow.errors import CineError

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm"}
_FORMATS = ["PNG", "JPEG", "BMP", "TIFF", "PPM"]


def read_pictures(paths: list[Path], limit_bytes: int | None = None) -> Cine:
    """Read pictures as the frames of a clip. They have no times, so 30 Hz is assumed.

    Pictures of more than 8 bits are scaled from the lowest to the highest value of all of them.

    Raises:
        SingleFrameError: There is one picture.
        DecodeError: A picture is damaged, has several pages, or another size or depth than the
            first.
        TooLargeError: The frames exceed the limit.
    """
    if len(paths) < 2:
        raise SingleFrameError("two pictures or more", "one", "Motion needs a sequence.")
    ordered = sorted(paths, key=lambda path: (_numbers(path.stem), path.name))
    frames: np.ndarray | None = None
    deep = False
    low, high = np.inf, -np.inf
    for index, path in enumerate(ordered):
        with _opened(path, index) as image:
            if frames is None:
                check_size(len(ordered), image.height, image.width, limit_bytes)
                frames = np.empty((len(ordered), image.height, image.width), np.uint8)
                deep = _is_deep(image)
            if (image.height, image.width) != frames.shape[1:] or _is_deep(image) != deep:
                other = "" if _is_deep(image) == deep else " and another depth"
                raise DecodeError(
                    f"pictures of {frames.shape[1]}x{frames.shape[2]}, as the first",
                    f"picture {index + 1} of {image.height}x{image.width}{other}",
                    "Give a folder that holds one clip.",
                )
            if not deep:
                frames[index] = np.asarray(image.convert("L"))
                continue
            values = np.asarray(image)
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    assert frames is not None
    notes = [f"Pictures have no times; {FALLBACK_HZ:g} Hz was assumed."]
    if deep:
        if not np.isfinite([low, high]).all():
            raise DecodeError(
                "finite grey levels", "pictures with others", "Export the pictures again."
            )
        for index, path in enumerate(ordered):
            with _opened(path, index) as image:
                level = (np.asarray(image).astype(np.float64) - low) * (255 / max(high - low, 1e-9))
                frames[index] = np.rint(np.clip(level, 0, 255))
        notes.append(f"Grey levels {low:g}..{high:g} were scaled to 0..255.")
    return assemble(
        Parts(
            frames=frames,
            times_ms=evenly(1000 / FALLBACK_HZ, len(frames)),
            spacing=lambda sector: (None, "pictures have no calibration: pixels only"),
            notes=notes,
        )
    )


@contextmanager
def _opened(path: Path, index: int) -> Iterator[Image.Image]:
    """A picture, with the errors of Pillow as ours."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            pages = getattr(image, "n_frames", 1)
            if pages > 1:
                raise DecodeError(
                    "pictures of one page",
                    f"picture {index + 1}, which has {pages}",
                    "Store each page as a picture of its own.",
                )
            yield image
    except (CineError, OSError) as error:
        if isinstance(error, CineError) or error.filename is not None:
            raise
        raise _damaged(index, error) from error
    except Image.DecompressionBombError as error:
        raise TooLargeError(
            f"pictures of at most {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels",
            f"picture {index + 1}, which is larger",
            "Export smaller pictures.",
        ) from error
    except Exception as error:  # Pillow raises many types on damaged files
        raise _damaged(index, error) from error


def _damaged(index: int, error: Exception) -> DecodeError:
    return DecodeError(
        "a picture that can be decoded",
        f"picture {index + 1}, which is damaged ({type(error).__name__})",
        "Export the pictures again.",
    )


def _is_deep(image: Image.Image) -> bool:
    """Whether a picture has grey levels of more than 8 bits."""
    return image.mode == "F" or image.mode.startswith("I")


def _numbers(text: str) -> list[int]:
    return [int(digits[:18]) for digits in re.findall(r"\d+", text)]
