"""R waves in a stored ECG: of a real one, and of what is not one or has no known time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from cineflow.cine import Cine, read_cine
from cineflow.cine.dicom.traces import find_r_waves

HZ = 250
#: Its R waves, ms: where leads I, II and V1 to V6 have their peaks, within 5 ms.
R_WAVES_MS = [527, 1526, 2507, 3492, 4485, 5468, 6444, 7444, 8419, 9371]
CLIP = np.random.default_rng(1).integers(0, 256, (12, 32, 48)).astype(np.uint8)
FRAME_MS = 250.0  # 12 frames last 3 s

Write = Callable[..., Path]


def lead(number: int = 0, hz: int = HZ) -> np.ndarray:
    """A lead of the real 12-lead ECG of 10 s in the pydicom wheel."""
    header = pydicom.dcmread(str(get_testdata_file("waveform_ecg.dcm")))
    return header.waveform_array(0)[:: 1000 // hz, number]


def with_trace(path: Path, trace: np.ndarray, group: int = 0x5000, **changed: object) -> Path:
    """The object with a trace as curve data, `HZ` points per second if nothing else is said."""
    values = {
        "dimensions": 2, "points": len(trace), "kind": "ECG", "units": ["DPPS", "NONE"],
        "sample": 1, "descriptor": [0, 1], "start": 0, "step": HZ, **changed,
    }  # fmt: skip
    header = pydicom.dcmread(path)
    tags = {
        "dimensions": (0x0005, "US"), "points": (0x0010, "US"), "kind": (0x0020, "CS"),
        "units": (0x0030, "SH"), "sample": (0x0103, "US"), "descriptor": (0x0110, "US"),
        "start": (0x0112, "US"), "step": (0x0114, "US"),
    }  # fmt: skip
    for name, (element, vr) in tags.items():
        if values[name] is not None:
            header.add_new((group, element), vr, values[name])
    order = "<" if header.original_encoding[1] else ">"
    header.add_new((group, 0x3000), "OW", trace.astype(f"{order}i2").tobytes())
    header.save_as(path)
    return path


def read_with(write_dicom: Write, trace: np.ndarray, **changed: object) -> Cine:
    return read_cine(with_trace(write_dicom(CLIP, FrameTime=FRAME_MS), trace, **changed))


@pytest.mark.parametrize("number", [0, 3, 6, 9], ids=["I", "aVR, upside down", "V1", "V4"])
@pytest.mark.parametrize("hz", [100, 250])
def test_every_r_wave_of_a_real_ecg_is_found(number: int, hz: int) -> None:
    found = find_r_waves(lead(number, hz), hz)
    assert found == pytest.approx(R_WAVES_MS, abs=1000 / hz + 6)


def test_what_is_no_ecg_has_no_r_waves() -> None:
    """Noise, a pulse wave, breathing, a flat line, and less than half a second."""
    seconds = np.arange(0, 5, 1 / HZ)
    pulse = np.maximum(0, np.sin(2 * np.pi * 1.2 * seconds)) ** 3
    noise = np.random.default_rng(0).normal(size=len(seconds))
    for trace in (noise, pulse, np.sin(2 * np.pi * 0.3 * seconds), 0 * seconds, lead()[:100]):
        assert not find_r_waves(trace, HZ).size


@pytest.mark.parametrize("kind", ["ECG", "PHYSIO"])
def test_the_r_waves_of_a_stored_trace_are_triggers(write_dicom: Write, kind: str) -> None:
    clip = read_with(write_dicom, lead()[: 3 * HZ], kind=kind, group=0x5002)
    assert clip.triggers_ms == pytest.approx(R_WAVES_MS[:3], abs=5)
    assert any("R waves were found in the stored" in note for note in clip.notes)
    by_step = read_with(write_dicom, lead()[: 3 * HZ], units=["MSEC", "NONE"], step=1000 // HZ)
    assert by_step.triggers_ms == pytest.approx(R_WAVES_MS[:3], abs=5)


def test_stated_r_waves_win(write_dicom: Write) -> None:
    path = write_dicom(CLIP, FrameTime=FRAME_MS, RWaveTimeVector=[10.0, 900.0])
    clip = read_cine(with_trace(path, lead()[: 3 * HZ]))
    assert clip.triggers_ms is not None
    assert clip.triggers_ms.tolist() == [10.0, 900.0]
    assert not any("stored ECG" in note for note in clip.notes)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"units": None}, "no time scale"),
        ({"units": ["NONE", "NONE"]}, "no time scale"),
        ({"descriptor": None}, "no time scale"),
        ({"step": 0}, "no time scale"),
        ({"step": 20}, "no time scale"),
        ({"sample": 7}, "no time scale"),
        ({"dimensions": 1}, "no time scale"),
        ({"points": 5000}, "no time scale"),
        ({"start": HZ}, "from 1000 ms on"),
        ({"step": 2 * HZ}, "lasts 1500 ms from 0 ms on, and the clip 3000 ms"),
        ({"kind": "RESP"}, ""),
    ],
)
def test_a_trace_whose_time_is_not_known_is_not_used(
    write_dicom: Write, changed: dict, why: str
) -> None:
    clip = read_with(write_dicom, lead()[: 3 * HZ], **changed)
    assert clip.triggers_ms is None
    assert any(why in note for note in clip.notes)
    assert why or not any("stored" in note for note in clip.notes)


def test_a_trace_without_r_waves_is_said(write_dicom: Write) -> None:
    noise = np.random.default_rng(0).normal(0, 100, 3 * HZ)
    clip = read_with(write_dicom, noise)
    assert clip.triggers_ms is None
    assert any("No R waves were found in the stored ECG" in note for note in clip.notes)
