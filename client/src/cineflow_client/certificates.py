"""The certificates by which a client and a server with mutual TLS know each other."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import grpc

from cineflow_client.errors import CertificateUnusable

_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class Certificates:
    """The PEM files of a client.

    Attributes:
        authority: Certificates of those who may sign the server's certificate.
        certificate: The client's own, with those between it and the server's authority.
        key: The private key of it; readable by its owner only.
    """

    authority: str | os.PathLike[str]
    certificate: str | os.PathLike[str]
    key: str | os.PathLike[str]

    @classmethod
    def of(cls, folder: str | os.PathLike[str]) -> Certificates:
        """Those of a folder that `cineflow certs` made: ca.crt, client.crt, client.key."""
        return cls(*(Path(folder, name) for name in ("ca.crt", "client.crt", "client.key")))

    def credentials(self) -> grpc.ChannelCredentials:
        """gRPC's form.

        Raises:
            CertificateUnusable: A file cannot be read or has no PEM, or others can read the key.
        """
        key = _content(Path(self.key), "PRIVATE KEY")
        mode = Path(self.key).stat().st_mode
        if mode & _OPEN_TO_OTHERS:
            raise CertificateUnusable(
                f"{self.key} readable by its owner only",
                f"permissions {stat.S_IMODE(mode):04o}",
                f"chmod 600 {self.key}",
            )
        return grpc.ssl_channel_credentials(
            root_certificates=_content(Path(self.authority), "CERTIFICATE"),
            private_key=key,
            certificate_chain=_content(Path(self.certificate), "CERTIFICATE"),
        )


def _content(path: Path, wanted: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CertificateUnusable(
            f"the file {path}",
            error.strerror or str(error),
            "Ask who runs the server for ca.crt, client.crt and client.key.",
        ) from error
    # gRPC would only say, with the first call, that no server can be reached.
    if f"{wanted}-----".encode() not in content:
        raise CertificateUnusable(f"{path}: PEM with a {wanted}", "a file without one")
    return content
