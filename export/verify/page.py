"""`report.html` of a verified bundle: one self-contained page from the content of `report.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from cineflow.spec import ModelSpec


def render(data: Mapping[str, Any], spec: ModelSpec) -> str:
    """The page of one report; all text in it is escaped.

    Args:
        data: `Report.to_dict()`.
        spec: The model's spec.
    """
    environment = Environment(
        loader=PackageLoader("cineflow.export.verify"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    page: str = template.render(
        data=data, spec=spec, sizes=_sizes, number=_number, details=_details
    )
    return page


def _sizes(sizes: Mapping[str, int]) -> str:
    return " x ".join(str(size) for size in sizes.values()) or "fixed"


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:g}"


def _details(row: Mapping[str, Any]) -> str:
    """What a row has besides its figures: Dice of each class, rows of scores that changed."""
    said = [f"Dice of {name} {_number(value)}" for name, value in row.get("dice", {}).items()]
    if changed := row.get("ranks_changed"):
        said.append(f"a different highest class in {changed} {'row' if changed == 1 else 'rows'}")
    if frames := row.get("frames"):
        said.append(f"{frames} frames")
    return ", ".join(said)
