"""A small process between cineflow and tritonserver: it watches the server and ends all of it.

Problem: a server must not survive the program that started it, however that program ends, and a
server that is killed leaves its Python stubs and their shared memory behind. A parent-death signal
alone does not do: Linux sends it when the *thread* that started the child ends, and it cleans
nothing. Handlers in the program do not run on SIGKILL. And Triton never restarts a stub that dies:
it stays "ready" and refuses every frame; it crashes when a stub goes on after a stall.

Solution: the program starts this file in a session of its own, and this file starts the server.
It waits for the first of four: the server ends, the program asks (SIGTERM), the program is gone
(its process id is no longer our parent's), or the server or one of its models is no longer well
(`_Health`). It then ends the server's process group, adopts and reaps what is left of it, and
removes the shared memory that carries this server's own prefix. If neither the program nor its end
was the reason, it starts the server again, as often as the plan says.
Should this process itself be killed, the kernel kills the server (the parent-death signal is safe
here: there is one thread), and `TritonServer.close` does the rest.

Usage: python -I supervisor.py PLAN, where PLAN is the JSON of a `Plan`. Standard library only: it
runs isolated and starts quickly. Its exit status is the last server's (128 + N for signal N).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

SHARED_MEMORY = Path("/dev/shm")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
#: Restarts are counted over this time.
_WINDOW_S = 600.0
#: Between two starts, where the first one did not get ready.
_PAUSE_S = 1.0
#: How often the server is asked whether it is ready, and how long it may be silent.
_PROBE_S, _SILENT_S = 1.0, 10.0
#: If this process itself did not run for so long, the machine stood still.
_STILL_S = 2.0

#: Start of the names of the folders that a killed server leaves in /tmp.
_MADE = "python_env_"

#: What a server says on a machine without CUDA, where it says so, and what it means.
_NO_CUDA = re.compile(rb"CudaDriverHelper has not|CUDA driver version is insufficient")
_START_BYTES = 1 << 20
_WITHOUT_CUDA = b'without CUDA: the CPU is used"'

#: A file of `vitals.py` starts with this; the model's name follows.
PULSE = struct.Struct("<qq")


class Pulse(NamedTuple):
    """Monotonic times in ns of a model's process.

    Attributes:
        beat_ns: Its last sign of life.
        busy_since_ns: When the present request began; 0 without one.
    """

    beat_ns: int
    busy_since_ns: int


@dataclass(frozen=True)
class Plan:
    """What to run, how to watch it, and what to leave behind: nothing.

    Attributes:
        command: The server's command line, without the models to load.
        parent: Process id of the program that wants the server; when it is gone, so is the server.
        log: File that takes the server's output.
        shared_memory_prefix: Start of the names of this server's segments in /dev/shm.
        grace_s: Seconds between asking the server to end and killing it.
        remove: Folders and files to remove when the program is gone and cannot do it.
        preload: Library that the server loads first. It takes the server's hidden arguments from
            the environment.
        scratch: Folder that lives as long as the program's server; see `Scratch`.
        http_port: Where the server says whether it is ready.
        restarts: How often the server is started again within ten minutes.
        stall_s: Seconds without a pulse after which a model's process counts as stalled.
        hang_s: Seconds after which a request counts as hanging.
        ready_s: Seconds that a restarted server gets until it is ready.
    """

    command: list[str]
    parent: int
    log: str
    shared_memory_prefix: str
    grace_s: float
    remove: list[str]
    preload: str
    scratch: str
    http_port: int
    restarts: int
    stall_s: float
    hang_s: float
    ready_s: float

    def to_json(self) -> str:
        """This plan as the command-line argument that `main` reads."""
        return json.dumps(asdict(self))


class Scratch(NamedTuple):
    """The files that the program, this process and the server share.

    Attributes:
        models: Models to load with the next start: JSON, a list; absent if all are loaded.
        started: Exists once the program has seen its server ready.
        state: The present `State`.
        vitals: Folder of the files that `vitals.py` writes.
        made: Names of the folders that the server makes elsewhere, one per line.
    """

    models: Path
    started: Path
    state: Path
    vitals: Path
    made: Path

    @classmethod
    def of(cls, folder: str | Path) -> Scratch:
        """The files of a scratch folder."""
        return cls(*(Path(folder, name) for name in cls._fields))


class State(NamedTuple):
    """What the supervisor last did.

    Attributes:
        pid: Process id of the present server.
        restarts: How often it was started again.
        reason: Why it was the last time; empty if it was not.
    """

    pid: int
    restarts: int
    reason: str


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
    """Run the plan to its end; returns the last server's exit status."""
    plan = Plan(**json.loads(argument))
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphaned stubs become our children
    files = Scratch.of(plan.scratch)
    restarted: list[float] = []
    state = State(0, 0, "")
    try:
        while True:
            server = _launch(plan, files, libc)
            state = state._replace(pid=server.pid)
            _write(files.state, json.dumps(state))
            if state.restarts == 0:
                print(server.pid, flush=True)
            health = _Health(plan, files)
            try:
                ill = _watch(server.pid, plan, health)
                if ill is None and not _ended(server.pid):
                    _ask_to_end(server, plan)
            finally:
                status = _end(server, plan, files)
            now = time.monotonic()
            restarted = [when for when in restarted if now - when < _WINDOW_S]
            if ill is None or not files.started.exists() or len(restarted) >= plan.restarts:
                return status if status >= 0 else 128 - status
            restarted.append(now)
            state = State(0, state.restarts + 1, ill or _ending(status))
            _note(plan.log, f"{state.reason}. The server is started again.")
            _write(files.state, json.dumps(state))
            if not health.ready and _asked_within(_PAUSE_S):
                return status if status >= 0 else 128 - status
    finally:
        if os.getppid() != plan.parent:
            for path in map(Path, plan.remove):
                _remove(path)


