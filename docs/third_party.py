"""Writes the table of docs/third_party.md: the packages that cineflow runs with, and licences.

    python docs/third_party.py

Versions are left out, because they are those of `constraints.txt`. A test compares.
"""

from __future__ import annotations

from pathlib import Path

import tomllib

from cineflow.cli.bill import DEVELOPMENT, packages_of

PAGE = Path(__file__).parent / "third_party.md"
START, END = "<!-- packages: written by docs/third_party.py -->\n", "<!-- end of packages -->\n"


def main() -> None:
    PAGE.write_text(with_table(PAGE.read_text()))


def rows() -> dict[str, str]:
    """Licence of each package that is installed here, by name."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra, requirements in project["optional-dependencies"].items():
        if extra not in DEVELOPMENT:
            wanted += requirements
    found = packages_of(text.partition(";")[0] for text in wanted)
    return {name: one.licence for name, one in found.items() if not name.startswith("cineflow")}


def rows_of(text: str) -> dict[str, str]:
    """The table of the page."""
    table = text.partition(START)[2].partition(END)[0].splitlines()[3:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table if line]
    return dict(cells)


def with_table(text: str) -> str:
    """The page with this environment's packages. Rows of packages that it lacks are kept."""
    found = dict(sorted({**rows_of(text), **rows()}.items()))
    lines = [f"| {name} | {licence} |" for name, licence in found.items()]
    before, after = text.partition(START)[0], text.partition(END)[2]
    return (
        "\n".join([before + START, "| package | licence |", "|---|---|", *lines, "", END]) + after
    )


if __name__ == "__main__":
    main()
