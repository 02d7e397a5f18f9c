"""The C++ client under sanitizers: the cases, losses, and what a broken server could send."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.serving import TritonServer
from tests.client_cpp import builds
from tests.client_cpp.driver import CppClient, Driver
from tests.client_cpp.fixtures import connect
from tests.conformance.runner import cases, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

SUPPRESSIONS = Path(__file__).with_name("tsan.txt")
#: What -fsanitize gets, by the name of its build.
KINDS = {"asan": "address,undefined", "tsan": "thread"}
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:abort_on_error=0:exitcode=66",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    # gRPC's own code is not instrumented, so what it does under its locks is not seen.
    "TSAN_OPTIONS": f"ignore_noninstrumented_modules=1:exitcode=66:suppressions={SUPPRESSIONS}",
}


def sanitized(kind: str, target: str) -> Path:
    """A program of the tests, built with one sanitizer."""
    if lacking := builds.missing():
        pytest.skip(f"the C++ client is not built: {lacking}")
    folder = builds.build(
        f"client_cpp-{kind}",
        target=target,
        CINEFLOW_CLIENT_SANITIZE=KINDS[kind],
        CMAKE_BUILD_TYPE="None",
    )
    return folder / "tests" / target


@pytest.mark.parametrize("kind", KINDS)
def test_cases(kind: str, server: TritonServer) -> None:
    """In one process of the driver, whose exit status says whether anything was found."""
    with Driver(sanitized(kind, "driver"), {**os.environ, **ENVIRONMENT}) as driver:
        for param in cases("default"):
            case, transport = param.values
            run(_mapping(case), transport, server, connect=connect(driver, case))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_is_lost(
    kind: str, server_binary: Any, repository: Path, moving_frames: np.ndarray
) -> None:
    with (
        Driver(sanitized(kind, "driver"), {**os.environ, **ENVIRONMENT}) as driver,
        TritonServer(repository, binary=server_binary) as first,
    ):
        port = int(first.url.rpartition(":")[2])
        client = CppClient(driver, first.url)
        stream = client.stream("lucas_kanade", timeout_s=120)
        display = client.stream("lucas_kanade", policy="newest", timeout_s=120)
        for k in range(20):
            stream.push(moving_frames[k % 12])
            display.submit(moving_frames[k % 12])
        os.kill(first.pid, signal.SIGKILL)
        for k in range(3):
            stream.submit(moving_frames[k])
            display.submit(moving_frames[k])
        first.close()
        with TritonServer(repository, binary=server_binary, grpc_port=port):
            for _ in range(3):
                assert stream.next(60) is not None
            stream.push(moving_frames[3])
            assert stream.about().resumed == "1"
            assert stream.ask("fork") == ["0"]
            display.close()
            stream.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["poll", "callback"])
def test_a_sender_at_full_speed(kind: str, way: str, server: TritonServer) -> None:
    program = sanitized(kind, "real_time")
    done = subprocess.run(
        [program, server.url, "lucas_kanade", "64", "80", "300", "newest", way],
        env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    assert "results 364 errors 0" in done.stdout


def test_what_a_broken_server_could_send() -> None:
    """Truncated, of wrong sizes and types, with unknown names; 60 000 responses, 1200 specs."""
    program = sanitized("asan", "fuzz")
    for seed in range(4):
        done = subprocess.run(
            [program, "300", f"{seed}"],
            env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False,
            timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-500:] + done.stderr[-6000:]


def _mapping(case: Any) -> Mapping[str, Any]:
    assert isinstance(case, Mapping)
    return case
