"""Whether every value is finite, of any type."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.motion.fields import all_finite

FLOATS = ("float16", "float32", "float64", "longdouble", ">f4")


@pytest.mark.parametrize("kind", FLOATS)
def test_one_value_that_is_not_finite(kind: str) -> None:
    values = np.linspace(-3, 3, 60).astype(kind).reshape(5, 12)
    assert all_finite(values)
    for bad in (np.nan, -np.nan, np.inf, -np.inf):
        spoiled = values.copy()
        spoiled[3, 7] = bad
        assert not all_finite(spoiled)
        assert not all_finite(spoiled.T[1::2])
        assert not all_finite(np.array(bad, kind))
        assert all_finite(spoiled[::2])


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_ends_of_the_range(kind: str, sign: int) -> None:
    ends = np.finfo(kind)
    values = np.array([0, -0.0, ends.max, ends.min, ends.tiny, ends.smallest_subnormal], kind)
    assert all_finite(sign * values)
    bits = f"u{values.dtype.itemsize}"
    quiet_and_other = np.array([np.nan, np.inf], kind).view(bits) + np.array([0, 1], bits)
    for nan in (quiet_and_other.view(kind), -quiet_and_other.view(kind)):
        assert not all_finite(nan[:1])
        assert not all_finite(nan[1:])


def test_what_is_always_finite() -> None:
    assert all_finite(np.zeros((0, 3), np.float32))
    assert all_finite(np.array([255], np.uint8))
    assert all_finite(np.array([True]))
