"""Bare stubs and models of other kinds: given inputs, outputs of the model's own, a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cineflow.serving import TritonServer
from tests.conformance.runner import cases, run


@pytest.mark.parametrize(("case", "transport"), cases("kinds"))
def test_case(case: Mapping[str, Any], transport: str, server: TritonServer) -> None:
    run(case, transport, server)
