"""The default model in this process, and a clip with a patient's name in tags and pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cineflow.cli.analyse.job import Model
from cineflow.runtime import Bundle, open_engine

#: Planted in the tags and in the file's name; no output but DICOM may have it.
#: One word: highdicom warns of such names, and quotes them.
PATIENT = "Zyxwvuts"


@pytest.fixture(scope="session")
def model() -> Model:
    bundle = Bundle.load("lucas_kanade")
    return Model(bundle, open_engine(bundle, threads=1))


@pytest.fixture
def named_clip(write_dicom: Callable[..., Path], moving_frames: np.ndarray) -> Path:
    """A calibrated clip of a patient, 8 frames, with text burned in outside the sector."""
    import cv2

    frames = np.zeros((8, 160, 192), np.uint8)
    frames[:, 24:152, 16:176] = moving_frames[:8]
    for frame in frames:
        cv2.putText(frame, "ZYXWVUTS", (2, 14), cv2.FONT_HERSHEY_PLAIN, 1.0, 255)
    return write_dicom(
        frames,
        name="Zyxwvuts_Quentinius.dcm",
        PatientName=PATIENT,
        PatientID="PID-Zyxwvuts",
        PatientBirthDate="19500102",
        PatientSex="M",
        StudyInstanceUID="1.2.826.0.1.3680043.8.498.1",
        SeriesInstanceUID="1.2.826.0.1.3680043.8.498.2",
        StudyID="S7",
        StudyDate="20260101",
        StudyTime="101500",
        AccessionNumber="ACCQZXJ7741",
        ReferringPhysicianName="Zyxwvuts^Ref",
        InstitutionName="Zyxwvuts Hospital",
        SeriesNumber=3,
        InstanceNumber=4,
        Manufacturer="Maker",
        PixelSpacing=[0.5, 0.4],
    )
