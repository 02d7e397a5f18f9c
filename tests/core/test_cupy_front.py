"""`cineflow.ops` on CuPy arrays: under the CUDA shim here, with CuPy itself on a GPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cineflow import ops
from cineflow.errors import ArgumentError
from tests.op_calls import OPS, ROWS, Call, Op, agree, make_call

EACH_OP = pytest.mark.parametrize("op", ROWS.values(), ids=ROWS)


def images(op: Op, storage: str = "float32") -> Call:
    return make_call(op, shape=(2, 3, 9, 11), storage=storage)


def channels_last(put: Callable[[np.ndarray], Any], values: np.ndarray) -> Any:
    """`values` as a view of an array [N, H, W, C], made after the copy: CuPy's is contiguous."""
    if values.ndim < 4:
        return put(values)
    last = values.ndim - 1
    moved = put(np.ascontiguousarray(np.moveaxis(values, 1, -1)))
    return moved.transpose(0, last, *range(1, last))


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize(
    ("op", "storage"),
    [
        pytest.param(op, storage, id=f"{op.label}-{storage}")
        for op in ROWS.values()
        for storage in op.storages
        if storage in ("float32", "uint8")
    ],
)
def test_an_op_returns_cupy_arrays(cupy: Any, op: Op, storage: str, layout: str) -> None:
    call = images(op, storage)

    def run(put: Callable[[np.ndarray], Any]) -> Any:
        place = functools.partial(channels_last, put) if layout == "channels_last" else put
        arrays = {
            name: place(values.astype(call.storage_of(name)))
            for name, values in call.inputs.items()
        }
        return getattr(ops, op.name)(**arrays, **call.words)

    got, wanted = run(cupy.asarray), run(np.asarray)
    assert isinstance(got, cupy.ndarray)
    assert got.dtype == wanted.dtype
    assert got.strides == wanted.strides
    agree(cupy.asnumpy(got), call)


def test_a_centre_given_as_numbers(cupy: Any) -> None:
    """It is passed by value: the stand-in has no function that copies it to the device."""
    src = make_call(OPS["warp"], shape=(2, 3, 9, 11)).inputs["src"]
    grid = ops.PolarGrid(9, 7, last_radius=6.0)
    got = ops.polar_resample(cupy.asarray(src), (5.0, 4.0), grid)
    wanted = ops.polar_resample(src, (5.0, 4.0), grid)
    np.testing.assert_allclose(cupy.asnumpy(got), wanted, rtol=0, atol=255 * 2e-5)


@EACH_OP
def test_out_is_written_and_returned(cupy: Any, op: Op) -> None:
    call = images(op)
    arrays = {name: cupy.asarray(values) for name, values in call.inputs.items()}
    function = functools.partial(getattr(ops, op.name), **arrays, **call.words)
    out = cupy.empty(call.shape, np.float32)
    assert function(out=out) is out
    np.testing.assert_array_equal(cupy.asnumpy(out), cupy.asnumpy(function()))


def test_the_kernel_is_queued_on_cupys_current_stream(cupy: Any, shim: Any) -> None:
    call = images(OPS["warp"])
    ops.warp(**{name: cupy.asarray(values) for name, values in call.inputs.items()})
    assert shim.cuda_shim_stream() == cupy.cuda.get_current_stream().ptr


@EACH_OP
def test_arrays_of_another_device_than_the_current_one(cupy: Any, shim: Any, op: Op) -> None:
    call = images(op)
    with cupy.cuda.Device(1):
        arrays = {name: cupy.asarray(values) for name, values in call.inputs.items()}
        out = cupy.empty(call.shape, np.float32)
        stream = cupy.cuda.get_current_stream().ptr
    function = functools.partial(getattr(ops, op.name), **arrays, **call.words)
    for result in (function(), function(out=out)):
        assert result.device.id == 1
        assert shim.cuda_shim_device() == 1
        assert shim.cuda_shim_stream() == stream != cupy.cuda.get_current_stream().ptr
        agree(cupy.asnumpy(result), call)


def test_arrays_of_two_libraries_are_refused(cupy: Any) -> None:
    src, flow = images(OPS["warp"]).inputs.values()
    with pytest.raises(ArgumentError, match="wanted every argument as a cupy array; got flow as a"):
        ops.warp(cupy.asarray(src), flow)
    centres = np.zeros((2, 2), np.float32)  # only one centre is passed by value
    with pytest.raises(ArgumentError, match="every argument as a cupy array; got centre as a"):
        ops.polar_resample(cupy.asarray(src), centres, ops.PolarGrid(9, 7, last_radius=6.0))
