"""The correlation kernels for aligned maps: with asynchronous copies, and on tensor cores."""

from __future__ import annotations

import ctypes
import dataclasses

import numpy as np
import pytest

from benchmarks.gpu import sass_cases
from tests.core.cuda_backend import Backend, DeviceArray
from tests.core.kernel_calls import run_kernel
from tests.op_calls import OPS, Call, agree, make_call

PROCESSORS = 132  # of the shim's devices
HALVES = ("float16", "bfloat16")


def aligned_call(
    shape: tuple[int, ...], radius: int = 4, storage: str = "float32", result: str = ""
) -> Call:
    options = {"radius": radius, "dilation": 1, "scale": 0.125, "x_major": radius == 3}
    call = make_call(OPS["correlation"], options, shape=shape, storage=storage)
    return dataclasses.replace(call, stored_as=result)


def block_of(shim: ctypes.CDLL) -> tuple[int, ...]:
    """Threads along x, y and z of the last launch."""
    numbers = (ctypes.c_int64 * 7)()
    shim.cuda_shim_last_launch(ctypes.byref(numbers))
    return tuple(numbers)[3:6]


@pytest.mark.parametrize(
    "shape",
    [
        (1, 7, 9, 16),  # channels in the last stage for some groups only
        (2, 5, 13, 28),
        (1, 33, 6, 36),  # two tiles of 20
        (1, 1, 8, 32),
        pytest.param((1, 64, 12, 24), marks=pytest.mark.slow),
        pytest.param((40, 4, 16, 56), marks=pytest.mark.slow),  # more blocks than processors
        pytest.param((150, 2, 5, 16), marks=pytest.mark.slow),
        pytest.param((20, 6, 64, 64), marks=pytest.mark.slow),  # tiles of eight rows
    ],
)
@pytest.mark.parametrize("radius", [2, 3, 4])
def test_aligned_maps(cuda: Backend, shape: tuple[int, ...], radius: int) -> None:
    call = aligned_call(shape, radius)
    agree(run_kernel(cuda, call), call)


@pytest.mark.parametrize(
    ("shape", "radius", "storage", "result"),
    [
        ((1, 64, 7, 20), 4, "float16", "float16"),
        ((1, 80, 6, 16), 3, "bfloat16", "bfloat16"),
        pytest.param((1, 64, 13, 36), 2, "bfloat16", "float32", marks=pytest.mark.slow),
        pytest.param((2, 96, 9, 56), 4, "float16", "float32", marks=pytest.mark.slow),
        # Four rows to a tile, and two stages.
        pytest.param((40, 64, 9, 32), 4, "bfloat16", "bfloat16", marks=pytest.mark.slow),
    ],
)
def test_tensor_cores(
    cuda: Backend, shape: tuple[int, ...], radius: int, storage: str, result: str
) -> None:
    call = aligned_call(shape, radius, storage, result)
    agree(run_kernel(cuda, call), call)
    if cuda.shim is not None:
        assert block_of(cuda.shim)[0] == 32, "another kernel ran"


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_the_order_of_threads_does_not_matter(
    cuda: Backend, shim: ctypes.CDLL, storage: str
) -> None:
    call = aligned_call((1, 64, 5, 16), storage=storage)
    forwards = run_kernel(cuda, call)
    shim.cuda_shim_reverse_threads(True)
    try:
        backwards = run_kernel(cuda, call)
    finally:
        shim.cuda_shim_reverse_threads(False)
    np.testing.assert_array_equal(forwards, backwards)


@pytest.mark.parametrize("storage", ["float32", "float16"])
@pytest.mark.parametrize("what", ["f1", "f2", "out"])
def test_maps_that_are_not_aligned_take_the_general_kernel(
    cuda: Backend, shim: ctypes.CDLL, what: str, storage: str
) -> None:
    """`gapped` starts at the second element, and has a gap after each."""
    call = aligned_call((1, 64, 3, 16), storage=storage)
    run_kernel(cuda, call)
    fast = block_of(shim)
    agree(run_kernel(cuda, dataclasses.replace(call, layouts={what: "gapped"})), call)
    assert block_of(shim) != fast


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_an_image_with_many_others_between_its_channels(cuda: Backend, storage: str) -> None:
    """Views of every second channel, and of a part of each row."""
    call = aligned_call((1, 64, 4, 16), storage=storage)
    inputs = {}
    for name, values in call.inputs.items():
        wide = np.full((1, 128, 6, 24), 9, storage)
        wide[:, ::2, 1:5, 8:24] = values
        inputs[name] = DeviceArray(cuda._library.asarray(wide)[:, ::2, 1:5, 8:24])
    out = cuda.empty(call.shape, call.result)
    cuda.module.correlation(**inputs, out=out, **call.op.kernel(call.options))
    agree(cuda.get(out), call)


@pytest.mark.parametrize(
    "case",
    [case for case in sass_cases.cases_of(sass_cases.DEVICES["H200"])
     if case.source in ("correlation_tiles", "correlation_tensor")],
    ids=lambda case: case.name,
)  # fmt: skip
def test_the_model_divides_a_correlation_as_the_launcher_does(
    cuda: Backend, shim: ctypes.CDLL, case: sass_cases.Case
) -> None:
    """benchmarks/gpu/sass_cases.py says how many blocks and threads a case has. None is run."""
    assert sass_cases.DEVICES["H200"].multiprocessors == PROCESSORS
    channels, side = (int(word[1:] if word[0] == "C" else word[:-2])
                      for word in case.name.split()[1:3])  # fmt: skip
    dtype = np.float16 if case.name.endswith("f16") else np.float32
    f1, f2 = (DeviceArray(np.zeros((1, channels, side, side), dtype)) for _ in range(2))
    out = DeviceArray(np.zeros((1, 81, side, side), dtype))
    options = OPS["correlation"].kernel(OPS["correlation"].typical)
    shim.cuda_shim_only_row(1)
    try:
        cuda.module.correlation(f1=f1, f2=f2, out=out, **options)
    finally:
        shim.cuda_shim_only_row(-1)
    numbers = (ctypes.c_int64 * 7)()
    shim.cuda_shim_last_launch(ctypes.byref(numbers))
    assert numbers[0] == case.blocks
    assert numbers[3] * numbers[4] * numbers[5] == case.threads
    assert numbers[6] == case.shared_bytes
