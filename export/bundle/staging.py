"""A folder that is written whole or not at all, even when its writer is killed.

The files are written into a hidden scratch folder next to the final one, which is renamed at the
end. The writer holds a lock on the scratch folder, and the lock ends with the process. So a scratch
folder without a lock was left by a killed writer, and the next writer removes it.
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

#: Endings of scratch folders: the new folder, and the old one that it replaces.
_NEW, _OLD = ".cineflow-new", ".cineflow-old"

#: Age in seconds from which a scratch folder's lock is tested; a younger folder may not be locked
#: yet.
_SETTLED_S = 60.0


@contextlib.contextmanager
def placed(folder: Path) -> Iterator[Path]:
    """A scratch folder that replaces `folder` on success and is removed otherwise.

    Raises:
        OSError: Something cannot be written; the older `folder` is kept.
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
    """A hidden folder next to `folder`, locked while it is in use."""
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=ending, dir=folder.parent))
    try:
        with _lock(made):
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """True if the lock of `folder` is now ours; False if a process has it or locks do not exist."""
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
    """Remove what killed writers of `folder` left; put back a folder that one had moved away."""
    for ending in (_NEW, _OLD):
        for left in folder.parent.glob(f".{glob.escape(folder.name)}.*{ending}"):
            with contextlib.suppress(OSError):  # removed by another writer, or not ours
                if time.time() - left.stat().st_mtime < _SETTLED_S:
                    continue
                with _lock(left) as abandoned:
                    if not abandoned:
                        continue
                    kept = left / folder.name
                    if ending == _OLD and kept.exists() and not folder.exists():
                        kept.rename(folder)
                    shutil.rmtree(left)
