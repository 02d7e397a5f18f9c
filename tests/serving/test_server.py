"""Starting a server, and the errors when it cannot start."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import urllib.request
from dataclasses import replace

import pytest

from cineflow.errors import ArgumentError, ServerError
from cineflow.serving import (
    AddressUnusableError,
    PortTakenError,
    ServerBinary,
    ServerDiedError,
    ServerInstallError,
    ServerTimeoutError,
    TritonServer,
    ask_version,
)
from cineflow.serving import server as server_module
from cineflow.serving.ports import Ports, choose_ports
from cineflow_client import Client


def test_it_is_ready_and_listens_on_loopback(server):
    assert server.version.startswith("2.")
    assert server.alive
    for url in (server.url, server.http_url, server.metrics_url):
        assert "127.0.0.1:" in url
    with urllib.request.urlopen(server.http_url + "/v2/health/ready", timeout=5) as response:
        assert response.status == 200
    with urllib.request.urlopen(server.metrics_url, timeout=5) as response:
        assert b"nv_inference_request_success" in response.read()


def test_its_version_is_asked_of_the_server_itself(server, server_binary):
    assert ask_version(server_binary) == server.version


def test_a_fixed_port_that_is_taken(server_binary, repository):
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} .* for grpc"):
            TritonServer(repository, binary=server_binary, grpc_port=port).start()


def test_the_same_port_twice():
    with pytest.raises(PortTakenError, match="three different ports"):
        choose_ports("127.0.0.1", {"grpc": 8001, "http": 8001, "metrics": 0})


@pytest.mark.parametrize("host", ["", "no such host", "x" * 70, "203.0.113.1", "::zz"])
def test_an_address_that_is_not_this_machines(host):
    with pytest.raises(AddressUnusableError, match="an address of this machine") as error:
        choose_ports(host, {"grpc": 0})
    assert "ss -ltnp" not in error.value.remedy


def test_a_port_that_only_root_may_have(monkeypatch):
    def denied(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", denied)  # root, who may run the tests, is allowed
    with pytest.raises(AddressUnusableError, match=r"port 80 of .*Permission denied") as error:
        choose_ports("127.0.0.1", {"grpc": 80})
    assert "below 1024" in error.value.remedy


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_not_a_port(port):
    with pytest.raises(ArgumentError, match="from 0 to 65535 for http"):
        choose_ports("127.0.0.1", {"grpc": 0, "http": port})


def test_a_port_taken_between_choice_and_start_is_replaced(
    server_binary, repository, monkeypatch, left_behind
):
    choices = []
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]

        def first_a_taken_one(*asked):
            ports = choose_ports(*asked)
            choices.append(ports if choices else Ports(taken, ports.http, ports.metrics))
            return choices[-1]

        monkeypatch.setattr(server_module, "choose_ports", first_a_taken_one)
        with TritonServer(repository, binary=server_binary) as server:
            assert len(choices) == 2
            assert not server.url.endswith(f":{taken}")
    assert left_behind(server.name) == []


def test_ports_that_are_taken_every_time(server_binary, repository, monkeypatch, left_behind):
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        free = choose_ports("127.0.0.1", {"grpc": 0, "http": 0, "metrics": 0})
        ports = replace(free, grpc=taken)
        monkeypatch.setattr(server_module, "choose_ports", lambda *_: ports)
        monkeypatch.setattr(server_module, "_ATTEMPTS", 1)
        server = TritonServer(repository, binary=server_binary)
        with pytest.raises(PortTakenError, match=f"port {taken} .* for grpc") as error:
            server.start()
    assert "Start it again" in error.value.remedy
    assert left_behind(server.name) == []


def test_a_model_that_does_not_load(server_binary, repository, tmp_path, left_behind):
    models = shutil.copytree(repository, tmp_path / "models")
    (config,) = models.glob("lucas_kanade-*/config.pbtxt")
    config.write_text(config.read_text().replace('"lucas_kanade"', '"no_such_bundle"'))
    server = TritonServer(models, binary=server_binary)
    with pytest.raises(ServerDiedError, match="no_such_bundle") as error:
        server.start()
    assert error.value.exit_code == 1
    assert left_behind(server.name) == []


def test_a_folder_whose_name_is_not_its_content(server_binary, repository, tmp_path):
    (folder,) = repository.glob("lucas_kanade-*")
    models = tmp_path / "models"
    copied = shutil.copytree(folder, models / "lucas_kanade-deadbeef")
    config = copied / "config.pbtxt"
    config.write_text(config.read_text().replace(folder.name, copied.name))
    with pytest.raises(ServerDiedError, match=r"BundleError: .*lucas_kanade-deadbeef") as error:
        TritonServer(models, binary=server_binary).start()
    assert f"got {folder.name}" in error.value.log_tail


@pytest.mark.parametrize("known", [True, False])
def test_shared_memory_is_allowed_only_where_the_server_knows_the_option(
    repository, tmp_path, known
):
    """Triton 2.69 and newer disable clients' shared memory; older versions refuse the option."""
    backend = tmp_path / "backends" / "python"
    backend.mkdir(parents=True)
    program = tmp_path / "tritonserver"
    options = (
        "--model-repository <x>\n  --grpc-restricted-protocol <x>\n  --http-restricted-api <x>"
    )
    options += "\n  --allow-client-shm" if known else ""
    program.write_text(f'#!/bin/sh\n[ "$1" = --help ] && echo "  {options}" || echo "$@"; exit 3\n')
    program.chmod(0o755)
    binary = ServerBinary(program, "PATH", "", (), backend, backend / "stub")
    with pytest.raises(ServerDiedError) as error:
        TritonServer(repository, binary=binary).start()
    assert error.value.exit_code == 3
    assert ("--allow-client-shm=true" in error.value.log_tail) is known
    assert "--backend-directory" not in error.value.log_tail  # this server has its own backends


