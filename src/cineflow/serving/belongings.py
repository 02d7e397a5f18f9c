"""What one server has outside its own process, and how that goes when the server has ended."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cineflow import local_key
from cineflow.serving import leftovers, supervisor
from cineflow.serving.access import leave_key
from cineflow.serving.command import environment_mark, shared_memory_prefix
from cineflow.serving.plan import Scratch, State


class Belongings:
    """The scratch folder of one server, its key, and its mark on processes and shared memory.

    Attributes:
        name: The server's own name.
        key: What the server knows its own user by.
        scratch: A folder that lives as long as the server.
        files: What is in it.
        remove: What the supervisor removes if this program is gone.
        claim: A descriptor; the scratch folder is in use as long as a process has it.
    """

    def __init__(self) -> None:
        self.name = f"cineflow-{secrets.token_hex(6)}"
        self.key = secrets.token_hex(16)
        self.scratch = Path(tempfile.mkdtemp(prefix=leftovers.PREFIX))
        self.files = Scratch.of(self.scratch)
        self.remove: list[str] = []
        self.claim = -1
        self._left: dict[Path, str] = {}

    def leave(self, port: int, repository: Path | None, temporary: Sequence[Path]) -> None:
        """Leave the key for this user's programs, and claim the scratch folder.

        Args:
            port: The server's gRPC port.
            repository: Where others may put models that the server loads; None: they are fixed.
            temporary: Further folders that go with the server.

        Raises:
            ServerError: The key cannot be left.
        """
        files = None
        if repository is not None:
            files = local_key.ModelFiles(str(repository), str(self.files.models))
        self._left = leave_key(port, self.key, files)
        self.remove = [str(path) for path in (self.scratch, *self._left, *temporary)]
        self.claim = leftovers.claim(self.scratch, self.name, self.remove)

    def state(self) -> State:
        """What the supervisor last did."""
        with contextlib.suppress(FileNotFoundError):
            return State(*json.loads(self.files.state.read_text()))
        return State(0, 0, "")

    def clear(self, *, processes: bool) -> None:
        """Remove all of it.

        Args:
            processes: Also end what processes the server left: its supervisor could not.
        """
        if processes:
            supervisor.end_marked(environment_mark(self.name))
        supervisor.sweep_shared_memory(shared_memory_prefix(self.name))
        supervisor.remove_made(self.files)
        shutil.rmtree(self.scratch, ignore_errors=True)
        for path, text in self._left.items():
            local_key.remove(path, text)
        if self.claim >= 0:
            os.close(self.claim)
