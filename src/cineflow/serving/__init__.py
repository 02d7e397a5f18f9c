"""Serving with a real Triton Inference Server: install it, start it, supervise it.

`cineflow.serving.backend` is the model that runs inside the server. No other module imports it.
"""

from __future__ import annotations

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
