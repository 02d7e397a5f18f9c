"""The tables of docs/serving.md say what the served contract says."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from cineflow.served import READINGS

ROOT = Path(__file__).resolve().parents[2]
WRITER = runpy.run_path(str(ROOT / "docs" / "served_tables.py"))
PAGE = ROOT / "docs" / "serving.md"


def test_the_page_is_what_the_command_writes() -> None:
    text = PAGE.read_text()
    assert WRITER["with_tables"](text) == text, "run `python docs/served_tables.py`"


def test_every_reading_has_a_row_that_says_what_brings_it() -> None:
    rows = {line.split("`")[1]: line for line in WRITER["tables"]()["readings"] if "`" in line}
    assert rows.keys() == {row.name for row in READINGS}
    assert "| heat_maps |" in rows["confidence"]
    assert "| flow, or a reference frame |" in rows["beat_info"]


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(SystemExit, match="marks of the table"):
        WRITER["with_tables"]("no table here")
