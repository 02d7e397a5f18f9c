"""The key by which a server knows programs of its own user on its own machine.

A server restricts what reaches beyond its models: it maps shared memory, loads models and writes
logs only for who sends its key. The key is new with each start and lies in a file that only the
server's user can read, named by the server's gRPC port. A client that cannot read it streams all
the same, by gRPC tensors.

Next to the key lies where the server keeps its models, for programs that load others
(`ModelFiles`).

The client carries an identical copy of this file, because it is installed without cineflow; a test
compares the two. Standard library only.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

#: Name of the key in Triton's options, and the header that carries it.
KEY_NAME = "cineflow-key"
GRPC_HEADER = f"triton-grpc-protocol-{KEY_NAME}"


class ModelFiles(NamedTuple):
    """Where a server whose models can change keeps them.

    Attributes:
        repository: Folder of model folders.
        loaded: File with the names that a restarted server loads: JSON, a list.
    """

    repository: str
    loaded: str


def key_file(port: int) -> Path:
    """Where the server that listens on `port` for gRPC leaves its key."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    own = os.path.isdir(base)  # `su` and containers keep the variable, but not the folder
    folder = Path(base, "cineflow") if own else Path("/tmp", f"cineflow-keys-{os.geteuid()}")
    return folder / f"{port}.key"


def write_key(port: int, key: str) -> Path:
    """Leave a key for this user's clients; returns the file.

    Raises:
        OSError: The folder cannot be made, or it belongs to another user or is open to others.
    """
    return _write(key_file(port), key)


def write_model_files(port: int, files: ModelFiles) -> dict[Path, str]:
    """Leave them in a file next to the key; returns it with its content. Raises as `write_key`."""
    text = json.dumps(files)
    return {_write(_models_file(port), text): text}


def _models_file(port: int) -> Path:
    return key_file(port).with_suffix(".models")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not _is_private(path.parent.lstat()) or path.parent.is_symlink():
        raise PermissionError(f"{path.parent} belongs to another user, or is open to others")
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path


def read_model_files(url: str) -> ModelFiles | None:
    """Those of the server at `url`; None as `read_key`, and where its models cannot change."""
    text = _read(url, _models_file)
    return None if text is None else ModelFiles(*json.loads(text))


def read_key(url: str) -> str | None:
    """The key of the server at `url` ("host:port"); None unless it is this user's, on this machine.

    A key is never sent to another machine, because it is only read for an address of this one.
    """
    return _read(url, key_file)


def _read(url: str, file_of: Callable[[int], Path]) -> str | None:
    host, _, port = url.rpartition(":")
    if not _is_here(host.strip("[]")):
        return None
    path = file_of(int(port))
    try:
        if not _is_private(path.parent.lstat()):
            return None
        with open(path) as file:
            return file.read() if _is_private(os.fstat(file.fileno())) else None
    except OSError:
        return None


def remove(path: Path, text: str) -> None:
    """Remove what `write_key` or `write_model_files` wrote, unless a later server replaced it."""
    try:
        if path.read_text() == text:
            path.unlink()
    except OSError:
        return


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _is_here(host: str) -> bool:
    """Whether every address of `host` is one of this machine."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)  # only possible with an own address
    except (OSError, UnicodeError):
        return False
    return True
