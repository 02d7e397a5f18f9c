"""Who may reach a server: the address that it listens on, its TLS, and the key of its own user.

Loopback is for this machine. Any other address needs mutual TLS, or a program that says that it
wants none. HTTP is always on loopback, and has only health for those without the key.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cineflow import local_key
from cineflow.errors import ServerError
from cineflow.serving.certs import Certificates, server_certificates
from cineflow.serving.errors import UnprotectedError

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Access:
    """How a server may be reached.

    Attributes:
        host: Address to listen on for gRPC.
        secure: Folder of the certificates for mutual TLS; None for none.
        insecure: Whether an address that other machines reach may be without TLS.
        metrics_host: Address for the metrics, which are plain HTTP. None: that of gRPC, but
            loopback with TLS.
    """

    host: str
    secure: Path | None = None
    insecure: bool = False
    metrics_host: str | None = None

    @property
    def metrics_address(self) -> str:
        """Where the metrics are."""
        if self.metrics_host is not None:
            return self.metrics_host
        return self.host if self.secure is None else _LOOPBACK

    @property
    def others(self) -> Mapping[str, str]:
        """The address of each protocol that is not on `host`."""
        return {"http": _LOOPBACK, "metrics": self.metrics_address}

    def certificates(self) -> Certificates | None:
        """The server's certificates, checked; None without TLS.

        Raises:
            UnprotectedError: Other machines reach the address, without TLS.
            CertificateError: A file does not do; see `server_certificates`.
        """
        if self.secure is not None:
            return server_certificates(self.secure)
        if not self.insecure and not _is_loopback(self.host):
            raise UnprotectedError(
                f"mutual TLS for {self.host}, which other machines may reach",
                "neither --secure nor --insecure",
                "`cineflow serve --secure DIR` (`cineflow certs DIR` makes certificates for a "
                "test); --insecure only in a network where everyone may send frames and read "
                "results.",
            )
        return None

    def options(self) -> Mapping[str, str]:
        """Options of tritonserver. The files are checked by `certificates`."""
        addresses = {"grpc": self.host, **self.others}  # whoever comes from elsewhere speaks gRPC
        options = {f"{protocol}-address": place for protocol, place in addresses.items()}
        found = self.certificates()
        if found is not None:
            options |= {
                "grpc-use-ssl": "true",
                "grpc-use-ssl-mutual": "true",
                "grpc-root-cert": str(found.authority),
                "grpc-server-cert": str(found.certificate),
                "grpc-server-key": str(found.key),
            }
        return options


def leave_key(port: int, key: str, files: local_key.ModelFiles | None) -> dict[Path, str]:
    """Leave the key of the server at `port` for this user's programs, and where its models are.

    Returns:
        The files and what they hold, for `local_key.remove`.

    Raises:
        ServerError: The folder is not private, or cannot be made.
    """
    try:
        made = {local_key.write_key(port, key): key}
        return made if files is None else made | local_key.write_model_files(port, files)
    except OSError as error:
        raise ServerError(
            f"to leave a key for this user's clients in {local_key.key_file(port).parent}",
            str(error),
            "Remove that folder, or set XDG_RUNTIME_DIR to one of your own.",
        ) from error


def _is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches `host`. One that does not exist counts as such."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True  # `choose_ports` says what is wrong with it
    return all(ipaddress.ip_address(str(one[4][0]).partition("%")[0]).is_loopback for one in found)