def test_a_server_that_cannot_be_kept_to_its_own_user(repository, tmp_path):
    """An old Triton would let everyone load models and write files."""
    backend = tmp_path / "backends" / "python"
    backend.mkdir(parents=True)
    program = tmp_path / "tritonserver"
    program.write_text("#!/bin/sh\necho '  --model-repository <x>'\n")
    program.chmod(0o755)
    binary = ServerBinary(program, "PATH", "", (), backend, backend / "stub")
    with pytest.raises(ServerInstallError, match="can restrict its interfaces"):
        TritonServer(repository, binary=binary).start()


def test_an_option_that_the_server_does_not_know(server_binary, repository):
    with pytest.raises(ArgumentError, match="no-such-option") as error:
        TritonServer(repository, binary=server_binary, options={"no-such-option": "1"}).start()
    assert "--help" in error.value.remedy


def test_a_server_that_is_not_ready_in_time(server_binary, repository, left_behind):
    server = TritonServer(repository, binary=server_binary, ready_timeout_s=0.01)
    with pytest.raises(ServerTimeoutError, match=r"within 0\.01 s"):
        server.start()
    assert left_behind(server.name) == []


def test_no_such_repository(tmp_path):
    with pytest.raises(ArgumentError, match="no such folder") as error:
        TritonServer(tmp_path / "nothing")
    assert "`cineflow repo" in error.value.remedy


def test_a_server_that_was_not_started(repository):
    with pytest.raises(ServerError, match="was not"):
        _ = TritonServer(repository).url


def test_models_come_and_go_under_explicit_control(server_binary, repository, tmp_path):
    log = tmp_path / "deep" / "server.log"
    log.parent.mkdir()
    log.write_text("what an earlier server said\n")
    with TritonServer(repository, binary=server_binary, models=[], log_file=log) as server:
        assert "earlier" not in server.log_tail(1000)
        server.load("lucas_kanade")  # the alias also loads its model
        with pytest.raises(ServerError, match="no_such_model") as error:
            server.load("no_such_model")
        assert str(repository) in error.value.remedy
        server.unload("lucas_kanade")
    assert "successfully unloaded" in log.read_text()  # a log file that was asked for is kept


def test_a_path_without_a_shell(server_binary, repository, tmp_path, monkeypatch):
    """As of a service: Triton starts the models' processes with bash."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with TritonServer(repository, binary=server_binary) as running, Client(running.url) as client:
        assert client.is_ready()
