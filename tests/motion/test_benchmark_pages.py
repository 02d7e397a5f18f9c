"""The tables between the marks of the accuracy pages are those that the commands write."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.accuracy import __main__ as accuracy
from benchmarks.accuracy import clinical, large_motion, output, pace, quality, volumes
from benchmarks.accuracy.measure import Figures
from benchmarks.accuracy.output import DOCS, RESULTS, replaced

PAGES = {
    "accuracy.md": ("accuracy", "accuracy_pace", "accuracy_clinical", "accuracy_large_motion"),
    "quality.md": ("accuracy_quality",),
    "real_clips.md": ("accuracy_real",),
    "volumes.md": ("accuracy_volumes",),
}


def written(page: str) -> dict[str, str]:
    marks = r"<!-- (\w+): written by the benchmark -->\n(.*?)<!-- \1: end -->"
    return dict(re.findall(marks, (DOCS / "motion" / page).read_text(), re.DOTALL))


def phantoms_and_clip(data: dict[str, Any]) -> str:
    figures = {c: {n: Figures(**f) for n, f in by.items()} for c, by in data["phantoms"].items()}
    return accuracy.table(figures, data["real_clip_loop_closure_px"])


def index_and_backward(data: dict[str, Any]) -> str:
    alone, both = data.values()
    return quality.markdown({**alone, "pooled, with the backward flow": both["pooled"]})


#: Table -> how its command writes it from the data that it leaves.
TABLES: dict[str, Callable[[Any], str]] = {
    "accuracy": phantoms_and_clip,
    "accuracy_pace": pace.table,
    "accuracy_clinical": lambda data: clinical.tables(*data.values()),
    "accuracy_large_motion": lambda data: large_motion.table(
        {float(k): v for k, v in data.items()}
    ),
    "accuracy_quality": index_and_backward,
    "accuracy_volumes": volumes.table,
}


@pytest.mark.parametrize("page", PAGES)
def test_every_table_is_written_by_its_command(page: str) -> None:
    tables = written(page)
    assert tuple(tables) == PAGES[page]
    for table in tables.values():
        assert "cineflow lucas_kanade" in table or "| pooled |" in table


@pytest.mark.parametrize("name", TABLES)
def test_a_table_shows_the_data_committed_with_it(name: str) -> None:
    data = json.loads((RESULTS / f"{name}.json").read_text())
    (page,) = (page for page, names in PAGES.items() if name in names)
    assert written(page)[name] == TABLES[name](data)


def test_only_what_is_between_the_marks_is_replaced() -> None:
    page = "a\n<!-- t: written by the benchmark -->\nold\n<!-- t: end -->\nb\n"
    new = replaced(page, "t", "new\n")
    assert new == page.replace("old", "new")
    assert replaced(new, "t", "new\n") == new


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lines <!-- t: written"):
        replaced("a\n", "t", "new\n")


def test_a_run_that_lacks_a_row_of_the_page_does_not_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "DOCS", tmp_path)
    monkeypatch.setattr(output, "RESULTS", tmp_path)
    page, data = tmp_path / "page.md", tmp_path / "table.json"
    page.write_text(marked := "<!-- table: written by the benchmark -->\nold\n<!-- table: end -->")
    given = argparse.Namespace(out=tmp_path / "out", docs=True)
    data.write_text(json.dumps(old := {"MR": {"ours": 1.0, "a peer": 2.0}}))
    with pytest.raises(SystemExit, match="also has a peer, which this run lacks"):
        output.publish(given, "table", "new\n", {"MR": {"ours": 0.5}}, "page.md")
    assert (page.read_text(), json.loads(data.read_text())) == (marked, old)
    output.publish(given, "table", "new\n", {"MR": {"ours": 0.5, "a peer": 2.0}}, "page.md")
    assert "new" in page.read_text()
    assert json.loads(data.read_text())["MR"]["ours"] == 0.5
