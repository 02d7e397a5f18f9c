"""Nothing of a server remains, however the server or its program ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from cineflow.local_key import key_file
from cineflow.serving import ServerDiedError, TritonServer, leftovers

SLOW = pytest.mark.slow

#: A program that serves, prints that, and then does `then`.
PROGRAM = """
import os, sys, time
from cineflow.serving import TritonServer
with TritonServer(sys.argv[1]) as server:
    print(server.name, server.pid, flush=True)
    {then}
"""


def start(repository: Path, then: str) -> tuple[subprocess.Popen, str, int]:
    """Run PROGRAM; returns the process, and the name and process id of its server."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(then=then), str(repository)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(repository.parent)},  # a killed one leaves a log
    )
    line = program.stdout.readline()
    assert line, program.stderr.read()
    name, pid = line.split()
    return program, name, int(pid)


@pytest.mark.parametrize(
    ("then", "ending", "status"),
    [
        # The block unwinds and closes the server: on Ctrl-C and after an exception.
        pytest.param("time.sleep(60)", signal.SIGINT, -signal.SIGINT, id="ctrl-c"),
        pytest.param("raise RuntimeError('failure')", None, 1, id="failed", marks=SLOW),
        # The program just ends, and the supervisor closes the server.
        pytest.param("time.sleep(60)", signal.SIGKILL, -signal.SIGKILL, id="killed"),
        pytest.param(
            "time.sleep(60)", signal.SIGTERM, -signal.SIGTERM, id="terminated", marks=SLOW
        ),
        pytest.param("os._exit(3)", None, 3, id="vanished", marks=SLOW),
    ],
)
def test_a_server_ends_with_its_program(
    server_binary, repository, left_behind, then, ending, status
):
    program, name, _ = start(repository, then)
    if ending is not None:
        program.send_signal(ending)
    program.communicate(timeout=30)
    assert program.returncode == status
    assert left_behind(name) == []


#: Prints where its server listens, and what cares for it; its server removes a folder.
OWNER = """
import os, sys, time
from pathlib import Path
from cineflow.serving import TritonServer
with TritonServer(sys.argv[1], temporary=[Path(sys.argv[2])]) as server:
    print(server.url, os.getpid(), flush=True)
    server.wait()
"""


