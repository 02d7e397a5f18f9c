"""Memory of a long clip: its grey frames, and little more.

The peak is that of a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

CHILD = """
import json, sys
from pathlib import Path
from cineflow.cli.analyse.batch import Places, analyse_file
from cineflow.cli.analyse.files import Settings
from cineflow.cli.analyse.job import open_model
from cineflow.cli.analyse.wall_file import drawn

def peak():
    # Of this program alone: getrusage would begin with the peak of the one that started it.
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return 1024 * int(line.split()[1])

short, long, out, view = sys.argv[1:]
model = open_model("lucas_kanade", 2)
for path in (short, long):
    wall = drawn(json.loads(view) | {"frame": 3 if path == short else 395})
    (row,) = analyse_file(Path(path), Places(Path(out)), model, Settings(wall))
    page = Path(out) / row["folder"] / "report.html"
    print(json.dumps([row["state"], page.stat().st_size, peak()]))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_long_clip_takes_little_more_than_its_grey_frames(
    write_dicom: Callable[..., Path], moving_frames: np.ndarray, tmp_path: Path
) -> None:
    """The wall is drawn near the end, so that points are followed back through the whole clip."""
    small = np.tile(moving_frames, (1, 2, 2))[:, :256, :320]
    there_and_back = np.concatenate([small, small[::-1]])
    long = np.tile(there_and_back, (17, 1, 1))[:400]
    tags = {"PixelSpacing": [0.5, 0.5]}
    paths = [write_dicom(there_and_back[:24], "short.dcm", **tags)]
    paths.append(write_dicom(long, "long.dcm", **tags))
    contour = [[60, 230], [62, 150], [90, 70], [150, 50], [210, 72], [236, 152], [240, 230]]
    view = {"view": "four-chamber", "contour": contour, "ed": [0]}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, paths), str(tmp_path / "out"), json.dumps(view)],
        capture_output=True,
        text=True,
        timeout=800,
        check=True,
    )
    (state, _, before), (long_state, page, after) = map(json.loads, done.stdout.splitlines())
    assert (state, long_state) == ("done", "done")
    grown = after - before
    print(f"{grown / 1e6:.0f} MB, grey frames {long.nbytes / 1e6:.0f} MB, page {page / 1e6:.1f} MB")
    # The pictures as JPEG, as base64, as JSON and in the page, each for a moment.
    assert grown < 1.5 * long.nbytes + 6 * page
