"""The table of docs/systems.md is what the recipes say."""

from __future__ import annotations

import pytest

from benchmarks.models.facts import SYSTEMS, VARIANTS, facts_of
from benchmarks.models.page import PAGE, table


@pytest.mark.slow
def test_the_table_of_the_systems_is_up_to_date() -> None:
    names = [name for system in SYSTEMS.values() for name in system]
    rows = [facts_of(name, variant) for name in names for variant in VARIANTS]
    assert table(rows) in PAGE.read_text(encoding="utf-8")
