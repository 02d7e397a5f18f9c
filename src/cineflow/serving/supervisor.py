"""A small process between cineflow and tritonserver, so that nothing outlives either of them.

Problem: a server must not survive the program that started it, however that program ends, and a
server that is killed leaves its Python stubs and their shared memory behind. A parent-death signal
alone does not do: Linux sends it when the *thread* that started the child ends, and it cleans
nothing. Handlers in the program do not run on SIGKILL.

Solution: the program starts this file in a session of its own, and this file starts the server.
It waits for the first of three: the server ends, the program asks (SIGTERM), the program is gone
(its process id is no longer our parent's). It then ends the server's process group, adopts and
reaps what is left of it, and removes the shared memory that carries this server's own prefix.
Should this process itself be killed, the kernel kills the server (the parent-death signal is safe
here: there is one thread), and `TritonServer.close` does the rest.

Usage: python -I supervisor.py PLAN, where PLAN is the JSON of a `Plan`. Standard library only: it
runs isolated and starts quickly. Its exit status is the server's (128 + N for signal N).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


@dataclass(frozen=True)
class Plan:
    """What to run and what to leave behind: nothing.

    Attributes:
        command: The server's command line.
        parent: Process id of the program that wants the server; when it is gone, so is the server.
        log: File that takes the server's output.
        shared_memory_prefix: Start of the names of this server's segments in /dev/shm.
        grace_s: Seconds between asking the server to end and killing it.
        remove: Folders and files to remove when the program is gone and cannot do it.
        preload: Library that the server loads first. It takes the server's hidden arguments from
            the environment.
    """

    command: list[str]
    parent: int
    log: str
    shared_memory_prefix: str
    grace_s: float
    remove: list[str]
    preload: str

    def to_json(self) -> str:
        """This plan as the command-line argument that `main` reads."""
        return json.dumps(asdict(self))


def sweep_shared_memory(prefix: str) -> list[str]:
    """Remove the segments whose names start with `prefix`; returns the names."""
    swept = []
    for path in SHARED_MEMORY.glob(f"{prefix}*"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            swept.append(path.name)
    return swept


def end_marked(mark: str) -> list[int]:
    """Kill the processes that inherited the environment entry `mark` ("NAME=value").

    A process id may be another's by the time it is used; an inherited mark cannot.
    """
    ended = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone, or not ours to read
            if f"\0{mark}\0".encode() in b"\0" + (folder / "environ").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)
                ended.append(int(folder.name))
    return ended


def main(argument: str) -> int:
    """Run the plan to its end; returns the server's exit status."""
    plan = Plan(**json.loads(argument))
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphaned stubs become our children

    def in_server() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the blocked signals would be inherited

    preload = ":".join(filter(None, (plan.preload, os.environ.get("LD_PRELOAD"))))
    with open(plan.log, "ab") as log:
        server = subprocess.Popen(
            plan.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LD_PRELOAD": preload},
            start_new_session=True,
            preexec_fn=in_server,
        )
    print(server.pid, flush=True)
    try:
        _wait(server.pid, until=lambda: os.getppid() != plan.parent, heed_signals=True)
        if not _ended(server.pid):
            said = os.stat(plan.log).st_size
            server.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + plan.grace_s
            _wait(
                server.pid,
                until=lambda: time.monotonic() > deadline or _gave_up(plan.log, said),
                heed_signals=False,
            )
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)  # not reaped yet: the id is still the server's
        status = server.wait()
        _reap_the_rest()
        sweep_shared_memory(plan.shared_memory_prefix)
        if os.getppid() != plan.parent:
            for path in map(Path, plan.remove):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
    return status if status >= 0 else 128 - status


def _ended(pid: int) -> bool:
    """Whether child `pid` has ended; it stays unreaped, so its id stays its own."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, flags) is not None


def _gave_up(log: str, since: int) -> bool:
    """Whether the server says that streams outlived its limit: it then hangs, and never ends."""
    with open(log, "rb") as file:
        file.seek(since)
        return b"failed to stop server" in file.read()


def _wait(pid: int, *, until: Callable[[], bool], heed_signals: bool) -> None:
    """Sleep until child `pid` ends, `until()` holds or (if heeded) a signal asks us to stop."""
    while not _ended(pid) and not until():
        woken_by = signal.sigtimedwait(_WATCHED, 0.2)
        asked = woken_by is not None and woken_by.si_signo != signal.SIGCHLD
        if heed_signals and asked:
            return


def _reap_the_rest() -> None:
    """End and collect what the server left to us, also what had left its process group."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    with contextlib.suppress(ChildProcessError, FileNotFoundError):
        while True:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                for pid in children.read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                os.waitpid(-1, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
