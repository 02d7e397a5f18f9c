"""Serving with a real Triton Inference Server: install it, start it, supervise it.

`cineflow.serving.backend` is the model that runs inside the server. No other module imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cineflow.serving.errors import (
        AddressUnusableError,
        CertificateError,
        PortTakenError,
        ServerDiedError,
        ServerInstallError,
        ServerNotFoundError,
        ServerTimeoutError,
        SharedMemoryFullError,
        UnprotectedError,
    )
    from cineflow.serving.install import ServerBinary, find_server, install_server, server_directory
    from cineflow.serving.server import TritonServer, ask_version

__all__ = [
    "AddressUnusableError",
    "CertificateError",
    "PortTakenError",
    "ServerBinary",
    "ServerDiedError",
    "ServerInstallError",
    "ServerNotFoundError",
    "ServerTimeoutError",
    "SharedMemoryFullError",
    "TritonServer",
    "UnprotectedError",
    "ask_version",
    "find_server",
    "install_server",
    "server_directory",
]

_INSTALL = {"ServerBinary", "find_server", "install_server", "server_directory"}
_SERVER = {"TritonServer", "ask_version"}


def __getattr__(name: str) -> Any:
    """A name at its first use: the supervisor, a small process, needs none of them."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "install" if name in _INSTALL else "server" if name in _SERVER else "errors"
    return getattr(import_module(f"{__name__}.{module}"), name)
