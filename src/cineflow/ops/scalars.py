"""Validates scalar arguments."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError


def is_whole(value: Any) -> bool:
    """Whether `value` is an integer. A size that torch traces is one; a bool is not."""
    if type(value) is int:  # the usual case: an abstract class takes a microsecond to ask
        return True
    if isinstance(value, bool):
        return False
    return isinstance(value, numbers.Integral) or type(value).__name__ == "SymInt"


def as_real(value: Any) -> float | None:
    """`value` as a float, or None where it is not a number or a float cannot hold it.

    Text and bools give None, although Python would convert them.
    """
    if isinstance(value, (bool, np.bool_, str, bytes)):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def real(name: str, value: Any) -> float:
    """`value` of the argument `name` as a float.

    Raises:
        ArgumentError: It is not a number, or a float cannot hold it.
    """
    if type(value) is float:  # the usual case first, because calls on small images are short
        return value
    number = as_real(value)
    if number is None:
        raise ArgumentError(f"{name} as a number", repr(value))
    return number
