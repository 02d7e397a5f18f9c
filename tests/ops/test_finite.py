"""Whether every value is finite, on each instruction set."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cineflow import _C
from cineflow.errors import ArgumentError
from cineflow.ops.finite import all_finite
from tests.ops.test_cpu_paths import instruction_set

__all__ = ["instruction_set"]  # a fixture that every test here uses

pytestmark = pytest.mark.usefixtures("instruction_set")


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_one_value_at_every_place(kind: str) -> None:
    for count in (1, 2, 31, 32, 33, 64, 127, 200, 257):
        values = np.full(count, np.finfo(kind).max, kind)
        assert all_finite(values)
        assert all_finite(-values)
        for place in range(count):
            for bad in (np.nan, np.inf, -np.inf):
                values[place] = bad
                assert not all_finite(values)
            values[place] = np.finfo(kind).tiny


def test_bfloat16() -> None:
    values = torch.full((131,), torch.finfo(torch.bfloat16).max, dtype=torch.bfloat16)
    assert _C.all_finite(values)
    for place in range(len(values)):
        values[place] = -torch.inf
        assert not _C.all_finite(values)
        values[place] = 1.0


def test_what_the_kernel_does_not_take() -> None:
    values = np.zeros((4, 6), np.float32)
    with pytest.raises(ArgumentError, match=r"contiguous values.*a stride of 12 elements"):
        _C.all_finite(values[::2])
    with pytest.raises(ArgumentError, match="float64"):
        _C.all_finite(values.astype(np.float64))
    assert _C.all_finite(np.full((3, 1), 255, np.uint8))
    assert _C.all_finite(values[:0])
    unaligned = np.zeros(13, np.uint8)[1:].view(np.float32)
    assert all_finite(unaligned)
