"""The tables of docs/serving.md and docs/protocol.md say what the served contract says."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from cineflow.served import READINGS

ROOT = Path(__file__).resolve().parents[2]
WRITER = runpy.run_path(str(ROOT / "docs" / "served_tables.py"))


@pytest.mark.parametrize("page", WRITER["PAGES"], ids=lambda page: page.name)
def test_the_page_is_what_the_command_writes(page: Path) -> None:
    text = page.read_text()
    assert WRITER["with_tables"](page, text) == text, "run `python docs/served_tables.py`"


def test_every_reading_has_a_row_that_says_what_brings_it() -> None:
    rows = {line.split("`")[1]: line for line in WRITER["tables"]()["readings"] if "`" in line}
    assert rows.keys() == {row.name for row in READINGS}
    assert "| heat_maps |" in rows["confidence"]
    assert "| flow, or a reference frame |" in rows["beat_info"]


@pytest.mark.parametrize("page", WRITER["PAGES"], ids=lambda page: page.name)
def test_a_page_without_the_marks_is_refused(page: Path) -> None:
    with pytest.raises(SystemExit, match="marks of the table"):
        WRITER["with_tables"](page, "no table here")
