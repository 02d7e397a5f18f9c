"""The log of one server: where it starts in its file, and which lines explain the server's end."""

from __future__ import annotations

import re
from pathlib import Path

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
