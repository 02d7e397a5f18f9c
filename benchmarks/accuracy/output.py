"""Writes the result of each command: to files, and into the page that shows it."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.repeat import repeat_line

DOCS = Path(__file__).resolve().parents[2] / "docs"
#: Data of the tables in the docs.
RESULTS = Path(__file__).with_name("results")
_STARTED = time.monotonic()


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all commands share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--docs", action="store_true", help="also write the table into docs/")
    return parser


def publish(given: argparse.Namespace, name: str, text: str, data: Any, page: str) -> None:
    """Prints `text` and the line that repeats it; writes NAME.md and, with `data`, NAME.json.

    With --docs, `text` also goes into docs/`page`, between the marks of `name`, and `data` into
    `RESULTS`. Both are committed together.

    Raises:
        SystemExit: --docs, and the committed data have a row that this run lacks, such as a peer
            that is not installed. Nothing in docs/ is changed then.
    """
    given.out.mkdir(parents=True, exist_ok=True)
    lines = json.dumps(data, indent=2) + "\n"
    (given.out / f"{name}.json").write_text(lines)
    (given.out / f"{name}.md").write_text(text)
    print(f"{text}\n{name}: {time.monotonic() - _STARTED:.0f} s\n{repeat_line()}")
    if not given.docs:
        return
    committed = RESULTS / f"{name}.json"
    if committed.exists():
        lost = sorted(lost_names(json.loads(committed.read_text()), json.loads(lines)))
        if lost:
            raise SystemExit(
                f"docs/{page} also has {', '.join(lost)}, which this run lacks. Install what they"
                f" need, or delete {committed} to leave them out."
            )
    committed.write_text(lines)
    path = DOCS / page
    path.write_text(replaced(path.read_text(), name, text))


def lost_names(before: Any, now: Any) -> set[str]:
    """Names of `before`, at any depth of it, that `now` lacks in the same place."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return set()
    inner = (lost_names(before[name], now[name]) for name in before.keys() & now.keys())
    return (before.keys() - now.keys()).union(*inner)


def replaced(page: str, name: str, text: str) -> str:
    """`page` with `text` between its marks for `name`.

    Raises:
        ValueError: The page lacks these marks.
    """
    begin, end = f"<!-- {name}: written by the benchmark -->", f"<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"a page with the lines {begin} and {end}")
    return f"{before}{begin}\n{text}{end}{after}"
