"""Folders of servers whose program and supervisor were both killed.

Nothing can remove them at that moment, so the next server that starts does. A scratch folder holds
a file that its program and its supervisor keep locked. The kernel releases the lock when both have
ended, in whichever way.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cineflow.serving.command import environment_mark, shared_memory_prefix
from cineflow.serving.plan import Scratch
from cineflow.serving.supervisor import end_marked, remove_made, sweep_shared_memory

PREFIX = "cineflow-server-"
_LOCK = "lock"


def claim(scratch: Path, name: str, remove: Sequence[str]) -> int:
    """Mark a scratch folder as used by this process and those that inherit the descriptor.

    Args:
        scratch: The folder.
        name: The server's own name.
        remove: What else goes when it is left behind.

    Returns:
        A descriptor. The folder is used until every copy of it is closed.
    """
    new = scratch / "lock.new"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, json.dumps({"name": name, "remove": list(remove)}).encode())
    new.rename(scratch / _LOCK)  # only now can it be seen, and it is locked
    return descriptor


def sweep() -> list[Path]:
    """Remove what killed servers of this user left; returns their scratch folders."""
    swept = []
    for scratch in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, ValueError):  # in use, or just swept by another one
            if scratch.stat().st_uid != os.geteuid():
                continue
            with (scratch / _LOCK).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left = json.loads(file.read())
                end_marked(environment_mark(left["name"]))
                sweep_shared_memory(shared_memory_prefix(left["name"]))
                remove_made(Scratch.of(scratch))
                for path in map(Path, left["remove"]):
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink(missing_ok=True)
                shutil.rmtree(scratch, ignore_errors=True)
                swept.append(scratch)
    return swept
