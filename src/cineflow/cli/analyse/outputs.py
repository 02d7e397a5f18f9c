"""The files of one analysis, without the patient's identity: page, curves, arrays, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.cli.analyse.job import Analysis
from cineflow.filing.nifti import write_motion
from cineflow.report import (
    Panel,
    write_analysis_report,
    write_arrays,
    write_csv,
    write_overlay,
    write_picture,
    write_planes,
    write_readings_report,
)
from cineflow.report.arrays import described_arrays
from cineflow.report.planes import with_wall
from cineflow.report.strain_charts import strain_rows, strain_table

#: Kinds of pictures; "png" is one still.
PICTURES = ("webp", "gif", "png")
USE = "Research use, not for diagnosis"


@dataclass(frozen=True)
class Wanted:
    """What is written.

    Attributes:
        fields: Also the dense motion of every frame: fields.npz and motion.nii.gz.
        pictures: Also the overlay as these kinds of `PICTURES`.
    """

    fields: bool = False
    pictures: tuple[str, ...] = ()


def write_outputs(folder: Path, found: Analysis, wanted: Wanted) -> None:
    """Write report.html, frames.csv, strain.csv, result.npz, and what else is wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in wanted.pictures:
        _write_picture(folder / f"overlay.{kind}", found)
    _write_page(folder, found)
    write_csv(folder / "frames.csv", frame_rows(found))
    if found.strain is not None:
        write_csv(folder / "strain.csv", beat_rows(found))
    write_arrays(folder / "result.npz", arrays_of(found), about(found))
    if wanted.fields and found.collected.arrays is not None:
        described = described_arrays(found.source.spec, found.collected.unit)
        found.collected.arrays.write(folder / "fields.npz", {**about(found), "arrays": described})
        write_motion(
            folder / "motion.nii.gz",
            found.collected.arrays,
            found.source.spacing_mm,
            found.cine.frame_period_ms,
            about(found),
        )


def about(found: Analysis) -> dict[str, Any]:
    """Units and provenance, for the files that programs read."""
    strain = found.strain
    return {
        "use": USE,
        **asdict(found.provenance),
        "clip": found.cine.name,
        "frames": len(found.cine),
        "spacing_mm": found.cine.spacing_mm,
        "spacing_reason": found.cine.spacing_reason,
        "burned_in": found.cine.burned_in,
        "gaps": found.cine.gaps.tolist(),
        "notes": list(found.cine.notes),
        "convention": None if strain is None else strain.convention,
        "reference_frames": None if strain is None else [b.ed for b in strain.beats.beats],
        "beats": None if strain is None else strain.beats.source,
        "length_unit": "px" if found.cine.spacing_mm is None else "mm",
        "arrays": _ARRAYS,
    }


#: What the arrays of result.npz are.
_ARRAYS = {
    "times_ms": {"unit": "ms", "meaning": "time of each frame since the first"},
    "quality": {"unit": "1", "meaning": "how far to trust each frame's motion, 0 to 1"},
    "expected_error_px": {"unit": "px", "meaning": "expected error of each frame, clip pixels"},
    "strain": {"unit": "1", "meaning": "strain of each part [parts, frames], a fraction"},
    "strain_sigma": {"unit": "1", "meaning": "standard uncertainty of each, a fraction"},
    "parts": {"unit": "", "meaning": "name of each part"},
    "directions": {"unit": "", "meaning": "direction of each part"},
    "segments": {"unit": "", "meaning": "AHA segment of each part, or 0"},
    "references": {"unit": "frame", "meaning": "reference frame of each frame's strain"},
    "wall": {"unit": "px", "meaning": "points of the wall [frames, points, (x, y[, z])]"},
    "lengths": {
        "unit": "",
        "meaning": "IVS, LVID and LVPW of each frame [frames, 3], `length_unit`",
    },
    "length_sigma": {"unit": "", "meaning": "standard uncertainty of each, `length_unit`"},
    "landmarks": {"unit": "px", "meaning": "points of the long axis [frames, 4, (x, y)]"},
    "points": {"unit": "px", "meaning": "wall points chosen in the picture, as `wall`"},
}


def arrays_of(found: Analysis) -> dict[str, np.ndarray]:
    """The arrays of result.npz, by name."""
    arrays: dict[str, np.ndarray] = {"times_ms": np.asarray(found.cine.times_ms)}
    trace, strain = found.collected.trace, found.strain
    if trace is not None:
        arrays |= {
            "quality": trace.quality,
            "expected_error_px": trace.parts["expected_error_px"],
            "points": trace.points,
        }
    if strain is not None:
        arrays |= {
            "strain": strain.strain,
            "strain_sigma": strain.sigma,
            "parts": np.array([part.name for part in strain.parts]),
            "directions": np.array([part.direction for part in strain.parts]),
            "segments": np.array([part.segment for part in strain.parts], np.int64),
            "references": strain.references,
            "wall": strain.path.astype(np.float32),
        }
    if found.landmarks is not None:
        arrays["landmarks"] = found.landmarks.astype(np.float32)
    if found.ventricle is not None and found.ventricle.sigma is not None:
        arrays |= {"lengths": found.ventricle.values, "length_sigma": found.ventricle.sigma}
    return arrays


