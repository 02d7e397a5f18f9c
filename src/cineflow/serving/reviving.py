"""Loading a model again whose process has ended, so that the streams of the others live on.

Triton says that such a model is ready and refuses its frames. Asked to load it, it starts another
process if the model's files have changed (so one is touched), and hands the frames to that. A
client goes on there with its state. Standard library only.

Triton keeps the model's last dead instance, and now and then one more for good: 34 threads and 1 MB
of shared memory each, seen in 2.51. So a server that has loaded models again some times is started
again as a whole, which costs its other streams a second.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from pathlib import Path

from cineflow.local_key import KEY_NAME
from cineflow.serving.plan import Plan, Scratch, note
from cineflow.serving.watching import Complaint, process_state

#: How often one server loads models again.
MOST_REVIVALS = 8


class Revival:
    """Loads models again, one at a time, without waiting for it.

    Args:
        plan: The server's.
        files: The server's.
    """

    def __init__(self, plan: Plan, files: Scratch) -> None:
        self._plan = plan
        self._files = files
        self._done = 0
        self._connection: socket.socket | None = None
        self._said = b""
        self._of = ""
        self._until = 0.0

    def begin(self, complaint: Complaint) -> bool:
        """Load the model of a complaint again; whether that is possible.

        It is not if the server's models are fixed, if it has no other one that lives (nothing would
        be saved, and "ready" would not be true), if Triton owes frames of the process a response
        (it would never give one), while another one is loaded, or after `MOST_REVIVALS`.
        """
        if not complaint.model or complaint.owed or self._connection is not None:
            return False
        if self._done >= MOST_REVIVALS:
            return False
        if not self._files.models.exists() or not self._others_live(complaint.pid):
            return False
        with contextlib.suppress(ProcessLookupError):  # one that stands still must not go on
            os.kill(complaint.pid, signal.SIGKILL)
        Path(self._files.vitals, str(complaint.pid)).unlink(missing_ok=True)
        try:
            os.utime(Path(self._plan.repository, complaint.model, "1", "model.py"))
            key = Path(self._plan.key_file).read_text()
            connection = socket.create_connection(("127.0.0.1", self._plan.http_port), timeout=1.0)
            path = f"/v2/repository/models/{complaint.model}/load"
            head = f"POST {path} HTTP/1.0\r\n{KEY_NAME}: {key}\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())
        except OSError:
            return False
        self._done += 1
        self._connection, self._said, self._of = connection, b"", complaint.words
        self._until = time.monotonic() + self._plan.ready_s
        note(self._plan.log, f"{complaint.words}. Its model is loaded again.")
        return True

    def failure(self) -> str:
        """Why the model could not be loaded again; empty if it was, or may still be."""
        if self._connection is None:
            return ""
        if select.select([self._connection], [], [], 0)[0]:
            with contextlib.suppress(OSError):
                self._said = self._connection.recv(64)
            self._end()
            return "" if b" 200 " in self._said else f"{self._of}, and does not load again"
        if time.monotonic() > self._until:
            self._end()
            return f"{self._of}, and was not loaded again within {self._plan.ready_s:g} s"
        return ""

    def _end(self) -> None:
        assert self._connection is not None
        self._connection.close()
        self._connection = None

    def _others_live(self, but: int) -> bool:
        pids = [path.name for path in self._files.vitals.glob("[0-9]*") if path.name.isdecimal()]
        return any(process_state(int(pid)) not in ("", "Z", "X") for pid in pids if int(pid) != but)
