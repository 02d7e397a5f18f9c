"""Block statistics of a pair as a CUDA launch: order, streams, devices, and values to refuse.

tests/ops/test_pair_blocks.py also has the CUDA kernels among its fronts. This file is what runs
under the sanitizers and on a GPU. The op has no row in tests/op_calls, because it takes one pair
and no batch, and has no node.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from cineflow.errors import ArgumentError, EngineError
from cineflow.ops.pair_blocks import pair_blocks
from cineflow.reference.pair_blocks import pair_blocks as reference
from tests.core.cuda_backend import Backend, DeviceArray
from tests.core.pair_calls import SIZES, agree, on_gpu, pair

LAUNCHES = 3


def arrays_of(cuda: Backend, size: tuple[int, int] = (37, 53)) -> dict[str, Any]:
    """Good arguments on device 0."""
    names = ("previous", "current", "flow")
    given = dict(zip(names, pair(*size, np.float32), strict=True))
    floats = cuda.module.pair_blocks_floats(*size)
    given["out"] = np.zeros((14, size[0] // 16, size[1] // 16), np.float32)
    given["workspace"] = np.zeros(floats, np.float32)
    return {name: cuda.put(values, "float32") for name, values in given.items()} | {"mask": None}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_agrees_with_the_reference(cuda: Backend, size: tuple[int, int], masked: bool) -> None:
    mask = np.random.default_rng(1).random(size) < 0.7
    mask[0, 0] = True
    for dtype in (np.uint8, np.float32):
        given = pair(*size, dtype, seed=4)
        found = on_gpu(cuda, *given, *([mask.view(np.uint8)] if masked else []))
        agree(found, reference(*given, *([mask] if masked else [])))


def test_two_calls_and_any_order_of_threads_give_the_same_bits(
    cuda: Backend, shim: ctypes.CDLL
) -> None:
    given = pair(48, 80)
    forwards = on_gpu(cuda, *given)
    np.testing.assert_array_equal(on_gpu(cuda, *given), forwards)
    shim.cuda_shim_reverse_threads(True)
    try:
        np.testing.assert_array_equal(on_gpu(cuda, *given), forwards)
    finally:
        shim.cuda_shim_reverse_threads(False)


def test_the_launches_go_to_the_given_stream(cuda: Backend, shim: ctypes.CDLL) -> None:
    before = shim.cuda_shim_launches()
    cuda.module.pair_blocks(**arrays_of(cuda), stream=0x1230)
    assert shim.cuda_shim_launches() == before + LAUNCHES
    assert shim.cuda_shim_stream() == 0x1230


def test_a_failed_launch_is_an_error_that_names_the_op(cuda: Backend, shim: ctypes.CDLL) -> None:
    shim.cuda_shim_fail_next(98)
    before = shim.cuda_shim_launches()
    with pytest.raises(EngineError, match=r"pair_blocks: .*cudaErrorInvalidDeviceFunction"):
        cuda.module.pair_blocks(**arrays_of(cuda))
    assert shim.cuda_shim_launches() <= before + 1, "nothing is launched after a failure"


def test_tensors_of_two_devices_are_refused(cuda: Backend, shim: ctypes.CDLL) -> None:
    before = shim.cuda_shim_launches()
    good = arrays_of(cuda)
    for name in ("current", "flow", "out"):
        values = good[name].array
        for other, where in ((values, "cpu"), (DeviceArray(values, device=1), "cuda:1")):
            with pytest.raises(ArgumentError, match=f"on cuda:0; got {name} on {where}"):
                cuda.module.pair_blocks(**good | {name: other})
    mask = np.ones((37, 53), np.uint8)
    with pytest.raises(ArgumentError, match="on cuda:0; got mask on cpu"):
        cuda.module.pair_blocks(**good | {"mask": mask})
    assert shim.cuda_shim_launches() == before


def test_it_runs_on_the_tensors_gpu(cuda: Backend, shim: ctypes.CDLL) -> None:
    shim.cuda_shim_set_device(0)
    good = arrays_of(cuda)
    there = {n: one and DeviceArray(one.array, device=1) for n, one in good.items()}
    cuda.module.pair_blocks(**there)
    assert shim.cuda_shim_device() == 1
    assert shim.cuda_shim_current_device() == 0


def test_a_workspace_that_does_not_fit_is_refused(cuda: Backend, shim: ctypes.CDLL) -> None:
    good = arrays_of(cuda)
    floats = cuda.module.pair_blocks_floats(37, 53)
    assert floats == (2 * 3 * 72 + 37 * 12) // 4
    for wrong in (
        np.zeros(floats, np.float32),  # on the CPU
        cuda.put(np.zeros(floats - 1), "float32"),
        cuda.put(np.zeros(floats), "float16"),
        cuda.put(np.zeros((1, floats)), "float32"),
    ):
        with pytest.raises(ArgumentError, match=f"a float32 workspace of {4 * floats} bytes"):
            cuda.module.pair_blocks(**good | {"workspace": wrong})
    with pytest.raises(ArgumentError, match="a workspace on the device"):
        cuda.module.pair_blocks(**good | {"workspace": None})
    askew = cuda.put(np.zeros(floats + 3), "float32")
    start = 1 if askew.array.ctypes.data % 8 == 0 else 0
    with pytest.raises(ArgumentError, match="aligned to 8 bytes"):
        cuda.module.pair_blocks(**good | {"workspace": DeviceArray(askew.array[start:])})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("pixel", [(0, 0), (-1, -1), (20, -1), (-1, 3)], ids=str)
def test_a_value_that_is_not_finite_shows_everywhere(
    cuda: Backend, value: float, index: int, pixel: tuple[int, int]
) -> None:
    given = pair(37, 53, np.float32)
    given[index][(..., *pixel)] = value
    assert np.isnan(on_gpu(cuda, *given)).all()


def test_cupy_arrays_give_one_on_their_device(cupy: Any, shim: ctypes.CDLL) -> None:
    given = pair(37, 53)
    mask = np.random.default_rng(1).integers(0, 2, (37, 53)).astype(np.uint8)
    for device in (0, 1):
        with cupy.cuda.Device(device):
            arrays = [cupy.asarray(one) for one in (*given, mask)]
            stream = cupy.cuda.get_current_stream().ptr
        found = pair_blocks(*arrays)
        assert isinstance(found, cupy.ndarray)
        assert found.device.id == shim.cuda_shim_device() == device
        assert shim.cuda_shim_stream() == stream
        agree(cupy.asnumpy(found), reference(*given, mask != 0))
        agree(cupy.asnumpy(pair_blocks(*arrays[:3])), reference(*given))
    with pytest.raises(ArgumentError, match="every argument as a numpy array; got flow as a cupy"):
        pair_blocks(*given[:2], arrays[2])
