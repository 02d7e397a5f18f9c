"""NIfTI: nibabel reads the header, and the voxels are streamed from its file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.cine.arrays.numbers import Numbers, pieces_of
from cineflow.errors import ArgumentError

_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001}
_MS = {"sec": 1000.0, "msec": 1.0, "usec": 0.001}


def read_nifti(path: Path) -> Numbers:
    """The voxels of a NIfTI file of the axes x, y, z and time.

    Raises:
        ArgumentError: It has other axes.
        Exception: Many types, where the file is damaged.
    """
    import nibabel  # takes a while to load; only this format needs it

    logger = nibabel.imageglobals.logger
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)  # what it repairs, it also prints
    try:
        image: Any = nibabel.load(path)
    finally:
        logger.setLevel(level)
    voxels: Any = image.dataobj
    shape = tuple(int(side) for side in image.shape)
    if len(shape) != 4:
        raise ArgumentError("the axes x, y, z and time", f"{list(shape)}")
    stored = np.dtype(voxels.dtype)
    samples = 1
    if stored.names is not None:  # RGB24 and RGBA32 have a field for each colour
        samples, stored = len(stored.names), stored[0]
    slope, offset = float(voxels.slope), float(voxels.inter)
    scaled = (slope, offset) != (1.0, 0.0)
    count = int(np.prod(shape)) * samples

    def pieces() -> Iterator[np.ndarray]:
        with image.file_map["image"].get_prepare_fileobj("rb") as file:
            file.seek(voxels.offset)
            for piece in pieces_of(file.read, stored, count):
                yield piece * slope + offset if scaled else piece

    zooms = [float(zoom) for zoom in image.header.get_zooms()]
    length, time = image.header.get_xyzt_units()
    return Numbers(
        (*shape[::-1], *((samples,) if samples > 1 else ())),
        np.dtype(np.float64) if scaled else stored,
        pieces,
        about=_scales(zooms, {"length": length, "time": time}, shape[3]),
    )


def _scales(zooms: list[float], units: Mapping[str, str], count: int) -> dict[str, Any]:
    """Times and spacing, where the header states their units."""
    scales: dict[str, Any] = {}
    if units["length"] in _MM and min(zooms[:3]) > 0:
        scales["spacing_mm"] = np.array(zooms[2::-1]) * _MM[units["length"]]
    if units["time"] in _MS and zooms[3] > 0:
        scales["times_ms"] = np.arange(count) * zooms[3] * _MS[units["time"]]
    return scales
