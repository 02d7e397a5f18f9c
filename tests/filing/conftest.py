"""A clip of a patient with a wall whose strain is known, and its objects."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.filing.dicom.source import Maker, content_hash, read_source
from cineflow.motion.clip_beats import beats_of_clip
from cineflow.motion.lines import short_axis
from cineflow.motion.strain_curves import StrainCurves, measure_lines

PATIENT = "Zyxwv^Quentin"
SIZE = (240, 320)
SPACING = (0.5, 0.4)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory):
    """A real clip, as if it were of a patient."""
    import pydicom
    import pydicom.examples

    data = pydicom.dcmread(pydicom.examples.get_path("ybr_color"))
    data.PatientName, data.PatientID = PATIENT, "12345"
    data.AccessionNumber = "ACC7"
    path = tmp_path_factory.mktemp("source") / "Zyxwv.dcm"
    data.save_as(path)
    return read_source(path)


@pytest.fixture(scope="session")
def strain() -> StrainCurves:
    """A ring that shrinks by 10 % along every line until frame 3."""
    around = np.deg2rad(np.arange(0, 360, 10))
    ring = np.stack([np.cos(around), np.sin(around)], axis=-1) / np.array(SPACING[::-1])
    centre = np.array([160.0, 120.0])
    wall = short_axis(
        centre + 16 * ring, centre + 28 * ring, (160.0, 40.0), "mid", spacing_mm=SPACING
    )
    shrink = np.array([1.0, 0.97, 0.94, 0.9, 0.94, 0.98])
    path = centre + (wall.points - centre) * shrink[:, None, None]
    beats = beats_of_clip(np.arange(6) * 20.0, None, ed=[0], es=[3])
    return measure_lines(path, wall, beats, np.full(6, 0.1), spacing_mm=SPACING)


@pytest.fixture(scope="session")
def maker() -> Maker:
    return Maker("lucas_kanade-0123abcd", "cineflow 0.1", False, content_hash(b"measured"))
