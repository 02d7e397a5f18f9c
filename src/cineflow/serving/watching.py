"""Whether a server responds, and whether the processes of its models live and make headway."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from cineflow.serving.plan import PULSE, Plan, Pulse, Scratch

#: How often the server is asked whether it is ready, and how long it may be silent.
_PROBE_S, _SILENT_S = 1.0, 10.0
#: What is said of the process of a model that runs, and makes no headway.
_STALLED = "has stalled"
#: If this process itself did not run for so long, the machine stood still.
_STILL_S = 2.0

#: What a server says on a machine without CUDA, where it says so, and what it means.
_NO_CUDA = re.compile(rb"CudaDriverHelper has not|CUDA driver version is insufficient")
_START_BYTES = 1 << 20
_WITHOUT_CUDA = b'without CUDA: the CPU is used"'


@dataclass(frozen=True)
class Complaint:
    """What is wrong with a server.

    Attributes:
        words: For people.
        model: The model whose process it is about; empty if it is the server itself.
        pid: That process.
        owed: How many of its frames have no response, and never will (`Pulse.owed`).
    """

    words: str
    model: str = ""
    pid: int = 0
    owed: int = 0


class Health:
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

    def complaint(self) -> Complaint | None:
        """What is wrong."""
        now = time.monotonic()
        if now - self._checked > _STILL_S:  # nobody could run: give all of them time
            self._heard, self._excused = now, now + self._plan.stall_s
        self._checked = now
        return self._of_the_models(now) or self._of_the_server(now)

    def _of_the_server(self, now: float) -> Complaint | None:
        if now - self._probed > _PROBE_S:
            self._probed = now
            if _responds(self._plan.http_port):
                if not self.ready:
                    _soften(self._plan.log, self._since)
                self._heard, self.ready = time.monotonic(), True
            self._checked = time.monotonic()  # the time of the probe is not one of standing still
        limit_s = _SILENT_S if self.ready else self._plan.ready_s
        if now - self._heard <= limit_s or not self._files.started.exists():
            return None  # whether the first start takes too long is for the program to say
        return Complaint(f"The server did not respond for {limit_s:g} s")

    def _of_the_models(self, now: float) -> Complaint | None:
        for path in self._files.vitals.glob("[0-9]*"):
            if not path.name.isdecimal():
                continue
            running = process_state(int(path.name))
            try:
                content = path.read_bytes()
            except FileNotFoundError:  # unloaded meanwhile
                continue
            pulse, model = Pulse(*PULSE.unpack_from(content)), content[PULSE.size :].decode()
            if wrong := self._of_a_model(now, pulse, running):
                silent = self.ready and now - self._heard > self._plan.stall_s
                if wrong.startswith(_STALLED) and silent:  # it waits for its server
                    return Complaint(f"The server did not respond for {self._plan.stall_s:g} s")
                who = f"The process of {model} ({path.name})"
                return Complaint(f"{who} {wrong}", model, int(path.name), pulse.owed)
        return None

    def _of_a_model(self, now: float, pulse: Pulse, running: str) -> str:
        if running in ("", "Z", "X"):
            return "has ended"
        if now < self._excused:
            return ""
        if now - 1e-9 * pulse.beat_ns > self._plan.stall_s:
            how = "is stopped" if running in "Tt" else _STALLED
            return f"{how} for {self._plan.stall_s:g} s"
        if pulse.busy_since_ns and now - 1e-9 * pulse.busy_since_ns > self._plan.hang_s:
            return f"has computed one request for {self._plan.hang_s:g} s"
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


def process_state(pid: int) -> str:
    """State letter of a process as in /proc; empty if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[0]  # the name before it may hold anything
