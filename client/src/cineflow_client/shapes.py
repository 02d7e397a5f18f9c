"""Sizes of a spec's tensors, read from the JSON that the server publishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Dim = int | Mapping[str, Any]


def describe(dim: Dim) -> str:
    """An accepted size in words ("64..1024 by 16", "height / 4", "2")."""
    if isinstance(dim, int):
        return str(dim)
    if "axis" in dim:
        times = f"{dim['numerator']} " if dim["numerator"] > 1 else ""
        by = f" / {dim['denominator']}" if dim["denominator"] > 1 else ""
        return f"{times}{dim['axis']['name']}{by}"
    step = f" by {dim['multiple']}" if dim["multiple"] > 1 else ""
    return f"{dim['minimum']}..{dim['maximum']}{step}"


def describe_shape(shape: Sequence[Dim]) -> str:
    """A shape in words ("1, 1, height 64..1024 by 16, height / 4")."""
    return ", ".join(
        f"{dim['name']} {describe(dim)}"
        if isinstance(dim, Mapping) and "axis" not in dim
        else describe(dim)
        for dim in shape
    )


def fits(dim: Dim, size: int, sizes: dict[str, int]) -> bool:
    """Whether `size` fits; the size of a dynamic axis is added to `sizes` or compared with it."""
    if isinstance(dim, int):
        return dim == size
    axis, whole, rest = dim, size, 0
    if "axis" in dim:
        axis = dim["axis"]
        whole, rest = divmod(size * dim["denominator"], dim["numerator"])
    if rest or not axis["minimum"] <= whole <= axis["maximum"] or whole % axis["multiple"]:
        return False
    return sizes.setdefault(axis["name"], whole) == whole


def resolved(shape: Sequence[Dim], sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    """The shape in numbers; None while `sizes` lacks one of its axes."""
    known = []
    for dim in shape:
        if isinstance(dim, int):
            known.append(dim)
            continue
        axis = dim.get("axis", dim)
        if axis["name"] not in sizes:
            return None
        size = sizes[axis["name"]]
        known.append(size * dim["numerator"] // dim["denominator"] if "axis" in dim else size)
    return tuple(known)
