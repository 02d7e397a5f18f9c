"""Thousands of damaged files: no crash, no hang, no number that the file does not state."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")


@pytest.mark.parametrize(
    "jobs",
    [
        ["dicom:0:500", "video:0:100"],
        *(
            pytest.param([f"dicom:{first}:1000"], marks=pytest.mark.slow)
            for first in range(500, 20_500, 1000)
        ),
        pytest.param(["video:100:2000"], marks=pytest.mark.slow),
    ],
    ids=lambda jobs: "-".join(jobs),
)
def test_damaged_files_are_read_or_refused(jobs: list[str]) -> None:
    pytest.importorskip("imagecodecs")  # it makes JPEG of many bits
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(FUZZ), *jobs],
        capture_output=True,
        text=True,
        timeout=290,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for job, line in zip(jobs, done.stdout.splitlines(), strict=True):
        found, count = json.loads(line), int(job.split(":")[2])
        assert sum(found["outcomes"].values()) == count
        assert found["outcomes"]["read"] > count / 10
        assert len(found["outcomes"]) >= 3  # read, and refused for two reasons or more
        assert found["longest_s"] < 10
        assert found["peak_bytes"] < 400e6
