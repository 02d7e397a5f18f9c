"""Writes the tables of docs/serving.md from the served contract, `cineflow.served`.

    python docs/served_tables.py

A test compares the page with what this writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cineflow.runtime import Bundle
from cineflow.served import DATATYPES, READINGS, Port, stream_inputs, stream_outputs

PAGE = Path(__file__).parent / "serving.md"
MODEL = "lucas_kanade"


def main() -> None:
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def with_tables(text: str) -> str:
    """The page with each table between its two marks written anew."""
    for name, lines in tables().items():
        begin, end = f"<!-- {name}: written by docs/served_tables.py -->", f"<!-- {name}: end -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{PAGE.name} lacks the marks of the table {name!r}")
        new = "\n".join([begin, "", *lines, "", end])
        text = pattern.sub(lambda _, new=new: new, text)
    return text


def tables() -> dict[str, list[str]]:
    """The lines of each table by name."""
    spec = json.loads(Bundle.load(MODEL).spec.to_json())
    return {"ports": list(_ports(spec)), "readings": list(_readings())}


def _ports(spec: Mapping[str, Any]) -> Iterator[str]:
    yield from _head("Tensor", "Type and shape", "Meaning")
    asked = {row.name for row in READINGS if row.asked}
    for way, ports in (("in", stream_inputs(spec)), ("out", stream_outputs(spec))):
        for port in ports:
            note = "; only where it is asked for" if port.name in asked else ""
            yield _row(f"{way} `{port.name}`", _shape(port), _cell(port.meaning + note))


def _readings() -> Iterator[str]:
    yield from _head("Reading", "Type and shape", "Meaning", "Comes with the role")
    for row in READINGS:
        sizes = ", ".join("K" if size == -1 else str(size) for size in row.shape)
        note = "; only where it is asked for" if row.asked else ""
        yield _row(
            f"`{row.name}`",
            f"{DATATYPES[row.dtype]} `[{sizes}]`",
            _cell(row.meaning + note),
            _cell(row.needs.describe()),
        )


def _shape(port: Port) -> str:
    """Sizes in words: H and W for the frame's axes, N for a size that varies."""
    free = [i for i, size in enumerate(port.shape) if size == -1]
    letters = dict(zip(free, "HW" if len(free) == 2 else "N" * len(free), strict=False))
    if len(free) == 3:
        letters = dict(zip(free, "NHW", strict=True))
    sizes = ", ".join(letters.get(i, str(size)) for i, size in enumerate(port.shape))
    return f"{DATATYPES[port.dtype]} `[{sizes}]`"


def _head(*titles: str) -> Iterable[str]:
    return _row(*titles), _row(*("---" for _ in titles))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
