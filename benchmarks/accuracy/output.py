"""What every command of this benchmark does with its result: files, and the page that shows it."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"
#: What the tables in the docs were written from.
RESULTS = Path(__file__).with_name("results")
_STARTED = time.monotonic()


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with what all commands take."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--docs", action="store_true", help="write the table into docs/, too")
    return parser


def publish(given: argparse.Namespace, name: str, text: str, data: Any, page: str) -> None:
    """Print `text` and write it, with its `data`, as NAME.md and NAME.json.

    With --docs also into docs/`page`, between the lines that name the table there, and the data
    into `RESULTS`, which is committed with it.
    """
    given.out.mkdir(parents=True, exist_ok=True)
    lines = json.dumps(data, indent=2) + "\n"
    (given.out / f"{name}.json").write_text(lines)
    (given.out / f"{name}.md").write_text(text)
    if given.docs:
        (RESULTS / f"{name}.json").write_text(lines)
        path = DOCS / page
        path.write_text(replaced(path.read_text(), name, text))
    print(f"{text}\n{name}: {time.monotonic() - _STARTED:.0f} s")


def replaced(page: str, name: str, text: str) -> str:
    """`page` with `text` between its marks for `name`.

    Raises:
        ValueError: The page has no such marks.
    """
    begin, end = f"<!-- {name}: written by the benchmark -->", f"<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"a page with the lines {begin} and {end}")
    return f"{before}{begin}\n{text}{end}{after}"
