"""The log of one server: where it starts in its file, and why the server ended."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from cineflow.serving.errors import ServerDiedError

# Tables, notes and warnings do not explain an end; nor do errors about a missing GPU.
_CHATTER = re.compile(r"^([|+]|[IW]\d{4} )|CUDA driver|CudaDriverHelper|^\s*$")
_TAIL_BYTES = 1 << 18


class ServerLog:
    """The part of a file that one server writes. Other servers may have written before it.

    Args:
        path: The file; its folder is created. The server's part starts at its present end.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as log:
            self._start = log.tell()
        self.path = path

    def tail(self, lines: int) -> str:
        """The last lines of this server; empty if the file is gone."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as log:
            log.seek(max(self._start, self.path.stat().st_size - _TAIL_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def explanation(self) -> str:
        """The last lines that may say why the server ended; its plain tail if no line is left."""
        said = [line for line in self.tail(200).splitlines() if not _CHATTER.search(line)]
        return "\n".join(said[-20:]) or self.tail(20)


def death(
    wanted: str, status: int | None, log: ServerLog | None, *, kept: Path | None
) -> ServerDiedError:
    """The error for a server that has ended.

    Args:
        wanted: What was wanted of it.
        status: Exit status of its supervisor; None if it was never started.
        log: Its log; None if it was never started.
        kept: The log file, if it remains after the server.
    """
    # The supervisor passes a signal on as 128 + N.
    code = 128 - status if status is not None and status > 128 else status
    ended_by_signal = code is not None and code < 0
    reason = (
        f"signal {signal.Signals(abs(code or 0)).name}" if ended_by_signal else f"exit code {code}"
    )
    tail = "" if log is None else log.explanation()
    return ServerDiedError(
        wanted,
        f"{reason}. Its log says:\n{tail}" if tail else reason,
        f"The whole log: {kept}" if kept else "",
        exit_code=code,
        log_tail=tail,
    )
