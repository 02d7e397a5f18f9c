"""The CUDA kernels against the NumPy reference: under the shim here, on a GPU in gpu_check.sh."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from cineflow.errors import ArgumentError, EngineError
from tests.core.cuda_backend import Backend, DeviceArray
from tests.core.kernel_calls import launch, run_kernel
from tests.op_calls import ROWS, Call, Op, agree, make_call, template_op
from tests.op_calls._values import Shape

LAYOUTS = ("planar", "channels_last", "transposed", "gapped", "reversed")
#: One-channel images, whole packs of channels, and what lies between.
CHANNELS = (1, 2, 3, 8, 11, 16, 32)
#: Heights and widths of results: several blocks and tiles of threads.
SIDES = (range(1, 50), range(1, 50))
ALL = {"identity": template_op(), **ROWS}
EACH_OP = pytest.mark.parametrize("op", ALL.values(), ids=ALL)


def random_call(op: Op, rng: np.random.Generator, **how: Any) -> Call:
    """A call with random options on images of a random size."""

    def pick(values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    height, width = (int(side) for side in rng.integers(1, 40, 2))
    shape = int(rng.integers(1, 4)), pick(CHANNELS), height, width
    return make_call(op, op.choose(pick, SIDES), shape=shape, seed=int(rng.integers(2**32)), **how)


def small_call(op: Op, shape: Shape = (2, 3, 9, 11)) -> Call:
    """A call with the typical options."""
    return make_call(op, shape=shape)


def every_combination() -> list[Any]:
    return [
        pytest.param(op, source, layout, id=f"{op.label}-{source}-{layout}")
        for op in ALL.values()
        for source in op.storages
        for layout in LAYOUTS
    ]


@pytest.mark.parametrize(("op", "source", "layout"), every_combination())
def test_agrees_with_the_reference(cuda: Backend, op: Op, source: str, layout: str) -> None:
    seed = every_seed(op.label, source, layout)
    for trial in range(2):
        rng = np.random.default_rng([seed, trial])
        call = random_call(op, rng, storage=source, layout=layout)
        layouts = dict(call.layouts) | {"out": layout if trial == 0 else str(rng.choice(LAYOUTS))}
        result = op.result[0] if trial == 0 else str(rng.choice(op.result))
        call = dataclasses.replace(call, layouts=layouts, stored_as=result)
        agree(run_kernel(cuda, call), call)


def every_seed(*names: str) -> int:
    """The same number for the same names, in every process."""
    return int.from_bytes("-".join(names).encode(), "big") % 2**32


@EACH_OP
def test_two_calls_give_the_same_bits(cuda, op):
    call = small_call(op)
    np.testing.assert_array_equal(run_kernel(cuda, call), run_kernel(cuda, call))


@EACH_OP
def test_the_order_of_threads_does_not_matter(cuda, shim, op):
    call = random_call(op, np.random.default_rng(6))
    forwards = run_kernel(cuda, call)
    shim.cuda_shim_reverse_threads(True)
    try:
        backwards = run_kernel(cuda, call)
    finally:
        shim.cuda_shim_reverse_threads(False)
    np.testing.assert_array_equal(forwards, backwards)


@EACH_OP
def test_the_launch_goes_to_the_given_stream(cuda, shim, op):
    before = shim.cuda_shim_launches()
    call = small_call(op)
    run_kernel(cuda, call, stream=0x1230)
    assert shim.cuda_shim_launches() == before + op.launches(call.options)
    assert shim.cuda_shim_stream() == 0x1230


@EACH_OP
def test_an_empty_batch_launches_nothing(cuda, op):
    call = make_call(op, shape=(0, 3, 9, 11))
    before = None if cuda.shim is None else cuda.shim.cuda_shim_launches()
    got = run_kernel(cuda, call)
    assert got.shape == call.shape
    assert got.shape[0] == 0
    if before is not None:
        assert cuda.shim.cuda_shim_launches() == before


@EACH_OP
def test_a_failed_launch_is_an_error_that_names_the_op(cuda, shim, op):
    call = small_call(op)
    shim.cuda_shim_fail_next(98)
    with pytest.raises(EngineError, match=f"{op.function}: .*cudaErrorInvalidDeviceFunction"):
        run_kernel(cuda, call)
    run_kernel(cuda, call)  # the error is reported once


@pytest.mark.timeout(900)  # 65,538 images, whose threads the CPU runs one after the other
@pytest.mark.parametrize(
    "layout", ["planar", pytest.param("channels_last", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "op",
    # Barriers make each of the shim's threads a fiber, which takes its time.
    [
        pytest.param(op, id=op.label, marks=pytest.mark.slow if op.barriers else ())
        for op in ALL.values()
    ],
)
def test_more_images_than_blocks_along_an_axis(cuda, op, layout):
    small = {"rows": 3, "columns": 2, "shared": False}
    size = {name: value for name, value in small.items() if name in op.typical}
    radius = {"radius": 1} if "radius" in op.typical else {}
    depth = {"depth": 2} if "depth" in op.typical else {}
    levels = {"levels": 1} if "levels" in op.typical else {}
    options = op.typical | size | radius | depth | levels
    one = make_call(op, options, shape=(1, 4, 3, 2), seed=10, layout=layout)
    many = 65535 + 3
    inputs = {name: np.repeat(values, many, axis=0) for name, values in one.inputs.items()}
    got = run_kernel(cuda, dataclasses.replace(one, inputs=inputs))
    np.testing.assert_array_equal(got, np.broadcast_to(run_kernel(cuda, one), got.shape))


@EACH_OP
def test_a_tensor_on_the_other_device_is_refused(cuda, op):
    call = small_call(op)
    tensors = {name: cuda.put(values, "float32") for name, values in call.inputs.items()}
    out = np.zeros(call.shape, np.float32)
    with pytest.raises(ArgumentError, match="wanted every tensor on cuda:0; got out on cpu"):
        launch(cuda, call, **tensors, out=out)


def on_gpu(index: int, call: Call) -> dict[str, DeviceArray]:
    """The tensors of a call of the shim, inputs and output, on one of its devices."""
    arrays = call.inputs | {"out": np.zeros(call.shape, np.float32)}
    return {name: DeviceArray(values, device=index) for name, values in arrays.items()}


@EACH_OP
def test_tensors_of_two_gpus_are_refused(cuda, shim, op):
    call = small_call(op)
    tensors, others = on_gpu(1, call), on_gpu(0, call)
    before = shim.cuda_shim_launches()
    for name in list(tensors)[1:]:
        mixed = tensors | {name: others[name]}
        with pytest.raises(ArgumentError, match=rf"every tensor on cuda:1; got {name} on cuda:0"):
            launch(cuda, call, **mixed)
    assert shim.cuda_shim_launches() == before


@EACH_OP
def test_a_kernel_runs_on_its_tensors_gpu_and_leaves_the_callers_current(cuda, shim, op):
    call = small_call(op)
    shim.cuda_shim_set_device(0)
    for index in (1, 0):
        launch(cuda, call, **on_gpu(index, call))
        assert shim.cuda_shim_device() == index
        assert shim.cuda_shim_current_device() == 0
    with pytest.raises(EngineError, match=f"{op.function}: .*cudaErrorInvalidDevice"):
        launch(cuda, call, **on_gpu(7, call))


@pytest.mark.parametrize("name", ["warp", "warp-3d"])
@pytest.mark.parametrize("layout", ["planar", "channels_last"])
def test_an_outside_corner_is_not_read(cuda, layout, name):
    # The only pixel is infinite; its outside neighbours count 0, not 0 * inf = NaN.
    op = ROWS[name]
    source = np.full((1, 4, *[1] * op.dimensions), np.inf, np.float32)
    half = np.full((1, op.dimensions, *[1] * op.dimensions), 0.5, np.float32)
    layouts = dict.fromkeys(("src", "out"), layout)
    call = Call(op, {"src": source, "flow": half}, {"border": "zeros"}, layouts=layouts)
    np.testing.assert_array_equal(run_kernel(cuda, call), source)
