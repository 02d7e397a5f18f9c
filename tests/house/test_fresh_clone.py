"""A new user's first minutes: a fresh clone, a new environment, and `make demo`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_make_demo_on_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "cineflow"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    # As in a new user's shell: outside this environment, and without a cached server.
    hidden = {"VIRTUAL_ENV", "PYTHONPATH", "CINEFLOW_SERVER_DIR"}
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment["CINEFLOW_SERVER_DIR"] = str(tmp_path / "server")
    done = subprocess.run(
        ["make", "demo"],
        cwd=clone,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    summary = json.loads((clone / "build/demo/summary.json").read_text())
    assert summary["frames"] == 30
    assert (clone / "build/demo/report.html").stat().st_size > 100_000
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
    )
    assert not status.stdout, f"the demo leaves untracked files:\n{status.stdout}"
