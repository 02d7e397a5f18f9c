"""An archive on a real Ray on this machine: a worker dies, a run is gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

COMMAND = "from cineflow.cli import main; main()"
CLIPS = 6


def workers_of(parent: int) -> list[int]:
    """Processes below `parent` in which Ray runs a `Worker`."""
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
            titles[int(folder.name)] = (folder / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue

    def below(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == parent:
                return True
        return False

    return [pid for pid, title in titles.items() if b"MapWorker" in title and below(pid)]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_dead_worker_costs_nothing_and_a_second_run_goes_on(
    write_dicom: Callable[..., Path], moving_frames: np.ndarray, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    folder = tmp_path / "archive"
    folder.mkdir()
    for number in range(CLIPS):
        frames = np.roll(moving_frames, number, axis=2)
        clip = write_dicom(frames, f"clip{number}.dcm")
        clip.rename(folder / clip.name)
    (folder / "bad.dcm").write_text("not DICOM")
    out = tmp_path / "out"
    command = [
        sys.executable, "-c", COMMAND, "analyse", str(folder), "--out", str(out),
        "--ray", "local", "--workers", "2",
    ]  # fmt: skip
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    killed, niceness = None, []
    try:
        while run.poll() is None:
            done = list(out.glob("*/summary.json"))
            if killed is None and done and len(done) < CLIPS // 2:
                found = workers_of(run.pid)
                if found:
                    killed = found[0]
                    niceness.append(os.getpriority(os.PRIO_PROCESS, killed))
                    os.kill(killed, signal.SIGKILL)
            time.sleep(0.1)
        said, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 1, said  # the bad file
    assert killed is not None, "no worker was killed, so nothing was tested"
    assert niceness == [os.getpriority(os.PRIO_PROCESS, 0)], "workers starve on a busy machine"
    rows = json.loads((out / "summary.json").read_text())["clips"]
    assert [row["number"] for row in rows] == list(range(1, CLIPS + 2))
    assert [row["state"] for row in rows].count("refused") == 1
    good = [row for row in rows if row["state"] in ("done", "already done")]
    assert len(good) == CLIPS
    for row in good:
        assert json.loads((out / row["folder"] / "summary.json").read_text())["state"] == "done"
        assert (out / row["folder"] / "report.html").stat().st_size > 50_000
    assert not list(out.glob(".*.part"))
    again = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert again.returncode == 1
    states = [row["state"] for row in json.loads((out / "summary.json").read_text())["clips"]]
    assert states.count("already done") == CLIPS
