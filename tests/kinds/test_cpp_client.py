"""The C++ client and models of other kinds: given inputs, outputs of the model's own, a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cineflow.serving import TritonServer
from tests.client_cpp.driver import Driver
from tests.client_cpp.fixtures import connect, driver
from tests.client_cpp.sanitizers import KINDS, run_cases
from tests.conformance.runner import cases, run

__all__ = ["driver"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first one builds the client


@pytest.mark.parametrize(("case", "transport"), cases("kinds"))
def test_case(
    case: Mapping[str, Any], transport: str, server: TritonServer, driver: Driver
) -> None:
    run(case, transport, server, connect=connect(driver, case))


@pytest.mark.timeout(3000)  # the first one builds it again
@pytest.mark.parametrize("kind", KINDS)
def test_cases_under_sanitizers(kind: str, server: TritonServer) -> None:
    run_cases(kind, "kinds", server)
