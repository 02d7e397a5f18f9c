"""What the process of a model shows of its own health, for the supervisor to watch.

Triton starts one process (the stub) for each model, and neither restarts it nor says that it is
dead. So each one keeps a small file: `<process id>` in a folder of the server. It holds a pulse,
which stops when the process is stopped or starved, and the time at which the present request began,
which grows old when a request hangs. The file goes when the model is unloaded. A file without its
process means that the process was killed or crashed.

The supervisor reads the file (`plan.py` defines it).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from cineflow.serving.plan import PULSE, Pulse
from cineflow.serving.supervisor import sweep_shared_memory

#: Names the folder of the files.
VITALS_VARIABLE = "CINEFLOW_VITALS"

_BEAT_S = 0.25
#: Seconds that this process gets to end by itself once its server is gone.
_ALONE_S = 2.0


class Vitals:
    """The file of this process.

    Args:
        model: What this process serves.
        folder: Folder of the files; None keeps none (a server that was not started by us).
        memory_prefix: Start of the names of the server's segments in /dev/shm.
    """

    def __init__(self, model: str, folder: str | None, memory_prefix: str) -> None:
        self._memory_prefix = memory_prefix
        self._ended = threading.Event()
        self._path: Path | None = None
        self._lock = threading.Lock()
        self._owed = 0
        self._began: list[int] = []  # monotonic ns of the requests that run
        if folder is None or not os.path.isdir(folder):
            return
        self._path = Path(folder, str(os.getpid()))
        new = self._path.with_suffix(".new")
        new.write_bytes(PULSE.pack(*Pulse(time.monotonic_ns(), 0, 0)) + model.encode())
        with new.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), PULSE.size)
        new.rename(self._path)
        threading.Thread(target=self._beat, name="cineflow-vitals", daemon=True).start()

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """A request runs inside. Several threads may run one each; the oldest one counts."""
        began = time.monotonic_ns()
        with self._lock:
            self._began.append(began)
            self._show_oldest()
        try:
            yield
        finally:
            with self._lock:
                self._began.remove(began)
                self._show_oldest()

    def owe(self, frames: int) -> None:
        """So many more frames will have their response outside of Triton's call; or fewer."""
        with self._lock:
            self._owed += frames
            if self._path is not None:
                self._memory[16:24] = self._owed.to_bytes(8, "little")

    def _show_oldest(self) -> None:
        if self._path is not None:
            self._memory[8:16] = min(self._began, default=0).to_bytes(8, "little")

    def end(self) -> None:
        """The model is unloaded: its process may end."""
        self._ended.set()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        server = os.getppid()
        while not self._ended.wait(_BEAT_S):
            if os.getppid() != server:  # it was killed; Triton's own way out may wait for it
                time.sleep(_ALONE_S)
                sweep_shared_memory(self._memory_prefix)
                os._exit(1)
            self._memory[:8] = time.monotonic_ns().to_bytes(8, "little")