def test_what_a_killed_program_made_goes_with_its_server(server_binary, repository, tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    (folder / "file").touch()
    command = [sys.executable, "-c", OWNER, str(repository), str(folder)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    url, pid = program.stdout.readline().split()
    key = key_file(int(url.rpartition(":")[2]))
    assert key.exists()
    supervisor = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
    program.send_signal(signal.SIGKILL)
    program.wait()
    while Path(f"/proc/{supervisor}").exists():
        time.sleep(0.05)
    assert not key.exists()
    assert not folder.exists()


@pytest.mark.parametrize(
    "victim", [pytest.param("server", marks=SLOW), pytest.param("program", marks=SLOW), "all"]
)
def test_the_folders_of_a_killed_one_go(
    server_binary, repository, tmp_path, left_behind, victim
) -> None:
    """Triton's own one in /tmp, the program's, and the server's."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    before = set(Path("/tmp").glob("python_env_*"))
    command = [sys.executable, "-c", OWNER, str(repository), str(folder)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    url, pid = program.stdout.readline().split()
    (supervisor,) = children(int(pid))
    (server,) = children(supervisor)
    (scratch,) = tmp_path.glob("cineflow-server-*")
    made = [Path(line) for line in (scratch / "made").read_text().splitlines()]
    assert len(made) == 1  # others may come and go: of other servers
    assert made[0] in set(Path("/tmp").glob("python_env_*")) - before
    name = json.loads((scratch / "lock").read_text())["name"]
    victims = {"server": [server], "program": [int(pid)], "all": [supervisor, int(pid)]}
    for one in victims[victim]:
        os.kill(one, signal.SIGKILL)
    program.communicate(timeout=30)
    assert left_behind(name) == []
    while Path(f"/proc/{supervisor}").exists():
        time.sleep(0.05)
    if victim == "all":  # nobody was left to do it; the next server does
        assert made[0].exists()
        tidy = f"import tempfile; tempfile.tempdir = {str(tmp_path)!r}\n"
        tidy += "from cineflow.serving import leftovers; print(*leftovers.sweep())"
        done = subprocess.run([sys.executable, "-c", tidy], capture_output=True, text=True)
        assert done.stdout.split() == [str(scratch)]
    assert not made[0].exists()
    assert not scratch.exists()
    assert folder.exists() == (victim == "server")  # a program that lives removes its own
    assert not key_file(int(url.rpartition(":")[2])).exists()


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in found for child in path.read_text().split()]


def test_a_folder_in_use_is_not_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scratch = tmp_path / "cineflow-server-x"
    scratch.mkdir()
    assert leftovers.sweep() == []  # one that is just being made
    descriptor = leftovers.claim(scratch, "cineflow-none", [])
    assert leftovers.sweep() == []
    os.close(descriptor)
    assert leftovers.sweep() == [scratch]
    assert not scratch.exists()


def test_an_impatient_ctrl_c(server_binary, repository, left_behind):
    program, name, _ = start(repository, "time.sleep(60)")
    for _ in range(3):
        program.send_signal(signal.SIGINT)
        time.sleep(0.2)
    program.communicate(timeout=30)
    assert left_behind(name) == []


#: Prints its server's name while the server is still loading its models.
HASTY = """
import sys, threading, time
from cineflow.serving import TritonServer
server = TritonServer(sys.argv[1])
def tell():
    while server.pid is None:
        time.sleep(0.001)
    print(server.name, flush=True)
threading.Thread(target=tell, daemon=True).start()
server.start()
time.sleep(60)
"""


def test_ctrl_c_while_the_server_starts(server_binary, repository, left_behind):
    program = subprocess.Popen(
        [sys.executable, "-c", HASTY, str(repository)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    name = program.stdout.readline().strip()
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=30)
    assert ", in start\n" in said  # where the program was interrupted
    assert left_behind(name) == []


def test_a_killed_server_is_reported_and_cleared(server_binary, repository, left_behind):
    with TritonServer(repository, binary=server_binary) as server:
        server.check()
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(ServerDiedError, match="SIGKILL") as error:
            server.wait()
        assert error.value.exit_code == -signal.SIGKILL
        assert "READY" in server.log_tail(60)
        assert not server.alive
        assert left_behind(server.name) == []


def test_a_killed_supervisor_ends_the_server(server_binary, repository, left_behind):
    server = TritonServer(repository, binary=server_binary).start()
    os.kill(server._supervisor.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while server.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    server.close()
    assert left_behind(server.name) == []


def test_a_supervisor_that_stood_still_goes_on(server_binary, repository):
    """As under a debugger, or on a machine that was suspended."""
    with TritonServer(repository, binary=server_binary) as server:
        watcher = parent_of(server.pid)
        os.kill(watcher, signal.SIGSTOP)
        try:
            time.sleep(0.6)  # longer than it waits at a time
        finally:
            os.kill(watcher, signal.SIGCONT)
        pid = server.pid
        time.sleep(0.6)
        assert server.ready
        assert server.pid == pid


def test_program_and_supervisor_killed_at_once(server_binary, repository, left_behind):
    program, name, pid = start(repository, "time.sleep(60)")
    for victim in (parent_of(pid), program.pid):
        os.kill(victim, signal.SIGKILL)
    program.communicate(timeout=10)
    assert left_behind(name) == []


def parent_of(pid: int) -> int:
    """Process id of the supervisor of server `pid`."""
    return int(re.search(r"PPid:\t(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


def test_a_server_outlives_the_thread_that_started_it(server_binary, repository):
    # A parent-death signal alone would end it here, because Linux sends it when the thread ends.
    server = TritonServer(repository, binary=server_binary)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        time.sleep(0.7)
        server.check()
    finally:
        server.close()


def test_closing_one_server_leaves_another_alone(server, server_binary, repository, left_behind):
    with TritonServer(repository, binary=server_binary) as other:
        assert {other.url, other.http_url} & {server.url, server.http_url} == set()
    assert left_behind(other.name) == []
    server.check()
    assert any(server.name in entry for entry in os.listdir("/dev/shm"))
    other.close()  # may be called twice
