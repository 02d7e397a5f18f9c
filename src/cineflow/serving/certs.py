"""The certificates of mutual TLS: those of a server, checked, and a test CA that makes some.

A folder has `ca.crt`, and `server.crt` and `server.key` for a server, or `client.crt` and
`client.key` for a client (`cineflow_client.certificates`). Whose certificate the CA has signed may
connect, and nobody else.

They are made with the command `openssl`, which nearly every system has. A library would be three
more packages for everyone, for a few files that are made once.
"""

from __future__ import annotations

import contextlib
import ipaddress
import shutil
import socket
import ssl
import stat
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cineflow.errors import ArgumentError
from cineflow.serving.errors import CertificateError
from cineflow.serving.key_kinds import TAKEN, key_kind

#: Whoever else may write to a file may replace it.
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_DAYS_OF_CA = 3650

_SECTIONS = """
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {names}
[client]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
[req]
distinguished_name = name
[name]
"""


@dataclass(frozen=True)
class Certificates:
    """The files of one side of mutual TLS.

    Attributes:
        authority: Certificates of those who may sign the other side's certificate.
        certificate: This side's own, with those between it and the authority.
        key: The private key of it.
    """

    authority: Path
    certificate: Path
    key: Path


def server_certificates(folder: Path | str) -> Certificates:
    """The certificates of a server, checked.

    Raises:
        CertificateError: A file is missing or is not what its name says, the key is open to other
            users, another user may replace a file, or clients that trust `ca.crt` would refuse the
            server (it has expired, another CA has signed it, or gRPC does not take its key).
    """
    folder = Path(folder).resolve()
    found = Certificates(folder / "ca.crt", folder / "server.crt", folder / "server.key")
    for path in (found.authority, found.certificate, found.key):
        _require_safe(path, private=path == found.key)
    _require_trusted(found)
    kind = key_kind(found.certificate)
    if kind not in TAKEN:
        raise CertificateError(
            f"a key of {', '.join(TAKEN[:-1])} or {TAKEN[-1]} in {found.certificate}: clients of "
            "gRPC take no other from a server",
            kind,
            "Ask the CA for another one; `cineflow certs DIR` makes one for a test.",
        )
    return found


def make_test_certificates(
    folder: Path | str, hosts: Sequence[str] = (), days: int = 365
) -> list[Path]:
    """Make a test CA, and a certificate for a server and for a client.

    Args:
        folder: Where the six files go; created if needed. It must not have any of them.
        hosts: Names and addresses by which clients reach the server, besides this machine's own
            name and loopback.
        days: How long the two certificates are valid.

    Returns:
        The files. `ca.key` signs more certificates; keep it away from both machines.

    Raises:
        ArgumentError: A file is there already, or a host is not a name or an address.
        CertificateError: The command `openssl` is missing, or it fails.
    """
    folder = Path(folder)
    names = ("ca.crt", "ca.key", "server.crt", "server.key", "client.crt", "client.key")
    if there := [name for name in names if (folder / name).exists()]:
        raise ArgumentError(
            f"a folder without certificates: {folder}", f"{there[0]} in it", "Name another folder."
        )
    openssl = shutil.which("openssl")
    if openssl is None:
        raise CertificateError(
            "the command openssl, which makes certificates",
            "none on PATH",
            "Install it (Debian: apt-get install openssl), or take certificates of your own CA.",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    alternatives = ",".join(_alternative(host) for host in (*_own_names(), *hosts))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as text:
        new = Path(text)
        config = new / "config"
        config.write_text(_SECTIONS.format(names=alternatives))
        run = _Openssl(openssl, new, config)
        run.key("ca")
        run.run(
            *("req", "-x509", "-new", "-key", "ca.key", "-out", "ca.crt", "-extensions", "ca"),
            *("-subj", "/CN=cineflow test CA", "-days", str(_DAYS_OF_CA), "-config", "config"),
        )
        for name in ("server", "client"):
            run.key(name)
            run.signed(name, days)
        for name in names:
            (new / name).chmod(0o600 if name.endswith(".key") else 0o644)
            (new / name).rename(folder / name)
    return [folder / name for name in names]


@dataclass(frozen=True)
class _Openssl:
    program: str
    folder: Path
    config: Path

    def key(self, name: str) -> None:
        self.run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.key")

    def signed(self, name: str, days: int) -> None:
        self.run(
            *("req", "-new", "-key", f"{name}.key", "-out", f"{name}.csr", "-config", "config"),
            *("-subj", f"/CN=cineflow {name}"),
        )
        self.run(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-out", f"{name}.crt", "-days", str(days)),
            *("-extfile", "config", "-extensions", name),
        )

    def run(self, *arguments: str) -> None:
        command = [self.program, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, umask=0o077, check=False
        )
        if done.returncode != 0:
            raise CertificateError(f"`openssl {' '.join(arguments)}`", done.stderr.strip())


def _own_names() -> list[str]:
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", socket.gethostname()]))


def _alternative(host: str) -> str:
    """A host as openssl takes it. Nothing of it may be read as configuration."""
    with contextlib.suppress(ValueError):
        return f"IP:{ipaddress.ip_address(host)}"
    if not host.isascii() or not host.replace("-", "").replace(".", "").replace("*", "").isalnum():
        raise ArgumentError(
            "a host name or an address, as clients reach the server", repr(host), "Correct --host."
        )
    return f"DNS:{host}"


def _require_safe(path: Path, *, private: bool) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
        mode = path.stat().st_mode
        above = path.parent.stat().st_mode
    except OSError as error:
        raise CertificateError(
            f"the file {path}",
            error.strerror or str(error),
            "`cineflow certs DIR` makes certificates for a test; docs/serving.md names the files.",
        ) from error
    if private and mode & _OPEN_TO_OTHERS:
        raise CertificateError(
            f"{path} readable by its owner only",
            f"permissions {stat.S_IMODE(mode):04o}",
            f"chmod 600 {path}",
        )
    if (mode | (0 if above & stat.S_ISVTX else above)) & _WRITABLE_BY_OTHERS:
        raise CertificateError(
            f"{path} writable by its owner only, and its folder as well",
            f"permissions {stat.S_IMODE(mode):04o} in a folder of {stat.S_IMODE(above):04o}",
            f"chmod go-w {path} {path.parent}",
        )


def _require_trusted(found: Certificates) -> None:
    """A handshake in memory, between this server and a client that trusts the authority."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # a client compares it with the name that it used
    _load(client.load_verify_locations, found.authority)
    _load(server.load_cert_chain, found.certificate, found.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = server.wrap_bio(to_server, to_client, server_side=True)
    there = client.wrap_bio(to_client, to_server)
    try:
        for end in (there, here, there):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLCertVerificationError as error:
        raise CertificateError(
            f"{found.certificate} signed by {found.authority}, and valid today",
            error.verify_message,
            "Ask the CA for another one; `cineflow certs DIR` makes one for a test.",
        ) from error


def _load(load: Callable[..., None], *files: Path) -> None:
    try:
        load(*files)
    except ssl.SSLError as error:
        raise CertificateError(
            f"PEM in {' and its private key in '.join(map(str, files))}",
            error.reason or str(error),
            "Write the files again.",
        ) from error
