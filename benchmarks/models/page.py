"""The table of docs/systems.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.models.facts import SYSTEMS, Facts

PAGE = Path(__file__).resolve().parents[2] / "docs" / "systems.md"
_BEGIN, _END = "<!-- systems: written by `make bench-models` -->", "<!-- systems: end -->"


def write_table(rows: Sequence[Facts]) -> None:
    """Put the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{table(rows)}\n\n{_END}{after}", encoding="utf-8")


def table(rows: Sequence[Facts]) -> str:
    """The facts as Markdown."""
    titles = ["System", "Recipe", "Variant", "Input", "M parameters", "G MACs", "Feed"]
    titles += ["Outputs (role)", "Served", "Trained"]
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    system = {name: letter for letter, names in SYSTEMS.items() for name in names}
    for row in rows:
        numbers = f"{row.parameters / 1e6:.2f} | {row.macs / 1e9:.2f}"
        trained = "yes" if row.trained else "no"
        lines.append(
            f"| {system.get(row.name, '')} | `{row.name}` | {row.variant} | {row.size} | {numbers} "
            f"| {row.feed} | {row.outputs} | {row.served} | {trained} |"
        )
    return "\n".join(lines)
