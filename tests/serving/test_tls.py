"""Mutual TLS: who has no certificate of the CA does not get in, and bad files are refused early."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.errors import ArgumentError
from cineflow.serving import CertificateError, TritonServer, UnprotectedError, certs
from cineflow.serving.access import Access
from cineflow.serving.certs import make_test_certificates, server_certificates
from cineflow.serving.key_kinds import TAKEN, key_kind
from cineflow_client import Certificates, CertificateUnusable, Client, ServerUnavailable

FRAME = np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates that another CA has signed, which has the same name."""
    folder = tmp_path_factory.mktemp("foreign") / "certs"
    make_test_certificates(folder)
    return folder


@pytest.fixture
def own(certificates: Path, tmp_path: Path) -> Path:
    """A copy of the certificates, to spoil."""
    folder = shutil.copytree(certificates, tmp_path / "own")
    folder.chmod(0o700)
    return folder


def ask(url: str, authority: Path | None = None, identity: Path | None = None) -> None:
    """One call, by stubs alone. `identity` is a certificate; its key lies next to it."""
    channel = grpc.insecure_channel(url)
    if authority is not None:
        files = [None, None]
        if identity is not None:
            files = [identity.with_suffix(".key").read_bytes(), identity.read_bytes()]
        channel = grpc.secure_channel(
            url, grpc.ssl_channel_credentials(authority.read_bytes(), *files)
        )
    with channel:
        stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.ServerLive(pb.ServerLiveRequest(), timeout=10)


def test_a_stream_with_certificates(secure_server: TritonServer, certificates: Path) -> None:
    files = Certificates.of(certificates)
    with Client(secure_server.url, secure=files) as client, client.stream("lucas_kanade") as stream:
        assert [stream.push(FRAME).current for _ in range(3)] == [0, 1, 2]
        assert stream.transport == "shm"  # the server's own user, as without TLS


@pytest.mark.parametrize(
    "intruder",
    ["plain", "no certificate", "of another CA", "the server's own", "signed by itself"],
)
def test_an_intruder_is_refused(
    secure_server: TritonServer, certificates: Path, foreign: Path, own: Path, intruder: str
) -> None:
    url, authority = secure_server.url, certificates / "ca.crt"
    ask(url, authority, certificates / "client.crt")  # what is different below is what counts
    made = ["openssl", "req", "-x509", "-key", "client.key", "-subj", "/CN=me", "-out", "me.crt"]
    subprocess.run(made, cwd=own, check=True)
    shutil.copyfile(own / "client.key", own / "me.key")
    attempts: dict[str, tuple[Path | None, Path | None]] = {
        "plain": (None, None),
        "no certificate": (authority, None),
        "of another CA": (authority, foreign / "client.crt"),
        "the server's own": (authority, certificates / "server.crt"),
        "signed by itself": (authority, own / "me.crt"),
    }
    with pytest.raises(grpc.RpcError) as refused:
        ask(url, *attempts[intruder])
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_server_in_between_is_refused(
    secure_server: TritonServer, certificates: Path, own: Path, foreign: Path
) -> None:
    """The client compares the server's certificate with its CA, and with the address."""
    shutil.copyfile(foreign / "ca.crt", own / "ca.crt")
    with Client(secure_server.url, secure=own) as client, pytest.raises(ServerUnavailable) as error:
        client.server_version()
    assert "CERTIFICATE_VERIFY_FAILED" in error.value.got
    elsewhere = secure_server.url.replace("127.0.0.1", "127.0.0.2")
    with Client(elsewhere, secure=certificates) as client, pytest.raises(ServerUnavailable):
        client.server_version()


def test_the_error_of_a_plain_client_says_what_may_be_wrong(secure_server: TritonServer) -> None:
    with Client(secure_server.url) as client, pytest.raises(ServerUnavailable) as error:
        client.server_version()
    assert "secure=DIR" in error.value.remedy


def test_http_does_not_get_around_it(secure_server: TritonServer) -> None:
    """What is on other addresses than loopback is gRPC alone, although HTTP has no TLS."""
    for url in (secure_server.http_url, secure_server.metrics_url):
        port = int(url.split(":")[2].partition("/")[0])
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)
    port = int(secure_server.url.rpartition(":")[2])
    socket.create_connection(("127.0.0.2", port), timeout=5).close()
    with urllib.request.urlopen(secure_server.http_url + "/v2/health/ready", timeout=5) as response:
        assert response.status == 200  # a probe on the machine needs no certificate


@pytest.mark.parametrize("option", [["--secure", "{}"], []], ids=["certificates", "none"])
def test_the_commands_take_certificates(
    secure_server: TritonServer, certificates: Path, option: list[str]
) -> None:
    words = ["probe", "lucas_kanade", "--url", secure_server.url]
    words += [word.format(certificates) for word in option]
    done = CliRunner().invoke(_app(), words)
    assert done.exit_code == (0 if option else 2), done.output


# --- Starting ------------------------------------------------------------------------------------


def test_another_host_than_loopback_needs_tls_or_a_word(repository: Path) -> None:
    with pytest.raises(UnprotectedError, match=r"--secure DIR"):
        TritonServer(repository, host="0.0.0.0").start()
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        with pytest.raises(UnprotectedError):
            Access(host).certificates()
        assert Access(host, insecure=True).certificates() is None
    for host in ("127.0.0.1", "::1", "127.9.9.9", "localhost", "no such host"):
        assert Access(host).certificates() is None


def test_serve_says_so_before_it_starts() -> None:
    done = CliRunner().invoke(_app(), ["serve", "--host", "0.0.0.0", "--port", "0"])
    assert done.exit_code == 2
    assert "UnprotectedError" in done.output


