"""The DICOM objects of one analysis."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from cineflow.cine.sector import covers_the_frame
from cineflow.cli.analyse.job import Analysis
from cineflow.errors import ArgumentError
from cineflow.filing.dicom.capture import write_capture
from cineflow.filing.dicom.maps import (
    segment_labels,
    strain_map,
    write_segmentation,
    write_strain_map,
)
from cineflow.filing.dicom.report import write_report
from cineflow.filing.dicom.source import Maker, Source, content_hash, read_source
from cineflow.report.movie import WallLine
from cineflow.report.palette import CLASS_COLOURS
from cineflow.report.strain_charts import wall_lines
from cineflow.report.wall_picture import wall_frames


def write_objects(path: Path, folder: Path, found: Analysis) -> list[str]:
    """Write every object that this analysis has into `folder`, which appears when it is complete.

    Args:
        path: The clip: a DICOM object, or the folder of a series of single frames.
        folder: Of the objects; one of the same name is replaced.
        found: What was measured.

    Returns:
        Names of the files.

    Raises:
        ArgumentError: The clip is not DICOM, does not name its study, or is one of volumes.
    """
    source = read_source(path, found.cine.stored_at)
    if found.source.volumes is not None:
        raise ArgumentError("a clip of images for DICOM objects", "volumes")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    part.mkdir(parents=True, exist_ok=True)
    try:
        _write(part, source, found)
        names = sorted(entry.name for entry in part.iterdir())
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return names


def _write(folder: Path, source: Source, found: Analysis) -> None:
    cine, strain, trace = found.cine, found.strain, found.collected.trace
    maker = _maker(found)
    quality = None if trace is None else round(float(trace.quality.mean()), 4)
    write_report(
        folder / "measurements.dcm",
        source,
        maker,
        strain=strain,
        ventricle=found.ventricle,
        quality=quality,
    )
    lines: list[WallLine] = []
    if strain is not None:
        lines = wall_lines(strain)
        reference = strain.beats.beats[strain.shown].ed
        for direction in strain.directions():
            write_strain_map(
                folder / f"strain_{direction}.dcm",
                source,
                maker,
                strain_map(strain, direction, cine.size, cine.spacing_mm),
                direction,
                strain.convention,
                reference,
                cine.spacing_mm,
            )
        if strain.wall.anatomical:
            write_segmentation(
                folder / "labels.dcm",
                source,
                maker,
                segment_labels(strain, cine.size),
                reference,
                aha=True,
            )
    if found.landmarks is not None:
        lines = [WallLine(found.landmarks, CLASS_COLOURS[0], dots=True)]
    readings = found.collected.readings
    if readings is not None:
        for number, (frame, labels) in enumerate(sorted(readings.labels.items()), start=1):
            write_segmentation(
                folder / f"labels_{frame:04d}.dcm",
                source,
                maker,
                np.where(cine.sector, labels, 0).astype(np.uint8),
                frame,
                names=readings.classes,
                number=number,
            )
    if not lines and trace is not None:
        lines = [WallLine(trace.points[:, k : k + 1], CLASS_COLOURS[0], dots=True)
                 for k in range(trace.points.shape[1])]  # fmt: skip
    write_capture(
        folder / "overlay.dcm",
        source,
        maker,
        wall_frames(cine, lines),
        cine.frame_period_ms,
        blanked=not covers_the_frame(cine.sector),
    )


def _maker(found: Analysis) -> Maker:
    strain, landmarks = found.strain, found.landmarks
    cine = found.cine
    parts = [found.provenance.bundle_hash.encode(), cine.name.encode(), cine.stored_at.tobytes()]
    if strain is not None:
        parts += [strain.strain.tobytes(), strain.convention.encode()]
    if landmarks is not None:
        parts.append(landmarks.tobytes())
    readings = found.collected.readings
    if readings is not None:
        parts += [repr(row).encode() for row in readings.rows]
    return Maker(
        found.provenance.model,
        found.provenance.software,
        found.source.spec.weights.trained,
        content_hash(*parts),
    )
