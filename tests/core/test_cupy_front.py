"""`cineflow.ops` on CuPy arrays: under the CUDA shim here, with CuPy itself on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cineflow import ops
from cineflow.errors import ArgumentError

GRID = ops.PolarGrid(9, 7, last_radius=6.0)


def maps(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).random((2, channels, 9, 11), np.float32)


def flow() -> np.ndarray:
    return np.random.default_rng(2).normal(0, 2, (2, 2, 9, 11)).astype(np.float32)


def channels_last(put: Callable[[np.ndarray], Any]) -> Any:
    """`maps()` as a view of an array [N, H, W, C], made after the copy: CuPy's is contiguous."""
    return put(np.ascontiguousarray(maps().transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)


#: Each op as a function of a way to make its arrays.
CALLS = {
    "warp": lambda put: ops.warp(put(maps()), put(flow())),
    "warp of bytes": lambda put: ops.warp(put((maps() * 255).astype(np.uint8)), put(flow())),
    "warp, channels last": lambda put: ops.warp(channels_last(put), put(flow())),
    "compose_flow": lambda put: ops.compose_flow(put(flow()), put(flow())),
    "correlation": lambda put: ops.correlation(put(maps()), put(maps()), radius=2),
    "warp_correlation": lambda put: ops.warp_correlation(put(maps()), put(maps()), put(flow())),
    "polar_resample": lambda put: ops.polar_resample(put(maps()), (5.0, 4.0), GRID),
    "polar_unresample": lambda put: ops.polar_unresample(
        put(np.ones((2, 3, 9, 7), np.float32)), (5.0, 4.0), GRID, (9, 11)
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_op_answers_in_cupy_arrays(cupy: Any, name: str) -> None:
    got = CALLS[name](cupy.asarray)
    assert isinstance(got, cupy.ndarray)
    wanted = CALLS[name](np.asarray)
    assert got.dtype == wanted.dtype
    assert got.strides == wanted.strides
    np.testing.assert_allclose(cupy.asnumpy(got), wanted, rtol=0, atol=2e-5)


def test_out_is_written_and_returned(cupy: Any) -> None:
    out = cupy.empty((2, 3, 9, 11), np.float32)
    assert ops.warp(cupy.asarray(maps()), cupy.asarray(flow()), out=out) is out
    wanted = ops.warp(cupy.asarray(maps()), cupy.asarray(flow()))
    np.testing.assert_array_equal(cupy.asnumpy(out), cupy.asnumpy(wanted))


def test_the_kernel_is_queued_on_cupys_current_stream(cupy: Any, shim: Any) -> None:
    ops.warp(cupy.asarray(maps()), cupy.asarray(flow()))
    assert shim.cuda_shim_stream() == cupy.cuda.get_current_stream().ptr


def test_arrays_of_two_libraries_are_refused(cupy: Any) -> None:
    with pytest.raises(ArgumentError, match="wanted every argument as a cupy array; got flow as a"):
        ops.warp(cupy.asarray(maps()), flow())
