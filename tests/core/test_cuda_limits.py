"""More planes than an int holds. The shim runs one row of blocks; its share of the result is read.

The memory is reserved only: what nothing writes takes no space.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from tests.core.cuda_backend import Backend, DeviceArray

ROW = 65534  # the last row of blocks
ROWS_OF_BLOCKS = 65535
SLAB = 8  # planes of one thread, the most


def reserved(shape: tuple[int, ...]) -> np.ndarray:
    """float16 zeros that take no memory until they are written."""
    size = 2 * int(np.prod(shape, dtype=np.int64))
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    memory = mmap.mmap(-1, size, flags=flags)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, np.float16).reshape(shape)


def constant(shape: tuple[int, ...], dtype: Any, value: float) -> np.ndarray:
    """One element that every index reads."""
    return as_strided(np.array(value, dtype), shape, (0,) * len(shape))


def run_last_row(cuda: Backend, shim: ctypes.CDLL, function: str, **arguments: Any) -> np.ndarray:
    """`out` of a call of which only the last row of blocks runs."""
    out: np.ndarray = arguments["out"]
    arrays = {
        name: DeviceArray(value) if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }
    shim.cuda_shim_only_row(ROW)
    try:
        getattr(cuda.module, function)(**arrays)
    finally:
        shim.cuda_shim_only_row(-1)
    return out


def planes_of_the_row(tasks: int, slab: int) -> np.ndarray:
    """First plane of each task of the row."""
    return np.arange(ROW, tasks, ROWS_OF_BLOCKS) * slab


@pytest.mark.slow
@pytest.mark.parametrize("images", [2**31, 1], ids=["images", "channels"])
def test_polar_of_more_planes_than_an_int_holds(
    cuda: Backend, shim: ctypes.CDLL, images: int
) -> None:
    planes = 2**31
    shape = (images, planes // images, 1, 1)
    out = reserved(shape)
    run_last_row(
        cuda, shim, "polar_resample",
        src=constant(shape, np.uint8, 7), centre=np.zeros((1, 2), np.float32), out=out,
        first_angle=0.0, angle_step=1.0, first_radius=0.0, radius_step=1.0, wraps=False,
        clamp=False, scale=1.0, offset=0.0,
    )  # fmt: skip
    first = planes_of_the_row(planes // SLAB, SLAB)
    written = out.reshape(-1)
    assert first[-1] > 2**30
    for plane in (0, SLAB - 1):
        assert (written[first + plane] == 7).all()
    assert not written[first + SLAB].any(), "the shim ran another row also"


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", [2, 3])
def test_warp_of_more_slabs_than_an_int_holds(
    cuda: Backend, shim: ctypes.CDLL, dimensions: int
) -> None:
    channels = 2**34
    ones = [1] * dimensions
    shape = (1, channels, *ones)
    out = reserved(shape)
    run_last_row(
        cuda, shim, "warp",
        src=constant(shape, np.uint8, 7), flow=np.zeros((1, dimensions, *ones), np.float32),
        out=out, clamp=False,
    )  # fmt: skip
    first = planes_of_the_row(channels // SLAB, SLAB)
    written = out.reshape(-1)
    assert first[-1] > 2**33
    for channel in (0, SLAB - 1):
        assert (written[first + channel] == 7).all()
    assert not written[first + SLAB].any(), "the shim ran another row also"
