"""The C++ client passes the cases: the results of the bare client to the bit, errors by name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.serving import TritonServer
from cineflow_client import StreamExpired
from tests.client_cpp.driver import CppClient, Driver
from tests.client_cpp.fixtures import connect, driver
from tests.client_cpp.sanitizers import KINDS, run_cases
from tests.conformance.runner import cases, run

__all__ = ["driver"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first one builds the client


@pytest.mark.parametrize(("case", "transport"), cases("default"))
def test_case(
    case: Mapping[str, Any], transport: str, server: TritonServer, driver: Driver
) -> None:
    run(case, transport, server, connect=connect(driver, case))


RING = [one for one in cases("default") if one.values[1] == "ring"]


@pytest.mark.parametrize(("case", "transport"), RING)
def test_case_without_a_direct_connection(
    case: Mapping[str, Any], transport: str, server: TritonServer, driver: Driver
) -> None:
    """The model's process takes none, so frames stay in the call."""
    driver.ask("direct", "off")
    try:
        run(case, transport, server, connect=connect(driver, case))
    finally:
        driver.ask("direct", "on")


@pytest.mark.parametrize(("case", "transport"), cases("two places, four seconds"))
def test_case_of_a_small_server(
    case: Mapping[str, Any],
    transport: str,
    brief_server: TritonServer,
    certificates: Path,
    driver: Driver,
) -> None:
    """Over mutual TLS."""
    secured = connect(driver, case, certificates)
    run(case, transport, brief_server, secure=certificates, connect=secured)


@pytest.mark.timeout(3000)  # the first one builds it again
@pytest.mark.parametrize("kind", KINDS)
def test_cases_under_sanitizers(kind: str, brief_server: TritonServer, certificates: Path) -> None:
    run_cases(kind, "two places, four seconds", brief_server, certificates)


def test_a_freeze_keeps_the_place(
    brief_server: TritonServer, certificates: Path, driver: Driver
) -> None:
    """Without a resume, which would hide that it was lost. The other stream is not frozen."""
    client = CppClient(driver, brief_server.url, secure=certificates)
    frame = np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8)
    frozen, idle = (client.stream("lucas_kanade", "grpc", resume_s=0) for _ in range(2))
    for stream in (frozen, idle):
        stream.push(frame)
    frozen.freeze()
    time.sleep(5.5)
    assert frozen.push(frame)["indices"][0] == 1
    with pytest.raises(StreamExpired):
        idle.push(frame)
    frozen.close()