def expire(folder: Path) -> None:
    make = "openssl x509 -req -in s.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days -1"
    steps = f"openssl req -new -key server.key -subj /CN=x -out s.csr; {make} -out server.crt"
    subprocess.run(steps, cwd=folder, shell=True, check=True, capture_output=True)


def take_from(folder: Path, name: str, other: Path) -> None:
    shutil.copyfile(other / name, folder / name)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda own, other: (own / "server.crt").unlink(), r"server\.crt; got No such file"),
        (lambda own, other: (own / "server.key").unlink(), r"server\.key; got No such file"),
        (lambda own, other: (own / "ca.crt").unlink(), r"ca\.crt; got No such file"),
        (lambda own, other: shutil.rmtree(own), r"ca\.crt; got No such file"),
        (lambda own, other: (own / "server.key").chmod(0o640), r"server\.key readable by its own"),
        (lambda own, other: (own / "ca.crt").chmod(0o666), r"ca\.crt writable by its owner only"),
        (lambda own, other: own.chmod(0o777), "and its folder as well"),
        (lambda own, other: (own / "ca.crt").write_text("-"), r"PEM in .*ca\.crt"),
        (lambda own, other: (own / "server.crt").write_text("-"), r"PEM in .*server\.crt and its"),
        (lambda own, other: take_from(own, "server.key", other), "KEY_VALUES_MISMATCH"),
        (lambda own, other: take_from(own, "ca.crt", other), "signed by .*ca.crt"),
        (lambda own, other: expire(own), "has expired"),
    ],
    ids=[
        *("no certificate", "no key", "no CA", "no folder", "key for the group"),
        *("CA for everyone", "folder for everyone", "CA without PEM", "certificate without PEM"),
        *("another key", "another CA", "expired"),
    ],
)
def test_files_that_do_not_do(
    repository: Path, own: Path, foreign: Path, spoil: Callable[[Path, Path], object], said: str
) -> None:
    spoil(own, foreign)
    server = TritonServer(repository, secure=own)
    with pytest.raises(CertificateError, match=said):
        server.start()
    assert server.log_file is None  # nothing was started


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda own: (own / "client.key").unlink(), r"client\.key; got No such file"),
        (lambda own: (own / "ca.crt").write_text("-"), r"ca\.crt: PEM with a CERTIFICATE"),
        (lambda own: (own / "client.key").chmod(0o644), r"client\.key readable by its owner only"),
    ],
    ids=["no key", "no PEM", "key for everyone"],
)
def test_files_that_do_not_do_for_a_client(
    own: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(own)
    with pytest.raises(CertificateUnusable, match=said):
        Client("127.0.0.1:1", secure=own)


# --- The test CA ---------------------------------------------------------------------------------


def test_certs_makes_private_keys_and_replaces_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "certs"
    done = CliRunner().invoke(_app(), ["certs", str(folder), "--host", "cart-7", "--host", "::5"])
    assert done.exit_code == 0, done.output
    assert len(os.listdir(folder)) == 6
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == (0o600 if path.suffix == ".key" else 0o644)
    server_certificates(folder)
    text = subprocess.run(
        ["openssl", "x509", "-in", folder / "server.crt", "-noout", "-ext", "subjectAltName"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "DNS:cart-7" in text
    assert "IP Address:0:0:0:0:0:0:0:5" in text
    with pytest.raises(ArgumentError, match="without certificates"):
        make_test_certificates(folder)
    with pytest.raises(ArgumentError, match="a host name or an address"):
        make_test_certificates(tmp_path / "other", ["x\n[ca]"])


def test_certs_without_openssl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CertificateError, match="apt-get install openssl"):
        make_test_certificates(tmp_path / "certs")


#: Kind of a key -> how openssl makes one.
KEYS = {
    "RSA": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "P-256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "P-384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "P-521": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "Ed25519": ["ED25519"],
    "Ed448": ["ED448"],
    "RSA-PSS": ["RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
}


def another_server(folder: Path, kind: str) -> None:
    """Give a server in a folder of certificates a key of another kind, signed by itself."""
    for command in (
        ["genpkey", "-algorithm", *KEYS[kind], "-out", "server.key"],
        ["req", "-x509", "-key", "server.key", "-subj", "/CN=me", "-out", "server.crt",
         "-addext", "subjectAltName = IP:127.0.0.1"],
    ):  # fmt: skip
        made = ["openssl", *command]
        subprocess.run(made, cwd=folder, check=True, umask=0o077, capture_output=True)
    both = (folder / "ca.crt").read_text() + (folder / "server.crt").read_text()
    (folder / "ca.crt").write_text(both)


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_that_clients_do_not_take_is_refused_early(own: Path, kind: str) -> None:
    another_server(own, kind)
    assert key_kind(own / "server.crt") == kind
    if kind in TAKEN:
        server_certificates(own)
        return
    with pytest.raises(CertificateError, match=rf"RSA, P-256 or P-384 .*got {kind}"):
        server_certificates(own)
    (own / "server.crt").write_text((own / "server.crt").read_text()[:300])
    with pytest.raises(ValueError, match=r"substring|ends within"):
        key_kind(own / "server.crt")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["RSA", "P-384", "P-521", "Ed25519"])
def test_which_keys_clients_take(
    server_binary: Any, repository: Path, own: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The real server and gRPC's own client decide; without our check before."""
    another_server(own, kind)
    monkeypatch.setattr(certs, "TAKEN", tuple(KEYS))
    with TritonServer(repository, binary=server_binary, secure=own) as running:
        if kind in TAKEN:
            ask(running.url, own / "ca.crt", own / "client.crt")
            return
        with pytest.raises(grpc.RpcError) as refused:
            ask(running.url, own / "ca.crt", own / "client.crt")
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
