"""A small process between cineflow and tritonserver: it watches the server and ends all of it.

Problem: a server must not survive the program that started it, however that program ends, and a
server that is killed leaves its Python stubs and their shared memory behind. A parent-death signal
alone does not do: Linux sends it when the *thread* that started the child ends, and it cleans
nothing. Handlers in the program do not run on SIGKILL. And Triton never restarts a stub that dies:
it stays "ready" and refuses every frame; it crashes when a stub goes on after a stall.

Solution: the program starts this file in a session of its own, and this file starts the server.
It waits for the first of four: the server ends, the program asks (SIGTERM), the program is gone
(its process id is no longer our parent's), or the server or one of its models is no longer well
(`watching.py`) and loading that model again is not possible (`reviving.py`). It then ends the
server's process group, adopts and reaps what is left of it, and removes the shared memory that
carries this server's own prefix. If neither the program nor its end was the reason, it starts the
server again, as often as the plan says.
Should this process itself be killed, the kernel kills the server (the parent-death signal is safe
here: there is one thread), and `TritonServer.close` does the rest.

Usage: COMMAND and the JSON of a `Plan`. What it imports needs the standard library only: it runs
isolated and starts quickly. Its exit status is the last server's (128 + N for signal N).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from cineflow.serving.plan import Plan, Scratch, State, note
from cineflow.serving.reviving import Revival
from cineflow.serving.watching import Health

#: Runs this file in an interpreter that has no other paths than its own and cineflow's.
COMMAND = (
    sys.executable,
    "-I",
    "-c",
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from cineflow.serving.supervisor import main; sys.exit(main(sys.argv[1]))",
    str(Path(__file__).parents[2]),
)
SHARED_MEMORY = Path("/dev/shm")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ASKS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
#: Restarts are counted over this time.
_WINDOW_S = 600.0
#: Between two starts, where the first one did not get ready.
_PAUSE_S = 1.0

#: What Triton says while it waits: the seconds that are left, and the models with live streams.
_STREAMS_LEFT = re.compile(rb"Timeout (\d+): Found (\d+) model versions that have in-flight inf")
#: Start of the names of the folders that a killed server leaves in /tmp.
_MADE = "python_env_"


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
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_ASKS, signal.SIGCHLD})
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
            health = Health(plan, files)
            try:
                watched = _Watched(plan, files, state, restarted, health)
                ill = watched.until_the_end(server.pid)
                state = watched.state
                if ill is None and not _ended(server.pid):
                    _ask_to_end(server, plan)
            finally:
                status = _end(server, plan, files)
            now = time.monotonic()
            restarted = [when for when in restarted if now - when < _WINDOW_S]
            if ill is None or not files.started.exists() or len(restarted) >= plan.restarts:
                return status if status >= 0 else 128 - status
            restarted.append(now)
            state = State(0, state.restarts + 1, ill or _ending(status), state.reloads)
            note(plan.log, f"{state.reason}. The server is started again.")
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


class _Watched:
    """One server while it runs.

    Attributes:
        state: The state, with the models that were loaded again.
    """

    def __init__(
        self, plan: Plan, files: Scratch, state: State, restarted: list[float], health: Health
    ) -> None:
        self.state = state
        self._plan = plan
        self._files = files
        self._restarted = restarted  # when; a model that is loaded again counts as well
        self._health = health
        self._revival = Revival(plan, files)

    def until_the_end(self, pid: int) -> str | None:
        """Wait until the server is to end. Returns why it must be started again.

        None: the program asks, or is gone. Empty: the server has ended by itself.
        """
        while os.getppid() == self._plan.parent:
            if _ended(pid):
                return ""
            if _asked_within(0.2):
                return None
            if ill := self._revival.failure() or self._illness():
                note(self._plan.log, f"{ill}. The server is ended.")
                return ill
        return None

    def _illness(self) -> str:
        """What is wrong with the server that loading a model again does not cure."""
        complaint = self._health.complaint()
        if complaint is None:
            return ""
        may = self._files.started.exists() and len(self._restarted) < self._plan.restarts
        if not (may and self._revival.begin(complaint)):
            return complaint.words
        self._restarted.append(time.monotonic())
        self.state = self.state._replace(reason=complaint.words, reloads=self.state.reloads + 1)
        _write(self._files.state, json.dumps(self.state))
        return ""


def _ask_to_end(server: subprocess.Popen[bytes], plan: Plan) -> None:
    said = os.stat(plan.log).st_size
    server.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + plan.grace_s
    while not (_ended(server.pid) or time.monotonic() > deadline):
        if _is_held(plan.log, said, plan.streams_s):
            return
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


def _ending(status: int) -> str:
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
    return f"The server ended by itself ({how})"


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


def _is_held(log: str, since: int, streams_s: float) -> bool:
    """Whether a server that is asked to end says that streams have outlived their time.

    Triton counts that time and the one of the models as one, and hangs after both.
    """
    with open(log, "rb") as file:
        file.seek(since)
        text = file.read()
    counts = _STREAMS_LEFT.findall(text)  # one each second, down to 0
    held = bool(counts) and int(counts[-1][1]) > 0
    late = held and int(counts[0][0]) - int(counts[-1][0]) >= streams_s
    return late or b"failed to stop server" in text


def _asked_within(seconds: float) -> bool:
    """Sleep, but not on after a child has ended; whether a signal has asked to end.

    What `sigtimedwait` returns is not read. When this process stands still (a debugger, a machine
    that is suspended) beyond the time limit, CPython returns a signal that never came. A signal
    that asks stays blocked and pending.
    """
    signal.sigtimedwait({signal.SIGCHLD}, seconds)
    return not _ASKS.isdisjoint(signal.sigpending())


def _reap_the_rest() -> None:
    """End and collect what the server left to us, also what had left its process group."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    with contextlib.suppress(ChildProcessError, FileNotFoundError):
        while True:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                for pid in children.read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                os.waitpid(-1, 0)
