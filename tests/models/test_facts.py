"""The table of docs/systems.md is what the recipes say, and the benchmark keeps its bundles."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.models import bundles
from benchmarks.models.facts import SYSTEMS, VARIANTS, facts_of
from benchmarks.models.page import PAGE, table


@pytest.mark.slow
def test_the_table_of_the_systems_is_up_to_date() -> None:
    names = [name for system in SYSTEMS.values() for name in system]
    rows = [facts_of(name, variant) for name in names for variant in VARIANTS]
    assert table(rows) in PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_bundle_is_kept_until_the_sources_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def export() -> Path:
        sizes = {"height": 32, "width": 32}
        return bundles.exported("pairwise_motion_refine", "small", sizes, said.append).path

    monkeypatch.setattr(bundles, "FOLDER", tmp_path)
    monkeypatch.setattr(bundles, "sources", lambda: "these")
    first = export()
    steps = len(said)
    assert steps > 0
    assert export() == first
    assert len(said) == steps, "nothing was exported"
    monkeypatch.setattr(bundles, "sources", lambda: "others")
    assert export() != first
    assert len(said) > steps
    assert len(list(tmp_path.iterdir())) == 1, "the old one is gone"
