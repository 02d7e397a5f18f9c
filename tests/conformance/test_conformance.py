"""docs/protocol.md is enough: a client of bare KServe stubs passes the cases of the suite."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

import cineflow.errors
import cineflow.serving.errors
from cineflow.served import CONTRACT
from cineflow.serving import TritonServer
from tests.conformance import bare_client
from tests.conformance.bare_client import Push, Ring, Server, Stream
from tests.conformance.described import SUITE, texture
from tests.conformance.runner import cases, run

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "protocol.md").read_text()


@pytest.mark.parametrize(("case", "transport"), cases("default"))
def test_case(case: Mapping[str, Any], transport: str, server: TritonServer) -> None:
    run(case, transport, server)


@pytest.mark.parametrize(("case", "transport"), cases("two places, four seconds"))
def test_case_of_a_small_server(
    case: Mapping[str, Any], transport: str, brief_server: TritonServer, certificates: Path
) -> None:
    """Over mutual TLS."""
    run(case, transport, brief_server, secure=certificates)


def test_without_a_certificate_nobody_gets_in(brief_server: TritonServer) -> None:
    plain = Server(brief_server.url)
    with pytest.raises(grpc.RpcError) as refused:
        plain.find("lucas_kanade")
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    plain.close()


@pytest.fixture
def bare(server: TritonServer) -> Iterator[Server]:
    connected = Server(server.url)
    yield connected
    connected.close()


def test_memory_is_not_mapped_without_the_key(bare: Server) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        bare_client.register(bare, "cineflow-0-0-x", 64, with_key=False)
    assert "protocol is restricted" in refused.value.details()


def test_the_next_ring_removes_what_a_killed_program_left(bare: Server) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = f"{bare_client.own_prefix()}{gone.pid}-0"
    foreign = f"cineflow-1-{gone.pid}-0"  # of another namespace
    path = Path("/dev/shm") / left
    path.write_bytes(bytes(4096))
    try:
        bare_client.register(bare, left, 4096)
        os.link(path, path.with_name(foreign))
        ring = Ring(bare, 1, {"frame": 64})
        assert not path.exists()
        assert left not in bare_client.regions(bare)
        assert ring.name in bare_client.regions(bare)
        assert path.with_name(foreign).exists()
        assert not (path.parent / ring.name).exists()
        ring.close()
        assert ring.name not in bare_client.regions(bare)
    finally:
        path.unlink(missing_ok=True)
        path.with_name(foreign).unlink(missing_ok=True)


def test_a_server_that_is_being_stopped(brief_server: TritonServer, certificates: Path) -> None:
    """The last test: its server ends."""
    bare = Server(brief_server.url, certificates)
    stream = Stream(bare, bare.find("lucas_kanade"))
    assert not stream.push(Push(texture({"t": 0}), outputs=["indices"])).text
    stopping = threading.Thread(target=brief_server.close)
    stopping.start()
    answer = stream.push(Push(texture({"t": 1}), outputs=["indices"]))
    for t in range(2, 2000):
        if answer.text:
            break
        answer = stream.push(Push(texture({"t": t}), outputs=["indices"]))
    assert answer.error == "ServerStoppingError", answer.text
    assert not stream.end().text
    stopping.join()
    bare.close()


# --- The page and the client ----------------------------------------------------------------------


def test_the_bare_client_imports_nothing_of_ours() -> None:
    tree = ast.parse(Path(bare_client.__file__).read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("." * node.level + (node.module or ""))
    others = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert others == {"grpc", "tritonclient.grpc"}


def test_suite_and_client_speak_this_version() -> None:
    assert SUITE["contract"] == bare_client.CONTRACT == CONTRACT


def test_every_error_in_the_page_exists_and_none_is_missing() -> None:
    named = set(re.findall(r"^\| `(\w+Error)` \|", PAGE, re.M))
    raised = set()
    for module in (cineflow.errors, cineflow.serving.errors):
        raised |= {name for name in vars(module) if name.endswith("Error")}
    assert named <= raised
    source = "".join(
        (ROOT / "src/cineflow" / name).read_text()
        for name in (
            "serving/backend.py",
            "serving/frames.py",
            "serving/streams.py",
            "serving/calls.py",
            "runtime/stream.py",
            "runtime/following.py",
            "runtime/feed.py",
            "runtime/state.py",
            "runtime/state_bytes.py",
        )
    )
    reachable = set(re.findall(r"\b(\w+Error)\(", source)) & raised
    assert reachable - {"BundleError"} <= named  # a bundle is opened before a server is ready


@pytest.mark.parametrize("option", bare_client.OPTIONS, ids=lambda option: option[0])
def test_the_page_has_the_channel_options(option: tuple[str, int]) -> None:
    name, value = option
    section = PAGE.partition("## The connection")[2]
    row = next(line for line in section.splitlines() if name in line or _short(name) in line)
    assert str(value) in row


def _short(name: str) -> str:
    return re.sub(r"^grpc\.(min|max)_reconnect.*", r"grpc.\1_...", name)