def _launch(plan: Plan, files: Scratch, libc: ctypes.CDLL) -> subprocess.Popen[bytes]:
    files.vitals.mkdir(exist_ok=True)
    models = json.loads(files.models.read_text()) if files.models.exists() else []

    def in_server() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the blocked signals would be inherited

    preload = ":".join(filter(None, (plan.preload, os.environ.get("LD_PRELOAD"))))
    with open(plan.log, "ab") as log:
        return subprocess.Popen(
            [*plan.command, *(f"--load-model={model}" for model in models)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LD_PRELOAD": preload},
            start_new_session=True,
            preexec_fn=in_server,
        )


def _watch(pid: int, plan: Plan, health: _Health) -> str | None:
    """Wait until the server is to end. Returns why it must be started again.

    None: the program asks, or is gone. Empty: the server has ended by itself.
    """
    while os.getppid() == plan.parent:
        if _ended(pid):
            return ""
        if _asked_within(0.2):
            return None
        if ill := health.complaint():
            _note(plan.log, f"{ill}. The server is ended.")
            return ill
    return None


def _ask_to_end(server: subprocess.Popen[bytes], plan: Plan) -> None:
    said = os.stat(plan.log).st_size
    server.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + plan.grace_s
    while not (_ended(server.pid) or time.monotonic() > deadline or _gave_up(plan.log, said)):
        _asked_within(0.2)


def _end(server: subprocess.Popen[bytes], plan: Plan, files: Scratch) -> int:
    """End what is left of a server, and remove what it made; returns its exit status."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)  # not reaped yet: the id is still the server's
    status = server.wait()
    _reap_the_rest()
    sweep_shared_memory(plan.shared_memory_prefix)
    remove_made(files)
    shutil.rmtree(files.vitals, ignore_errors=True)
    return status


def remove_made(files: Scratch) -> None:
    """Remove the folders that the server made outside its scratch folder."""
    if files.made.exists():
        for line in files.made.read_text().splitlines():
            if Path(line).name.startswith(_MADE):  # a model's program makes its own folders
                _remove(Path(line))
        files.made.unlink()


class _Health:
    """Whether the server responds, and whether the processes of its models live and make headway.

    Attributes:
        ready: Whether the server was ready once.
    """

    def __init__(self, plan: Plan, files: Scratch) -> None:
        self.ready = False
        self._plan = plan
        self._files = files
        self._since = os.stat(plan.log).st_size
        now = time.monotonic()
        self._checked, self._heard, self._probed, self._excused = now, now, 0.0, 0.0

    def complaint(self) -> str:
        """What is wrong; empty if nothing is."""
        now = time.monotonic()
        if now - self._checked > _STILL_S:  # nobody could run: give all of them time
            self._heard, self._excused = now, now + self._plan.stall_s
        self._checked = now
        return self._of_the_models(now) or self._of_the_server(now)

    def _of_the_server(self, now: float) -> str:
        if now - self._probed > _PROBE_S:
            self._probed = now
            if _responds(self._plan.http_port):
                if not self.ready:
                    _soften(self._plan.log, self._since)
                self._heard, self.ready = time.monotonic(), True
            self._checked = time.monotonic()  # the time of the probe is not one of standing still
        limit_s = _SILENT_S if self.ready else self._plan.ready_s
        if now - self._heard <= limit_s or not self._files.started.exists():
            return ""  # whether the first start takes too long is for the program to say
        return f"The server did not respond for {limit_s:g} s"

    def _of_the_models(self, now: float) -> str:
        for path in self._files.vitals.glob("[0-9]*"):
            if not path.name.isdecimal():
                continue
            running = _state(int(path.name))
            try:
                content = path.read_bytes()
            except FileNotFoundError:  # unloaded meanwhile
                continue
            pulse, model = Pulse(*PULSE.unpack_from(content)), content[PULSE.size :].decode()
            who = f"The process of {model} ({path.name})"
            if running in ("", "Z", "X"):
                return f"{who} has ended"
            if now < self._excused:
                continue
            if now - 1e-9 * pulse.beat_ns > self._plan.stall_s:
                how = "is stopped" if running in "Tt" else "has stalled"
                return f"{who} {how} for {self._plan.stall_s:g} s"
            if pulse.busy_since_ns and now - 1e-9 * pulse.busy_since_ns > self._plan.hang_s:
                return f"{who} has computed one request for {self._plan.hang_s:g} s"
        return ""


def _soften(log: str, since: int) -> None:
    """Put a plain statement in the place of the errors that a start without CUDA writes.

    The new text is as long as the old one: the server goes on writing behind it.
    """
    with contextlib.suppress(OSError), open(log, "r+b") as file:  # not one that can be written to
        file.seek(since)
        for line in file.read(_START_BYTES).splitlines(keepends=True):
            head, bracket, said = line.partition(b'] "')
            if _NO_CUDA.search(said) and head[:1] in b"EW":
                file.seek(since)
                file.write((b"I" + head[1:] + bracket + _WITHOUT_CUDA).ljust(len(line) - 1))
            since += len(line)


def _responds(port: int) -> bool:
    """Whether the server says that it is ready."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_PROBE_S) as connection:
            connection.sendall(b"GET /v2/health/ready HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def _state(pid: int) -> str:
    """State letter of a process as in /proc; empty if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[0]  # the name before it may hold anything


def _ending(status: int) -> str:
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
    return f"The server ended by itself ({how})"


def _note(log: str, text: str) -> None:
    with open(log, "ab") as file:
        file.write(f"cineflow: {text}\n".encode())


def _write(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _ended(pid: int) -> bool:
    """Whether child `pid` has ended; it stays unreaped, so its id stays its own."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, flags) is not None


def _gave_up(log: str, since: int) -> bool:
    """Whether the server says that streams outlived its limit: it then hangs, and never ends."""
    with open(log, "rb") as file:
        file.seek(since)
        return b"failed to stop server" in file.read()


def _asked_within(seconds: float) -> bool:
    """Sleep; whether a signal asked to end meanwhile. A child that ends also ends the sleep."""
    woken_by = signal.sigtimedwait(_WATCHED, seconds)
    return woken_by is not None and woken_by.si_signo != signal.SIGCHLD


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
