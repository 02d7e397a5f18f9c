"""What no setting of a phantom may be: not a finite number, or a size that is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError


def require_finite(settings: Any) -> None:
    """Look at every number, and every tuple of numbers, among a dataclass's attributes.

    NaN passes each comparison that asks whether a value is out of range, and would go on into the
    pictures.

    Raises:
        ArgumentError: One is NaN or infinite.
    """
    for item in fields(settings):
        value = getattr(settings, item.name)
        numbers = np.asarray(value)
        if numbers.dtype.kind == "f" and not np.isfinite(numbers).all():
            raise ArgumentError(
                f"{type(settings).__name__}: a finite {item.name}",
                repr(value),
                "Leave it out for the default",
            )


def require_size(size: Sequence[int], dimensions: int | None = None) -> None:
    """A spacing follows from a size before any scanner sees it, so this is asked first.

    Raises:
        ArgumentError: An extent that is no whole number above 0, or not `dimensions` of them.
    """
    if not all(isinstance(extent, (int, np.integer)) and extent > 0 for extent in size):
        raise ArgumentError("a size of whole numbers above 0", repr(tuple(size)))
    if dimensions not in (None, len(size)):
        raise ArgumentError(f"a size of {dimensions} numbers", repr(tuple(size)))
