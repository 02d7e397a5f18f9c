"""Checks shared by the settings of phantoms: finite numbers and valid sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError


def require_finite(settings: Any) -> None:
    """Checks every number, and every tuple of numbers, among a dataclass's attributes.

    Comparisons with NaN are false, so NaN would pass the range checks and reach the pictures.

    Raises:
        ArgumentError: A number is NaN or infinite.
    """
    for item in fields(settings):
        value = getattr(settings, item.name)
        numbers = np.asarray(value)
        if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
            raise ArgumentError(
                f"{type(settings).__name__}: a finite {item.name}",
                repr(value),
                "Omit it to use the default",
            )


def require_size(size: Sequence[int], dimensions: int | None = None) -> None:
    """Checks a size. Call it before a spacing is computed from the size.

    Raises:
        ArgumentError: An extent that is not an integer above 0, or not `dimensions` extents.
    """
    if not all(isinstance(extent, (int, np.integer)) and extent > 0 for extent in size):
        raise ArgumentError("a size of whole numbers above 0", repr(tuple(size)))
    if dimensions not in (None, len(size)):
        raise ArgumentError(f"a size of {dimensions} numbers", repr(tuple(size)))
