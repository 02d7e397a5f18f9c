"""What a killed writer leaves is cleared away by the next one; what a live one has is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cineflow.export.bundle import staging
from cineflow.export.bundle.staging import placed

#: Starts to write the folder, says so, and waits to be killed.
WRITER = """
import sys, time
from pathlib import Path
from cineflow.export.bundle.staging import placed

with placed(Path(sys.argv[1])) as stage:
    (stage / "half").touch()
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "_SETTLED_S", 0.0)


def write(folder: Path, text: str = "new") -> None:
    with placed(folder) as stage:
        (stage / "file").write_text(text)


def start_writer(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_scratch_of_a_killed_writer_is_cleared(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with start_writer(folder) as process:
        os.kill(process.pid, signal.SIGKILL)
    (left,) = tmp_path.iterdir()
    assert (left / "half").exists()
    write(folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_scratch_of_a_live_writer_stays(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with start_writer(folder) as process:
        write(folder)
        (scratch,) = set(tmp_path.iterdir()) - {folder}
        assert (scratch / "half").exists()
        process.kill()


def test_a_young_scratch_and_other_hidden_folders_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_SETTLED_S", 60.0)
    others = [tmp_path / name for name in (".out.backup", ".out.abc.cineflow-new", ".other.x")]
    for other in others:
        other.mkdir()
    write(tmp_path / "out")
    assert set(tmp_path.iterdir()) == {tmp_path / "out", *others}


def test_what_a_writer_was_killed_over_is_put_back(tmp_path: Path) -> None:
    """Killed between the two renames: only the older content is left, under a hidden name."""
    folder, moved = tmp_path / "out", tmp_path / ".out.abc.cineflow-old"
    write(folder, "older")
    moved.mkdir()
    folder.rename(moved / "out")
    with placed(folder):
        assert (folder / "file").read_text() == "older"
    assert list(tmp_path.iterdir()) == [folder]
