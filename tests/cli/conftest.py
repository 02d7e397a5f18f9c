"""Running the command as a user does, in a separate process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMAND = "from cineflow.cli import main; main()"
WITHOUT_TORCH = "import sys; sys.modules.update(dict.fromkeys(('torch', 'onnx', 'onnxscript'))); "


@dataclass(frozen=True)
class Ended:
    """A command that has ended: exit code, what it printed, and what it left running."""

    code: int
    out: str
    err: str
    left: list[str]


@pytest.fixture
def cineflow(tmp_path: Path) -> Iterator[Callable[..., Ended]]:
    """Run `cineflow ARGUMENTS` in a process.

    `interrupt_at` sends SIGINT once stderr shows it, `torch=False` hides torch, and `meanwhile` is
    called while the command runs.
    """
    mark = f"CINEFLOW_TEST_MARK={tmp_path.name}-{os.getpid()}"

    def marked() -> list[str]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark.encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found

    def run(
        *arguments: object,
        interrupt_at: str = "",
        torch: bool = True,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Ended:
        name, _, value = mark.partition("=")
        environment = {**os.environ, name: value, "COLUMNS": "200", "NO_COLOR": "1"}
        code = COMMAND if torch else WITHOUT_TORCH + COMMAND
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=tmp_path,
        )
        seen = ""
        if interrupt_at:
            assert process.stderr is not None
            for line in process.stderr:
                seen += line
                if interrupt_at in line:
                    process.send_signal(signal.SIGINT)
                    break
        meanwhile()
        out, err = process.communicate(timeout=120)
        deadline = time.monotonic() + 10
        while (left := marked()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return Ended(process.returncode, out, seen + err, left + _segments(process.pid))

    yield run
    assert not marked()


def _segments(pid: int) -> list[str]:
    """Shared memory of a client in process `pid`. (`server_segments` finds a server's.)"""
    ring = re.compile(rf"cineflow-\d+-{pid}-")  # the process-id namespace, then the id
    return [name for name in os.listdir("/dev/shm") if ring.match(name)]


@pytest.fixture
def server_segments() -> Callable[[Path], list[str]]:
    """Shared memory that remains of the server that wrote a log file."""

    def left(log: Path) -> list[str]:
        names = set(re.findall(r"cineflow-[0-9a-f]{12}", log.read_text()))
        assert names, "the log does not name the server"
        return [entry for entry in os.listdir("/dev/shm") if any(name in entry for name in names)]

    return left
