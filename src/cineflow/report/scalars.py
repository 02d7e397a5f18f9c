"""Scalars: the numbers of each frame, by name and unit, for a table or a .csv file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.served import Result
from cineflow.spec import ModelSpec, Role

#: What every row starts with.
FIRST = (
    "frame",
    "time [ms]",
    "previous",
    "reference",
    "described",
    "repeat",
    "latency [ms]",
    "quality [0..1]",
    "expected error [px]",
    "beat",
)

Row = dict[str, float | int | None]

#: How a cell begins that a spreadsheet computes.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def scalars_of(result: Result, spec: ModelSpec, time_ms: float) -> Row:
    """The numbers of one frame by "name [unit]"; None where the frame does not have one.

    Args:
        result: From a stream in process or from the client.
        spec: The model.
        time_ms: Time of the frame since the first.
    """
    parts = result.quality_parts
    values = (
        result.current,
        time_ms,
        result.previous,
        result.reference,
        result.described,
        int(result.repeat),
        result.latency_ms,
        result.quality,
        None if parts is None else parts.expected_error_px,
        result.beat,
    )
    row: Row = dict(zip(FIRST, values, strict=True))
    names = names_of(spec, Role.POINTS, Role.HEAT_MAPS)
    for k, length in enumerate(_values(result.lengths)):
        row[f"length {_name(names, k, 'point')} to {_name(names, k + 1, 'point')} "
            f"[{result.unit}]"] = length  # fmt: skip
    names = names_of(spec, Role.LABELS, Role.PROBABILITIES)
    power = spec.feed.rank
    for k, area in enumerate(_values(result.areas)):
        what = "volume" if power == 3 else "area"
        row[f"{what} {_name(names, k, 'class')} [{result.unit}^{power}]"] = area
    scores = spec.output_of(Role.SCORES)
    if scores is not None and scores.name in result.outputs:
        row |= score_cells(scores.name, scores.names, scores.unit, result.outputs[scores.name])
    return row


def numbers_of(result: Result, spec: ModelSpec) -> dict[int, Row]:
    """The outputs without a role that are one number per frame, by frame and "name [unit]".

    An output with a time axis gives a number for every frame of its window, and any other for the
    frame that the result describes.
    """
    found: dict[int, Row] = {}
    for tensor in spec.outputs:
        if tensor.role or tensor.name not in result.outputs:
            continue
        values = result.outputs[tensor.name].values
        time = tensor.time_axis
        values = values[None] if time is None else np.moveaxis(values, time, 0)
        if values.size != len(values):
            continue
        first = result.described if time is None else result.current - len(values) + 1
        for index, value in enumerate(values.ravel(), start=first):
            found.setdefault(index, {})[f"{tensor.name} [{tensor.unit}]"] = float(value)
    return found


def score_cells(name: str, names: Sequence[str], unit: str, output: Any) -> Row:
    """The values of an output of scores, one for each class, by "name class [unit]".

    Along an axis of places, the place's name stands before the class.
    """
    values = np.asarray(output.values, np.float64)
    places = output.places
    axis = values.shape.index(len(places)) if len(places) in values.shape else None
    rows: Row = {}
    for index in np.ndindex(values.shape):
        leading = [
            places[i] if at == axis else i
            for at, (i, size) in enumerate(zip(index[:-1], values.shape[:-1], strict=True))
            if size > 1
        ]
        where = "".join(f" {i}" for i in leading)
        rows[f"{name}{where} {_name(names, index[-1], 'class')} [{unit}]"] = float(values[index])
    return rows


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write one line per frame; the header has names and units, and a missing number is empty.

    A name that a spreadsheet would take for a formula has an apostrophe before it.
    """
    columns = list(columns_of(rows))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([_not_a_formula(name) for name in columns])
        for row in rows:
            writer.writerow([_text(row.get(name)) for name in columns])


def columns_of(rows: Sequence[Row]) -> Iterator[str]:
    """Every column of any row, in the order in which they first appear."""
    yield from dict.fromkeys(name for row in rows for name in row)


def names_of(spec: ModelSpec, *roles: Role) -> tuple[str, ...]:
    """Names that the first output with one of the roles gives to its values."""
    found = (spec.output_of(role) for role in roles)
    return next((one.names for one in found if one is not None), ())


def _name(names: Sequence[str], index: int, kind: str) -> str:
    return names[index] if index < len(names) else f"{kind} {index}"


def _text(value: float | int | str | None) -> str:
    """A number as text, with seven digits, which is what float32 holds; a name as a name."""
    if isinstance(value, str):
        return _not_a_formula(value)
    return "" if value is None else f"{value:.7g}" if isinstance(value, float) else str(value)


def _not_a_formula(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULA) else name


def _values(array: np.ndarray | None) -> list[float]:
    return [] if array is None else [float(value) for value in array]
