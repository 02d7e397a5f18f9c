"""A card that is slow: what the driver's library says, read from a library with its interface."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from cineflow.serving.slowing import Reasons, SlowingWatch, clock_reasons

#: NVML's functions, for one card whose reasons a test sets.
NVML = """
#include <string.h>
unsigned long long reasons = 0;
static int started, card;
int nvmlInit_v2(void) { started = 1; return 0; }
int nvmlDeviceGetHandleByUUID(const char* uuid, void** handle) {
  if (!started) return 1;
  if (strcmp(uuid, "GPU-bb")) return 6;
  *handle = &card;
  return 0;
}
int NAME(void* handle, unsigned long long* out) {
  if (handle != &card) return 2;
  *out = reasons;
  return 0;
}
"""


@pytest.fixture(
    params=["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"]
)
def nvml(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "nvml.c").write_text(NVML.replace("NAME", request.param))
    library = tmp_path / f"lib{request.param}.so"
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(tmp_path / "nvml.c")]
    subprocess.run(command, check=True)
    return library


def test_the_driver_says_why_a_card_is_slow(nvml: Path) -> None:
    reasons = clock_reasons("GPU-bb", str(nvml))
    assert reasons is not None
    bits = ctypes.c_ulonglong.in_dll(ctypes.CDLL(str(nvml)), "reasons")
    for value, words in (
        (0, ()),
        (0x01 | 0x02 | 0x10 | 0x100, ()),  # idle, clocks that were set, sync boost, display
        (0x04, ("power limit",)),
        (0x08 | 0x40, ("hardware slowdown", "heat, by the hardware")),
        (0x20 | 0x80, ("heat, by the driver", "power brake")),
    ):
        bits.value = value
        assert reasons() == words
    assert clock_reasons("GPU-aa", str(nvml)) is None


def test_without_a_driver_nothing_is_looked_at(tmp_path: Path) -> None:
    assert clock_reasons("GPU-bb", str(tmp_path / "libnvidia-ml.so.1")) is None
    SlowingWatch(None, lambda reasons: None).close()


def test_only_changes_are_told() -> None:
    now: list[Reasons] = [()]
    told: list[Reasons] = []
    watch = SlowingWatch(lambda: now[0], told.append, look_s=0.005)
    for wanted in (("heat",), ("heat", "power limit"), ()):
        now[0] = wanted
        end = time.monotonic() + 10
        while told[-1:] != [wanted] and time.monotonic() < end:
            time.sleep(0.005)
    time.sleep(0.05)
    watch.close()
    assert told == [("heat",), ("heat", "power limit"), ()]
