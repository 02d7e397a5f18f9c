"""Programs of the tests, built with sanitizers. Their exit status says whether one has found
something."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cineflow.serving import TritonServer
from tests.client_cpp import builds
from tests.client_cpp.driver import Driver
from tests.client_cpp.fixtures import connect
from tests.conformance.runner import cases, run

#: What -fsanitize gets, by the name of its build.
KINDS = {"asan": "address,undefined", "tsan": "thread"}

_SUPPRESSIONS = Path(__file__).with_name("tsan.txt")
ENVIRONMENT = {
    **os.environ,
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:abort_on_error=0:exitcode=66",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    # gRPC's own code is not instrumented, so what it does under its locks is not seen.
    "TSAN_OPTIONS": f"ignore_noninstrumented_modules=1:exitcode=66:suppressions={_SUPPRESSIONS}",
}


def sanitized(kind: str, target: str) -> Path:
    """A program, built with one of `KINDS`; skips the test where the libraries are missing."""
    if lacking := builds.missing():
        pytest.skip(f"the C++ client is not built: {lacking}")
    folder = builds.build(
        f"client_cpp-{kind}",
        target=target,
        CINEFLOW_CLIENT_SANITIZE=KINDS[kind],
        CMAKE_BUILD_TYPE="None",
    )
    return folder / "tests" / target


def require_clean(kind: str, target: str, *arguments: str) -> str:
    """Run a program to its end; returns what it prints."""
    done = subprocess.run(
        [sanitized(kind, target), *arguments],
        env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-6000:]
    return done.stdout


def run_cases(
    kind: str,
    group: str,
    server: TritonServer,
    secure: Path | None = None,
) -> None:
    """The conformance cases of a server, in one process of the driver."""
    with Driver(sanitized(kind, "driver"), ENVIRONMENT) as driver:
        for param in cases(group):
            case, transport = param.values
            assert isinstance(case, dict)
            run(case, transport, server, secure=secure, connect=connect(driver, case, secure))
