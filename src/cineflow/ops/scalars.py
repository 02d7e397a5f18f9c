"""The numbers that callers give the ops, or an error that names the one that is none."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError


def is_whole(value: Any) -> bool:
    """Whether `value` is a whole number, a size that torch traces included; a flag is none."""
    if isinstance(value, bool):
        return False
    return isinstance(value, numbers.Integral) or type(value).__name__ == "SymInt"


def as_real(value: Any) -> float | None:
    """`value` as a float; None where it is no number that a float holds.

    Text and flags are none, though Python would turn them into one.
    """
    if isinstance(value, (bool, np.bool_, str, bytes)):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def real(name: str, value: Any) -> float:
    """`value`, the argument `name`, as a float; raises `ArgumentError` where it is no number."""
    if type(value) is float:  # the usual case first: small images should not wait for more
        return value
    number = as_real(value)
    if number is None:
        raise ArgumentError(f"{name} as a number", repr(value))
    return number
