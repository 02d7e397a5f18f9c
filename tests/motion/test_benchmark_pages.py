"""The accuracy pages hold what the benchmark's commands wrote between their marks."""

from __future__ import annotations

import re

import pytest

from benchmarks.accuracy.output import DOCS, replaced

PAGES = {
    "accuracy.md": ("accuracy", "accuracy_pace", "accuracy_clinical", "accuracy_large_motion"),
    "quality.md": ("accuracy_quality",),
    "real_clips.md": ("accuracy_real",),
}


@pytest.mark.parametrize("page", PAGES)
def test_every_table_is_written_by_its_command(page: str) -> None:
    text = (DOCS / "motion" / page).read_text()
    marks = r"<!-- (\w+): written by the benchmark -->\n(.*?)<!-- \1: end -->"
    written = dict(re.findall(marks, text, re.DOTALL))
    assert tuple(written) == PAGES[page]
    for table in written.values():
        assert "cineflow lucas_kanade" in table or "| pooled |" in table


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = "a\n<!-- t: written by the benchmark -->\nold\n<!-- t: end -->\nb\n"
    new = replaced(page, "t", "new\n")
    assert new == page.replace("old", "new")
    assert replaced(new, "t", "new\n") == new


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lines <!-- t: written"):
        replaced("a\n", "t", "new\n")
