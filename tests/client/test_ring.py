"""The ring's name in /dev/shm: unlinked at once, and swept after a program was killed too early."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cineflow_client.ring import SharedRing

FOLDER = Path("/dev/shm")

#: Opens a ring and is killed, or waits to be, while its name is in /dev/shm.
PROGRAM = """
import os, signal, sys, time
from cineflow_client.ring import SharedRing
def register(name, size):
    print(name, flush=True)
    if sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
SharedRing(1, {"frame": 256}, register)
"""


def start(fate: str) -> tuple[subprocess.Popen[str], Path]:
    """A program while its ring has a name, and that name."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, fate], stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    return program, FOLDER / program.stdout.readline().strip()


def open_ring() -> None:
    SharedRing(1, {"frame": 256}, lambda name, size: None).close()


def test_a_name_that_a_killed_program_left_goes_with_the_next_ring() -> None:
    program, left = start("killed")
    program.communicate(timeout=15)
    assert program.returncode == -signal.SIGKILL
    assert left.exists()  # the program could not remove it
    open_ring()
    assert not left.exists()


def test_the_ring_of_a_living_program_stays() -> None:
    program, ring = start("waits")
    try:
        open_ring()
        assert ring.exists()
    finally:
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=15)
    assert not ring.exists()


@pytest.mark.parametrize("prefix", ["cineflow-1-", "psm_"])
def test_what_is_not_this_namespaces_stays(prefix: str) -> None:
    foreign = FOLDER / f"{prefix}4194305-{os.getpid()}"  # above Linux' largest process id
    foreign.touch()
    try:
        open_ring()
        assert foreign.exists()
    finally:
        foreign.unlink()


def test_the_name_says_whose_it_is() -> None:
    ring = SharedRing(1, {"frame": 256}, lambda name, size: None)
    ring.close()
    assert re.fullmatch(rf"cineflow-\d+-{os.getpid()}-[0-9a-f]+", ring.name)
