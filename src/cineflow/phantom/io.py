"""Makes phantoms by name and writes them to disk. The suffix of a file selects its format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError, MissingDependencyError
from cineflow.phantom.beat import Beat
from cineflow.phantom.checks import require_size
from cineflow.phantom.cine import Phantom
from cineflow.phantom.dicom import write_dicom
from cineflow.phantom.picture import write_animation
from cineflow.phantom.presets import (
    Contrast,
    ShortAxisPhantom,
    apical,
    parasternal_long_axis,
    ventricle,
)
from cineflow.phantom.regions import Region
from cineflow.phantom.scanner import Shadow
from cineflow.phantom.speckle import Tissue

#: Kind of phantom -> its constructor.
KINDS: Mapping[str, Callable[..., Phantom]] = {
    "short-axis": ShortAxisPhantom,
    "parasternal-long-axis": parasternal_long_axis,
    "apical": apical,
    "ventricle": ventricle,
}


def make(
    kind: str = "short-axis",
    seed: int = 0,
    *,
    contrast: Contrast = "ultrasound",
    size: tuple[int, ...] | None = None,
    heart_rate_bpm: float = 60.0,
    frame_rate_hz: float | None = None,
    beats: float = 1.0,
    noise_db: float | None = None,
    decorrelation: float = 0.0,
    clutter: float = 0.0,
    shadows: Sequence[Shadow] = (),
    regions: Sequence[Region] = (),
) -> Phantom:
    """A phantom by the name of its kind. None selects the kind's own default.

    Args:
        kind: One of `KINDS`.
        seed: Seed of the speckle or shading, and of the noise.
        contrast: "ultrasound" or "mr".
        size: (rows, columns), or (slices, rows, columns) for volumes. The picture covers the same
            millimetres at any size.
        heart_rate_bpm, frame_rate_hz, beats: As `Beat`. The default rate is 50 frames or 20 volumes
            per second.
        noise_db: As the scanner's.
        decorrelation, clutter: As `Tissue`; ultrasound only.
        shadows: Drop-out; ultrasound only.
        regions: Parts of the wall with a different contraction.

    Raises:
        ArgumentError: An unknown kind, timing of fewer than two frames, a size that does not fit
            the kind, or ultrasound disturbances with the MR contrast.
    """
    if kind not in KINDS:
        raise ArgumentError(f"one of the phantoms {', '.join(KINDS)}", repr(kind))
    if shadows and contrast == "mr":
        raise ArgumentError("contrast mr without shadows", f"{len(shadows)}")
    volumes = kind == "ventricle"
    scanner: dict[str, Any] = {}
    if noise_db is not None:
        scanner["noise_db"] = noise_db
    if shadows:
        scanner["shadows"] = tuple(shadows)
    arguments: dict[str, Any] = {}
    if size is not None:
        require_size(size, 3 if volumes else 2)
        if kind in ("parasternal-long-axis", "apical"):
            # These two always show 128 mm.
            scanner |= {"size": size, "spacing_mm": (128.0 / size[0],) * 2}
        else:
            arguments["size"] = size
    rate = frame_rate_hz if frame_rate_hz is not None else (20.0 if volumes else 50.0)
    return KINDS[kind](
        seed,
        contrast=contrast,
        beat=Beat(heart_rate_bpm, rate, beats),
        scanner=scanner,
        tissue=Tissue(decorrelation=decorrelation, clutter=clutter),
        regions=tuple(regions),
        **arguments,
    )


def save(phantom: Phantom, path: str | Path) -> Path:
    """Writes a phantom in the format of the suffix of `path`.

    `.npz`: pictures and ground truth (docs/phantoms.md describes each array). `.dcm`: see
    `cineflow.phantom.dicom`. `.nii` and `.nii.gz`: x, y, z, time, with spacing in mm and s. `.gif`
    and `.webp`: a small preview; for volumes, the three planes through the middle.

    Returns:
        The path written.

    Raises:
        ArgumentError: An unknown suffix, MR-like volumes as `.dcm`, or a path that cannot be
            written.
        MissingDependencyError: nibabel is not installed (`.nii` only).
    """
    target = Path(path)
    for suffix, write in _WRITERS.items():
        if target.name.endswith(suffix):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                write(phantom, target)
            except OSError as error:
                raise ArgumentError(
                    "a path that can be written", str(error), "Choose another folder"
                ) from error
            return target
    raise ArgumentError(f"a file name ending in {', '.join(_WRITERS)}", repr(target.name))


def _write_npz(phantom: Phantom, path: Path) -> None:
    every = range(len(phantom))
    np.savez_compressed(
        path,
        frames=phantom.frames,
        times_ms=phantom.times_ms,
        spacing_mm=np.array(phantom.spacing_mm),
        sector=phantom.sector,
        displacement=np.stack([phantom.displacement(k) for k in every]),
        myocardium=np.stack([phantom.myocardium(k) for k in every]),
        segments=phantom.segments(),
        strain=np.stack([phantom.strain(k) for k in every]),
        strain_names=np.array(phantom.kinematics.direction_names),
        key_points=phantom.key_points,
        key_point_names=np.array(phantom.key_point_names),
        ed=np.array(phantom.beat.end_diastoles),
        es=np.array(phantom.beat.end_systoles),
    )


def _write_nifti(phantom: Phantom, path: Path) -> None:
    try:
        nibabel: Any = import_module("nibabel")
    except ImportError as error:
        raise MissingDependencyError("nibabel", str(error), "`pip install nibabel`") from error
    frames = phantom.frames if phantom.frames.ndim == 4 else phantom.frames[:, None]
    slice_mm, row_mm, column_mm = (1.0, *phantom.spacing_mm)[-3:]
    # [T, z, y, x] -> [x, y, z, T]. Our axes are x right, y down, z into the screen. NIfTI's second
    # and third axes point the other way. Negating both is a half turn about x, not a mirror image.
    affine = np.diag([column_mm, -row_mm, -slice_mm, 1.0])
    image = nibabel.Nifti1Image(np.ascontiguousarray(frames.transpose(3, 2, 1, 0)), affine)
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    image.header.set_zooms((column_mm, row_mm, slice_mm, 1.0 / phantom.beat.frame_rate_hz))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)


_WRITERS: dict[str, Callable[[Phantom, Path], None]] = {
    ".npz": _write_npz,
    ".dcm": write_dicom,
    ".nii.gz": _write_nifti,
    ".nii": _write_nifti,
    ".gif": write_animation,
    ".webp": write_animation,
}
