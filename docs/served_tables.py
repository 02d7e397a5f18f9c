"""Writes the tables of docs/serving.md and docs/protocol.md from the served contract.

    python docs/served_tables.py

A test compares the pages with what this writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.export.triton.served import IDLE_TIMEOUT_US, PLACES
from cineflow.runtime import Bundle
from cineflow.served import (
    CONTRACT,
    DATATYPES,
    LAST_INDEX,
    MOST_LOST_FRAMES,
    READINGS,
    Port,
    stream_inputs,
    stream_outputs,
)

#: The tables of each page.
PAGES = {
    Path(__file__).parent / "serving.md": ("ports", "readings"),
    Path(__file__).parent / "protocol.md": ("limits", "datatypes"),
}
MODEL = "lucas_kanade"


def main() -> None:
    for page in PAGES:
        page.write_text(with_tables(page, page.read_text(encoding="utf-8")), encoding="utf-8")


def with_tables(page: Path, text: str) -> str:
    """The text of a page with each table between its two marks written anew."""
    written = tables()
    for name in PAGES[page]:
        lines = written[name]
        begin, end = f"<!-- {name}: written by docs/served_tables.py -->", f"<!-- {name}: end -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"{page.name} lacks the marks of the table {name!r}")
        new = "\n".join([begin, "", *lines, "", end])
        text = pattern.sub(lambda _, new=new: new, text)
    return text


def tables() -> dict[str, list[str]]:
    """The lines of each table by name."""
    spec = json.loads(Bundle.load(MODEL).spec.to_json())
    return {
        "ports": list(_ports(spec)),
        "readings": list(_readings()),
        "limits": list(_limits()),
        "datatypes": list(_datatypes()),
    }


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


def _limits() -> Iterator[str]:
    yield from _head("Limit", "Value")
    yield _row("Version of the contract on this page", str(CONTRACT))
    yield _row("Streams of a model at once", f"{PLACES} (its parameter `places`)")
    idle = f"{IDLE_TIMEOUT_US / 1e6:g} s (`max_sequence_idle_microseconds` of its configuration)"
    yield _row("A stream without a frame ends after", idle)
    yield _row("Frame indices", f"0 to 2^{LAST_INDEX.bit_length() - 1}")
    lost = f"{MOST_LOST_FRAMES}; after more, the next frame is a new reference"
    yield _row("Frames that may be left out in a row", lost)


def _datatypes() -> Iterator[str]:
    yield from _head("Datatype on the wire", "`dtype` in the spec", "Bytes of a value")
    for name, datatype in DATATYPES.items():
        yield _row(datatype, f"`{name}`", str(np.dtype(name).itemsize))


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
