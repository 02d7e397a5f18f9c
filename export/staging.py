"""A folder that is there whole or not at all, also when its writer is killed.

What is written lies in a hidden scratch folder beside its place and is renamed at the end. The
writer holds a lock on the scratch folder, which ends with the process; so what a killed one left is
known for certain, and the next writer clears it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

#: Endings of scratch folders: what is being written, and what it replaces.
_NEW, _OLD = ".cineflow-new", ".cineflow-old"

#: A scratch folder is this old, in seconds, before its lock is asked: a younger one may be between
#: its making and its lock.
_SETTLED_S = 60.0


@contextlib.contextmanager
def placed(folder: Path) -> Iterator[Path]:
    """A scratch folder that takes the place of `folder` on success and vanishes otherwise.

    Raises:
        OSError: Something cannot be written; what was there before is there still.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    with _scratch(folder, _NEW) as stage:
        stage.chmod(0o755)  # mkdtemp makes it private; the server may run as another user
        yield stage
        if not folder.exists():
            stage.rename(folder)
            return
        with _scratch(folder, _OLD) as older:
            kept = folder.rename(older / folder.name)
            try:
                stage.rename(folder)
            except OSError:
                kept.rename(folder)
                raise


@contextlib.contextmanager
def _scratch(folder: Path, ending: str) -> Iterator[Path]:
    """A hidden folder beside `folder`, locked while it is in use."""
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=ending, dir=folder.parent))
    try:
        with _lock(made):
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Whether the lock of `folder` is ours now: not if a process has it, or there are no locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            locked = False
        else:
            locked = True
        yield locked
    finally:
        os.close(handle)


def _clear(folder: Path) -> None:
    """Remove what killed writers of `folder` left; put back what one had moved away."""
    for ending in (_NEW, _OLD):
        for left in folder.parent.glob(f".{glob.escape(folder.name)}.*{ending}"):
            with contextlib.suppress(OSError):  # another writer was faster, or it is not ours
                if time.time() - left.stat().st_mtime < _SETTLED_S:
                    continue
                with _lock(left) as abandoned:
                    if not abandoned:
                        continue
                    kept = left / folder.name
                    if ending == _OLD and kept.exists() and not folder.exists():
                        kept.rename(folder)
                    shutil.rmtree(left)
