"""Outputs whose values belong to places, such as the segments of the left ventricle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cineflow.motion.aha import NAMES
from cineflow.served import Output
from cineflow.spec import Role


@dataclass(frozen=True)
class PlaceTable:
    """Numbers by place: one row for each place, one column for each number that it has.

    Attributes:
        title: Names of the outputs.
        outputs: The same, one by one.
        places: Names of the rows.
        columns: Names of the columns: classes, or outputs with their units.
        values: f64 [places, columns].
    """

    title: str
    outputs: tuple[str, ...]
    places: tuple[str, ...]
    columns: tuple[str, ...]
    values: np.ndarray


def by_place(output: Output) -> np.ndarray | None:
    """An output's values by place, [places, n]; None where it has no places or several rows.

    The place axis is the first of as many values as there are places.
    """
    shape = output.values.shape
    if not output.places or len(output.places) not in shape:
        return None
    axis = shape.index(len(output.places))
    if any(size > 1 for size in shape[:axis]):
        return None  # a batch: its studies are read one by one
    return np.moveaxis(output.values, axis, 0).reshape(len(output.places), -1)


def place_tables(outputs: Mapping[str, Output]) -> list[PlaceTable]:
    """A table of each output of scores with places, and one of all that have a number by place."""
    tables = []
    single: dict[tuple[str, ...], dict[str, np.ndarray]] = {}
    for name, output in outputs.items():
        values = by_place(output)
        if values is None:
            continue
        if output.role == Role.SCORES:
            count = values.shape[1]
            names = output.names or tuple(f"class {k}" for k in range(count))
            title = f"{name} [{output.unit}]"
            numbers = values.astype(np.float64)
            tables.append(PlaceTable(title, (name,), output.places, names, numbers))
        elif values.shape[1] == 1:
            single.setdefault(output.places, {})[name] = values[:, 0].astype(np.float64)
    for places, columns in single.items():
        titles = tuple(f"{name} [{outputs[name].unit}]" for name in columns)
        stacked = np.stack(list(columns.values()), axis=1)
        tables.append(PlaceTable(", ".join(columns), tuple(columns), places, titles, stacked))
    return tables


@dataclass(frozen=True)
class Eye:
    """What one bull's eye shows.

    Attributes:
        title: Name of the output.
        scale: What stands at the scale of colours.
        label: What the numbers are.
        values: f64 [17]; NaN where a segment has none.
        limits: Ends of the colour scale; None for the data's own.
        digits: After the decimal point.
    """

    title: str
    scale: str
    label: str
    values: np.ndarray
    limits: tuple[float, float] | None
    digits: int


def eyes(outputs: Mapping[str, Output]) -> Iterator[Eye]:
    """A bull's eye of each output that has one number for each AHA segment, or scores.

    Scores give the most likely class, counted from 1. Numbers that were shown already are left out.
    """
    shown: list[np.ndarray] = []
    for name, output in outputs.items():
        values = by_place(output)
        if values is None or not set(output.places) <= set(NAMES):
            continue
        limits, scale = None, name
        if output.role == Role.SCORES:
            scale = f"most likely of {name}"
            classes = output.names or [f"class {k}" for k in range(values.shape[1])]
            label = ", ".join(f"{k} {one}" for k, one in enumerate(classes, start=1))
            numbers, limits = values.argmax(axis=1) + 1, (1.0, float(values.shape[1]))
        elif values.shape[1] == 1:
            numbers, label = values[:, 0], output.unit
        else:
            continue
        placed = np.full(len(NAMES), np.nan)
        placed[[NAMES.index(place) for place in output.places]] = numbers
        if any(np.array_equal(placed, other, equal_nan=True) for other in shown):
            continue
        shown.append(placed)
        digits = 0 if numbers.dtype.kind in "iub" else 2
        yield Eye(name, scale, label, placed, limits, digits)
