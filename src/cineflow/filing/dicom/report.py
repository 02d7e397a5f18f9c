"""The Structured Report: strain, lengths and quality as measurements (TID 1500)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cineflow.filing.dicom.codes import (
    MEASURES,
    OWN,
    coded,
    site_code,
    strain_code,
    unit_code,
)
from cineflow.filing.dicom.source import USE, Maker, Source, equipment, uid
from cineflow.motion.strain_curves import StrainCurves
from cineflow.report.curves import Curves

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

#: Procedure by modality of the source.
_PROCEDURES = {
    "US": ("40701008", "SCT", "Echocardiography"),
    "MR": ("241620005", "SCT", "MRI of heart"),
}


def write_report(
    path: Path,
    source: Source,
    maker: Maker,
    *,
    strain: StrainCurves | None = None,
    ventricle: Curves | None = None,
    quality: float | None = None,
) -> Path | None:
    """Write the measurements of one clip as an Enhanced SR.

    Each strain has its place, its code, its value in percent with the limits of its 95 % interval,
    and the frames of the source that it was measured in. The report is unverified and partial, and
    says that it is for research.

    Args:
        path: The .dcm file; its folder exists.
        source: From `read_source`.
        maker: What computed it.
        strain: Strain of the wall.
        ventricle: Lengths of a long axis.
        quality: Mean quality of the motion, 0 to 1.

    Returns:
        `path`; None where nothing was measured.
    """
    from highdicom import sr

    groups: list[Any] = []
    if strain is not None:
        groups += _strain_groups(source, maker, strain)
    if ventricle is not None and ventricle.measures:
        groups.append(_ventricle_group(source, maker, ventricle))
    if not groups:
        return None
    if quality is not None:
        name = coded("QUALITY", OWN, "Mean quality of the motion, 0 to 1")
        groups.append(
            _group(source, maker, "quality", [sr.Measurement(name, quality, unit_code("1"))])
        )
    observer = sr.ObserverContext(
        observer_type=coded("121007", "DCM", "Device"),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=uid(source.header, maker, "device"),
            name="cineflow",
            manufacturer_name="cineflow",
            model_name=maker.model,
        ),
    )
    procedure = _PROCEDURES.get(str(source.header.get("Modality")), ("363679005", "SCT", "Imaging"))
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=coded(*procedure),
        imaging_measurements=groups,
        title=coded("126000", "DCM", "Imaging Measurement Report"),
        referenced_images=_library(source),
    )
    common = equipment(source.header, maker, "measurements", 1)
    report = sr.EnhancedSR(
        evidence=list(source.headers),
        content=content[0],
        is_complete=False,
        is_final=False,
        is_verified=False,
        **common,
    )
    report.CompletionFlagDescription = USE
    report.save_as(path, enforce_file_format=True)
    return path


def _library(source: Source) -> list[Dataset] | None:
    """The images of the report's library; None where they lack what an entry describes.

    highdicom wants the position and thickness of an MR slice, which an enhanced object states for
    each frame, and it knows the modality of some classes only.
    """
    from highdicom.sr import ImageLibrary

    images = list(source.headers)
    try:
        ImageLibrary(images)
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
    return images


def _strain_groups(source: Source, maker: Maker, strain: StrainCurves) -> list[Any]:
    from highdicom import sr

    beat = strain.shown
    frame = strain.phase(beat)
    reference = strain.beats.beats[beat].ed
    groups = []
    for index, part in enumerate(strain.parts):
        value = 100 * float(strain.strain[index, frame])
        around = 100 * strain.interval(index, frame)
        _, peak = strain.peak(index, beat)
        percent = unit_code("%")
        convention = strain.convention
        measurements = [
            sr.Measurement(
                strain_code(part.direction, convention),
                round(value, 3),
                percent,
                properties=_interval(around),
            ),
            sr.Measurement(
                strain_code(part.direction, convention, peak=True), round(100 * peak, 3), percent
            ),
        ]
        name = f"{part.direction} strain, {part.name}"
        sites = [site_code(part.segment)] if strain.wall.anatomical else []
        frames = (reference, frame)
        groups.append(_group(source, maker, name, measurements, sites, frames, convention))
    return groups


def _interval(around: float | None) -> Any:
    """The limits of a 95 % interval; None where they are not known.

    In the frame in which points were drawn, tracking adds no error. How well they were drawn is not
    known, so no uncertainty of zero is filed.
    """
    from highdicom import sr

    if not around or not np.isfinite(around):
        return None
    return sr.MeasurementProperties(
        upper_measurement_uncertainty=round(around, 3),
        lower_measurement_uncertainty=round(around, 3),
    )


def _ventricle_group(source: Source, maker: Maker, curves: Curves) -> Any:
    from highdicom import sr

    measurements = []
    for measure in curves.measures:
        name, _, unit = measure.name.partition(" [")
        known = MEASURES.get(name)
        if known is None:
            continue
        code, _ = known
        unit = unit.rstrip("]")
        measurements.append(
            sr.Measurement(
                coded(*code),
                round(measure.value, 3),
                unit_code(unit),
                properties=_interval(measure.interval),
            )
        )
    frames: tuple[int, ...] = ()
    if curves.phases is not None:
        frames = curves.phases.ed[0], curves.phases.es[0]
    site = [coded("87878005", "SCT", "Left ventricle")]
    return _group(source, maker, "left ventricle", measurements, site, frames)


def _group(
    source: Source,
    maker: Maker,
    name: str,
    measurements: Sequence[Any],
    sites: Sequence[Any] = (),
    frames: Sequence[int] = (),
    convention: str = "",
) -> Any:
    """One group of measurements, with the model that made it and its frames of the clip."""
    from highdicom import sr

    every: list[tuple[Dataset, list[int]]] = [(image, []) for image in source.headers]
    images = [
        sr.SourceImageForMeasurementGroup(
            referenced_sop_class_uid=image.SOPClassUID,
            referenced_sop_instance_uid=image.SOPInstanceUID,
            referenced_frame_numbers=numbers or None,
        )
        for image, numbers in (source.references(frames) if frames else every)
    ]
    parameters = [USE]
    if convention:
        parameters.append(f"{convention} strain since {source.describe(frames[0])}")
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid(source.header, maker, name), name),
        finding_sites=[sr.FindingSite(site) for site in sites] or None,
        measurements=measurements,
        algorithm_id=sr.AlgorithmIdentification(maker.model, maker.software, parameters),
        source_images=images,
    )