def frame_rows(found: Analysis) -> list[dict[str, Any]]:
    """One row for each frame: the model's numbers, strain with uncertainty, lengths."""
    rows: list[dict[str, Any]] = [dict(row) for row in found.collected.rows]
    if found.strain is not None:
        for row, more in zip(rows, strain_rows(found.strain, found.cine.times_ms), strict=True):
            row |= {key: value for key, value in more.items() if key not in row}
    curves = found.ventricle
    if curves is None and found.collected.readings is not None:
        curves = found.collected.readings.curves
    if curves is not None:
        for row, more in zip(rows, curves.rows, strict=False):
            row |= {key: value for key, value in more.items() if key not in row}
    gaps = set(found.cine.gaps.tolist())
    for index, row in enumerate(rows):
        row.pop("latency [ms]", None)  # nothing was streamed
        if gaps:
            row["frames missing before [0/1]"] = int(index in gaps)
    return rows


def beat_rows(found: Analysis) -> list[dict[str, Any]]:
    """One row for each part of each beat."""
    strain = found.strain
    assert strain is not None
    return [
        {
            "beat": beat,
            "reference [frame]": strain.beats.beats[beat].ed,
            "end-diastole [frame]": strain.beats.beats[beat].ed if strain.beats.found else None,
            "end-systole [frame]": strain.beats.beats[beat].es,
            "measured at [frame]": strain.phase(beat),
            "part": row.part,
            "AHA segment": row.segment,
            "direction": row.direction,
            "strain [%]": row.value,
            "2 sigma [%]": row.interval if np.isfinite(row.interval) else None,
            "largest strain [%]": row.peak,
            "largest at [frame]": row.peak_frame,
        }
        for beat in range(len(strain.beats.beats))
        for row in strain_table(strain, beat)
    ]


def figures(found: Analysis) -> dict[str, Any]:
    """The figures of a clip for summary.json and for the table."""
    cine, closure, strain = found.cine, found.closure, found.strain
    shown: dict[str, Any] = {
        "clip": cine.name,
        "frames": len(cine),
        "frame_period_ms": round(cine.frame_period_ms, 3),
        "spacing_mm": cine.spacing_mm,
        "spacing_reason": cine.spacing_reason,
        "burned_in": cine.burned_in,
        "gaps": cine.gaps.tolist(),
        "view": found.drawn.view or None,
        "loop_closure_px": None if closure.mean_px is None else round(closure.mean_px, 3),
        "notes": list(cine.notes),
    }
    if found.collected.trace is not None:
        shown["mean_quality"] = round(float(found.collected.trace.quality.mean()), 3)
    if strain is not None:
        beat = strain.beats.beats[strain.shown]
        shown |= {
            "convention": strain.convention,
            "beats": strain.beats.source,
            "reference_frame": beat.ed,
            "end_diastole": beat.ed if strain.beats.found else None,
            "end_systole": beat.es,
            "measured_at": strain.phase(strain.shown),
            "strain_percent": [
                {
                    "part": row.part,
                    "direction": row.direction,
                    "value": round(row.value, 2),
                    "two_sigma": round(row.interval, 2) if np.isfinite(row.interval) else None,
                }
                for row in strain_table(strain)
            ],
        }
    else:
        shown["no_strain"] = found.no_strain
    if found.ventricle is not None:
        shown |= {
            "ventricle": {one.name: round(one.value, 3) for one in found.ventricle.measures},
            "ventricle_two_sigma": {
                one.name: _rounded(one.interval) for one in found.ventricle.measures
            },
            "phases": found.ventricle.source,
        }
    return shown


def _rounded(interval: float | None) -> float | None:
    return None if interval is None or not np.isfinite(interval) else round(interval, 3)


def _write_page(folder: Path, found: Analysis) -> None:
    page, collected = folder / "report.html", found.collected
    if collected.trace is not None:
        write_analysis_report(
            page,
            found.cine,
            collected.trace,
            found.closure,
            found.provenance,
            strain=found.strain,
            no_strain=found.no_strain,
            ventricle=found.ventricle,
            landmarks=found.landmarks,
        )
        return
    assert collected.readings is not None  # a model is a tracker or has readings
    picture = folder / "overlay.webp"
    if not picture.exists():
        _write_picture(picture, found)
    write_readings_report(
        page,
        found.cine,
        collected.readings,
        found.source.spec,
        picture,
        None,
        found.provenance,
        panels=_panels(found),
        strain=found.strain,
        no_strain=found.no_strain,
    )


def _write_picture(path: Path, found: Analysis) -> None:
    collected = found.collected
    if collected.trace is not None:
        write_picture(path, found.cine, collected.trace)
    elif collected.panels:
        write_planes(path, _panels(found))
    else:
        assert collected.readings is not None
        write_overlay(path, found.cine, collected.readings)


def _panels(found: Analysis) -> Sequence[Panel]:
    """The planes of volumes, with the wall where its strain was measured."""
    panels, strain = found.collected.panels, found.strain
    return with_wall(panels, strain) if panels and strain is not None else panels


def written_files(folder: Path) -> Sequence[str]:
    """Names of the files in a clip's folder, sorted."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_file())
