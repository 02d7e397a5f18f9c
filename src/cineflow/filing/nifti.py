"""Motion of a clip as a NIfTI file: a displacement vector for each pixel and frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.report import ResultFile

#: NIfTI's intent code of a displacement vector, and of an extension that is plain text.
_DISPLACEMENT, _COMMENT = 1006, 6


def write_motion(
    path: Path,
    arrays: ResultFile,
    spacing_mm: tuple[float, ...] | None,
    period_ms: float,
    about: Mapping[str, Any],
    name: str = "displacement",
) -> Path | None:
    """Write one of a stream's motion fields.

    The array is [x, y, z, t, component] as NIfTI orders a vector over time; images have one slice.
    Components run along the axes x, y (and z) of the array. The header's units are mm and ms with
    a calibration; without one the unit of length is left unknown, and the values are pixels. The
    reference frame of each time and all of `about` stand in an extension as JSON.

    Args:
        path: The .nii or .nii.gz file; its folder exists.
        arrays: What the stream gave, with `name` and `indices`.
        spacing_mm: mm per pixel along the frame's axes, (row, column) or (slice, row, column).
        period_ms: Time between frames.
        about: Units and provenance.
        name: "displacement" (since the reference frame) or "flow" (since the previous frame).

    Returns:
        `path`; None where the model gave no such motion.

    Raises:
        ArgumentError: Fields of different sizes.
    """
    import nibabel

    library: Any = nibabel  # its functions have no types
    found = list(arrays.rows(name))
    if not found:
        return None
    if len({field.shape for _, field in found}) > 1:
        raise ArgumentError(f"{name} of one size", "several sizes")
    frames = [frame for frame, _ in found]
    # [T, c, (z,) y, x] to [x, y, z, T, c]
    stacked = np.stack([field for _, field in found])
    if stacked.ndim == 4:
        stacked = stacked[:, :, None]
    values = np.ascontiguousarray(stacked.transpose(4, 3, 2, 0, 1), np.float32)
    unit = "px" if spacing_mm is None else "mm"
    steps = (1.0,) * 3 if spacing_mm is None else (*reversed(spacing_mm), 1.0)[:3]
    values *= np.array(steps, np.float32)[: values.shape[-1]]
    indices = dict(arrays.rows("indices"))
    references = [int(indices[frame][2]) for frame in frames if frame in indices]
    image = library.Nifti1Image(values, None)
    header = image.header
    header.set_zooms((*steps, period_ms, 1.0))
    header.set_xyzt_units("unknown" if spacing_mm is None else "mm", "msec")
    header.set_intent(_DISPLACEMENT, name=f"{name} {unit}")
    since = "reference frame" if name == "displacement" else "previous frame"
    header["descrip"] = f"{name} since the {since}, {unit}, x right y down"[:79]
    text = json.dumps(
        {
            **about,
            "array": name,
            "unit": unit,
            "axes": ["x", "y", "z", "time", "component"],
            "components": ["x right", "y down", "z"][: values.shape[-1]],
            "since": since,
            "frame_numbers": frames,
            "reference_frame_of_each": references,
        }
    )
    extension = library.nifti1.Nifti1Extension(_COMMENT, text.encode())
    header.extensions.append(extension)
    library.save(image, path)
    return path
