"""The C++ client passes the cases: the results of the bare client to the bit, errors by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cineflow.serving import TritonServer
from tests.client_cpp.driver import Driver
from tests.client_cpp.fixtures import connect, driver
from tests.conformance.runner import cases, run

__all__ = ["driver"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first one builds the client


@pytest.mark.parametrize(("case", "transport"), cases("default"))
def test_case(
    case: Mapping[str, Any], transport: str, server: TritonServer, driver: Driver
) -> None:
    run(case, transport, server, connect=connect(driver, case))


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
    run(case, transport, brief_server, certificates, secured)
