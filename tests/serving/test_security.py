"""What a stranger on the machine or the network can do to a server: stream, and no more."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from cineflow import local_key
from cineflow.errors import ServerError
from cineflow.serving import TritonServer
from cineflow_client import Certificates, Client, ServerRefused

FRAME = np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8)

#: Code that would run in the server's stub, if it took a model from the wire.
FOREIGN = """
import pathlib
pathlib.Path({marker!r}).touch()
class TritonPythonModel:
    def execute(self, requests):
        return []
"""


@pytest.fixture(params=["fixed models", "models that change, with TLS"])
def attacked(request: pytest.FixtureRequest) -> TritonServer:
    fixed = request.param == "fixed models"
    running: TritonServer = request.getfixturevalue("server" if fixed else "secure_server")
    return running


@pytest.fixture
def secure(attacked: TritonServer, certificates: Path) -> Path | None:
    """An attacker within the hospital has a certificate."""
    return certificates if attacked.secure else None


@pytest.fixture
def stub(attacked: TritonServer, secure: Path | None) -> Iterator[Any]:
    channel = grpc.insecure_channel(attacked.url)
    if secure is not None:
        channel = grpc.secure_channel(attacked.url, Certificates.of(secure).credentials())
    with channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def load_foreign_code(stub: Any, marker: Path) -> Any:
    request = pb.RepositoryModelLoadRequest(model_name="foreign")
    request.parameters[
        "config"
    ].string_param = '{"name": "foreign", "backend": "python", "max_batch_size": 0}'
    code = FOREIGN.format(marker=str(marker)).encode()
    request.parameters["file:1/model.py"].bytes_param = code
    return stub.RepositoryModelLoad(request, timeout=30)


def write_a_log(stub: Any, marker: Path) -> Any:
    request = pb.LogSettingsRequest()
    request.settings["log_file"].string_param = str(marker)
    return stub.LogSettings(request, timeout=30)


def write_a_trace(stub: Any, marker: Path) -> Any:
    request = pb.TraceSettingRequest()
    request.settings["trace_file"].value.append(str(marker))
    request.settings["trace_level"].value.append("TIMESTAMPS")
    return stub.TraceSetting(request, timeout=30)


def map_memory(stub: Any, marker: Path) -> Any:
    request = pb.SystemSharedMemoryRegisterRequest(name="x", key="/x", byte_size=64)
    return stub.SystemSharedMemoryRegister(request, timeout=30)


def unmap_all_memory(stub: Any, marker: Path) -> Any:
    request = pb.SystemSharedMemoryUnregisterRequest()
    return stub.SystemSharedMemoryUnregister(request, timeout=30)


def list_memory(stub: Any, marker: Path) -> Any:
    return stub.SystemSharedMemoryStatus(pb.SystemSharedMemoryStatusRequest(), timeout=30)


def map_gpu_memory(stub: Any, marker: Path) -> Any:
    request = pb.CudaSharedMemoryRegisterRequest(name="x", raw_handle=bytes(64), byte_size=64)
    return stub.CudaSharedMemoryRegister(request, timeout=30)


def unmap_all_gpu_memory(stub: Any, marker: Path) -> Any:
    request = pb.CudaSharedMemoryUnregisterRequest()
    return stub.CudaSharedMemoryUnregister(request, timeout=30)


def unload(stub: Any, marker: Path) -> Any:
    request = pb.RepositoryModelUnloadRequest(model_name="lucas_kanade")
    return stub.RepositoryModelUnload(request, timeout=30)


@pytest.mark.parametrize(
    "attack",
    [
        load_foreign_code,
        unload,
        write_a_log,
        write_a_trace,
        map_memory,
        unmap_all_memory,
        list_memory,
        map_gpu_memory,
        unmap_all_gpu_memory,
    ],
    ids=lambda attack: attack.__name__,
)
def test_grpc_without_the_key(
    attacked: TritonServer,
    secure: Path | None,
    stub: Any,
    tmp_path: Path,
    attack: Callable[[Any, Path], Any],
) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(grpc.RpcError) as refused:
        attack(stub, marker)
    assert re.search(
        "protocol is restricted|is not allowed|explicit model load / unload",
        refused.value.details(),
    )
    assert not marker.exists()
    with (
        Client(attacked.url, secure=secure) as client,
        client.stream("lucas_kanade", "shm") as stream,
    ):
        assert stream.push(FRAME).current == 0  # it serves its own user as before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "repository/models/lucas_kanade/load"),
        ("POST", "repository/models/foreign/load"),
        ("POST", "repository/models/lucas_kanade/unload"),
        ("POST", "repository/index"),
        ("POST", "logging"),
        ("GET", "logging"),
        ("POST", "trace/setting"),
        ("POST", "models/lucas_kanade/trace/setting"),
        ("GET", "systemsharedmemory/status"),
        ("POST", "systemsharedmemory/region/x/register"),
        ("POST", "systemsharedmemory/unregister"),
        ("POST", "cudasharedmemory/region/x/register"),
        ("GET", "models/lucas_kanade/config"),
        ("GET", "models/lucas_kanade/stats"),
        ("POST", "models/lucas_kanade/infer"),
        ("POST", "models/lucas_kanade/generate"),
    ],
)
def test_http_without_the_key(attacked: TritonServer, method: str, path: str) -> None:
    url = f"{attacked.http_url}/v2/{path}"
    request = urllib.request.Request(url, data=b"{}" if method == "POST" else None, method=method)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 403


def test_the_key_is_nowhere_that_others_can_read(attacked: TritonServer) -> None:
    port = int(attacked.url.rpartition(":")[2])
    file = local_key.key_file(port)
    key = file.read_bytes()
    assert len(key) >= 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    mark = f"CINEFLOW_SERVER_ID={attacked.name}".encode()
    seen = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if mark in environment:
            seen += 1
            assert key not in command, command
    assert seen >= 2, "the server and a stub"


def test_the_key_goes_with_the_server(server_binary: Any, repository: Path) -> None:
    with TritonServer(repository, binary=server_binary) as server:
        file = local_key.key_file(int(server.url.rpartition(":")[2]))
        assert file.exists()
    assert not file.exists()


def test_another_user_streams_without_shared_memory(
    attacked: TritonServer,
    secure: Path | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # as another user has another one
    with Client(attacked.url, secure=secure) as client:
        with client.stream("lucas_kanade") as stream:
            assert stream.push(FRAME).current == 0
            assert stream.transport == "grpc"
            assert "server's key" in stream.transport_reason
        with pytest.raises(ServerRefused, match="own user"):
            client.mapped_regions()


def test_a_key_is_not_sent_to_another_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    file = local_key.write_key(8001, "secret")
    assert local_key.read_key("127.0.0.1:8001") == "secret"
    assert local_key.read_key("localhost:8001") == "secret"
    assert local_key.read_key("192.0.2.1:8001") is None
    assert local_key.read_key("no-such-host.invalid:8001") is None
    file.chmod(0o644)
    assert local_key.read_key("127.0.0.1:8001") is None


def test_a_runtime_folder_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`su` keeps the variable of the user before."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
    file = local_key.write_key(1, "secret")
    try:
        assert local_key.read_key("127.0.0.1:1") == "secret"
    finally:
        local_key.remove(file, "secret")
    assert not file.exists()


def test_a_key_folder_that_others_can_read_is_refused(
    server_binary: Any, repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cineflow").mkdir(mode=0o777)
    (tmp_path / "cineflow").chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(ServerError, match="open to others"):
        TritonServer(repository, binary=server_binary).start()
