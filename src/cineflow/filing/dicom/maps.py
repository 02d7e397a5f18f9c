"""Maps on the pixels of one frame of the clip: strain as numbers, labels as segments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cineflow.filing.dicom.codes import coded, site_code, strain_code, unit_code
from cineflow.filing.dicom.source import (
    Maker,
    Source,
    equipment,
    one_frame_of,
    placed,
    refer_to_frame,
    uid,
    without_spacing,
)
from cineflow.motion.strain import from_stretch
from cineflow.motion.strain_curves import StrainCurves

#: Families of algorithms (CID 7162) and categories of segments (CID 7150).
_LEARNT = ("123110", "DCM", "Artificial Intelligence")
_BY_NEIGHBOURS = ("123101", "DCM", "Neighborhood Analysis")
_TISSUE = ("85756007", "SCT", "Tissue")
_STRUCTURE = ("91723000", "SCT", "Anatomical Structure")

#: Value of pixels outside the wall. No strain is below -1.
PADDING = -10.0


def strain_map(
    strain: StrainCurves,
    direction: str,
    size: tuple[int, int],
    spacing_mm: tuple[float, float] | None = None,
) -> np.ndarray:
    """Local strain at end-systole on the wall at end-diastole, f32 [H, W], a fraction.

    Each chord between neighbouring points of the wall's lines has its own strain. `PADDING` stands
    where the wall has no line.

    Args:
        strain: The wall's strain; the beat that it shows.
        direction: Of the strain.
        size: (rows, columns) of the clip.
        spacing_mm: (row_mm, column_mm); None for equal spacing.
    """
    beat = strain.beats.beats[strain.shown]
    before, after = strain.path[beat.ed], strain.path[strain.phase(strain.shown)]
    steps = np.ones(2) if spacing_mm is None else np.array(spacing_mm)[::-1]
    total, count = np.zeros(size, np.float32), np.zeros(size, np.float32)
    mine = [part for part in strain.parts if part.direction == direction]
    local = [part for part in mine if part.name != "global"] or mine
    thick = _thickness(strain, before)
    for part in local:
        ends = np.stack([part.lines[:, :-1].ravel(), part.lines[:, 1:].ravel()])
        lengths = [
            np.linalg.norm((points[ends[1]] - points[ends[0]]) * steps, axis=-1)
            for points in (before, after)
        ]
        values = from_stretch(lengths[1] / np.maximum(lengths[0], 1e-9), strain.convention)
        for start, end, value in zip(ends[0], ends[1], values, strict=True):
            one = np.zeros(size, np.uint8)
            a, b = (tuple(np.rint(before[k]).astype(int).tolist()) for k in (start, end))
            cv2.line(one, a, b, 1, thick)
            rows, columns = np.nonzero(one)
            total[rows, columns] += np.float32(value)
            count[rows, columns] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(PADDING)).astype(np.float32)


def _thickness(strain: StrainCurves, points: np.ndarray) -> int:
    """Thickness of a drawn chord, px: half the distance between neighbouring lines."""
    if strain.wall.view != "short-axis":
        return 5
    across = next(part for part in strain.parts if part.direction == "radial")
    first = points[across.lines[0]]
    return max(1, round(float(np.linalg.norm(np.diff(first, axis=0), axis=1).mean())))


def write_strain_map(
    path: Path,
    source: Source,
    maker: Maker,
    values: np.ndarray,
    direction: str,
    convention: str,
    frame: int,
    spacing_mm: tuple[float, float] | None = None,
) -> Path:
    """Write a strain map as a Parametric Map of floating-point pixels.

    Args:
        path: The .dcm file; its folder exists.
        source: From `read_source`.
        maker: What computed it.
        values: f32 [H, W], a fraction, `PADDING` outside the wall.
        direction, convention: Of the strain.
        frame: Frame of the clip whose pixels these are, from 0.
        spacing_mm: (row_mm, column_mm) of the source; None without a calibration.
    """
    import highdicom
    from highdicom import pm

    inside = values[values > PADDING]
    low, high = (float(inside.min()), float(inside.max())) if inside.size else (-0.5, 0.5)
    mapping = pm.RealWorldValueMapping(
        lut_label=direction[:16].upper(),
        lut_explanation=f"{direction} {convention} strain, a fraction"[:64],
        unit=unit_code("1"),
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=strain_code(direction, convention),
    )
    window = highdicom.VOILUTTransformation(
        window_center=(low + high) / 2,
        window_width=max(high - low, 1e-3),
        voi_lut_function="LINEAR_EXACT",
    )
    made = pm.ParametricMap(
        [placed(one_frame_of(source, frame), maker, spacing_mm)],
        np.ascontiguousarray(values, np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
        content_label="STRAIN",
        **equipment(source.header, maker, f"{direction} strain map", 2),
    )
    made.FloatPixelPaddingValue = made.FloatPixelPaddingRangeLimit = PADDING
    made.Laterality = ""
    if spacing_mm is None:
        without_spacing(made)
    refer_to_frame(made, source, frame)
    made.save_as(path, enforce_file_format=True)
    return path


def segment_labels(strain: StrainCurves, size: tuple[int, int]) -> np.ndarray:
    """AHA segment of each pixel of the wall at end-diastole, u8 [H, W]; 0 elsewhere."""
    points = strain.path[strain.beats.beats[strain.shown].ed]
    labels = np.zeros(size, np.uint8)
    first = strain.directions()[0]
    thick = _thickness(strain, points)
    for part in strain.parts:
        if part.direction == first and part.segment:
            corners = np.rint(points[part.lines]).astype(np.int32)
            if len(corners) > 1:  # between the outermost lines
                ring = np.concatenate([corners[0], corners[-1][::-1]])
                cv2.fillPoly(labels, [ring], part.segment)
            else:
                cv2.polylines(labels, [corners[0]], False, part.segment, thick)
    return labels


def write_segmentation(
    path: Path,
    source: Source,
    maker: Maker,
    labels: np.ndarray,
    frame: int,
    *,
    names: Sequence[str] = (),
    aha: bool = False,
    number: int = 1,
) -> Path | None:
    """Write the labels of one frame as a binary Segmentation.

    Args:
        path: The .dcm file; its folder exists.
        source: From `read_source`.
        maker: What computed it.
        labels: Class of each pixel, u8 [H, W]; 0 is the background.
        frame: Frame of the clip whose pixels these are, from 0.
        names: Names of the classes; "class k" without.
        aha: Whether the classes are AHA segments.
        number: Instance number in the series.

    Returns:
        `path`; None where there is only background.
    """
    from highdicom import AlgorithmIdentificationSequence, seg

    found = [int(label) for label in np.unique(labels) if label]
    if not found:
        return None
    family = coded(*(_LEARNT if maker.trained else _BY_NEIGHBOURS))
    algorithm = AlgorithmIdentificationSequence(maker.model, family, maker.software)
    tissue, structure = coded(*_TISSUE), coded(*_STRUCTURE)
    descriptions = []
    for position, label in enumerate(found, start=1):
        named = names[label] if label < len(names) else f"class {label}"
        kind = site_code(label) if aha else coded("113343008", "SCT", "Organ")
        descriptions.append(
            seg.SegmentDescription(
                segment_number=position,
                segment_label=(str(site_code(label).meaning) if aha else named)[:64],
                segmented_property_category=tissue if aha else structure,
                segmented_property_type=kind,
                algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
            )
        )
    planes = np.stack([labels == label for label in found], axis=-1).astype(np.uint8)
    common: dict[str, Any] = equipment(source.header, maker, "labels", 3)
    common["instance_number"] = number
    common["sop_instance_uid"] = uid(source.header, maker, f"instance labels {number}")
    made = seg.Segmentation(
        [one_frame_of(source, frame)],
        planes[None],
        segmentation_type=seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        omit_empty_frames=False,
        content_label="LABELS",
        **common,
    )
    made.PatientOrientation = ""
    refer_to_frame(made, source, frame)
    made.save_as(path, enforce_file_format=True)
    return path
