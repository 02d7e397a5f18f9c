"""The CUDA kernels against the NumPy reference: under the shim here, on a GPU in gpu_check.sh.

A further op is one more row of OPS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from cineflow import reference
from cineflow.errors import ArgumentError, EngineError

NASTY = np.float32([np.nan, np.inf, -np.inf, 1e20, -1e20, 3.4e38, -1.0, -0.5, 0.0, 0.5])
LAYOUTS = ("planar", "channels_last", "transposed", "gapped", "reversed")
#: Absolute error of a result of up to 255 that is stored so, beside the sums' own rounding.
ROUNDING = {"float32": 2e-4, "float16": 0.0626, "bfloat16": 0.51}


@dataclass
class Case:
    """Arguments of one call.

    Attributes:
        inputs: Values by argument name, in the order of the binding's arguments.
        out: Shape of the result.
        options: The binding's other arguments.
        fixed: Storage types of the inputs that allow only one.
    """

    inputs: dict[str, np.ndarray]
    out: tuple[int, ...]
    options: dict[str, Any]
    fixed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Op:
    """One row of the table.

    Attributes:
        name: Function of `_C`.
        sources: Storage types of its images.
        draw: Random arguments; of that many channels where a number is given.
        gold: The reference on a case, float64.
    """

    name: str
    sources: tuple[str, ...]
    draw: Callable[..., Case]
    gold: Callable[[Case], np.ndarray]


def a_shape(rng: np.random.Generator, channels: int | None) -> tuple[int, int, int, int]:
    """[N, C, H, W], one-pixel images and whole packs of channels among them."""
    channels = channels or int(rng.choice([1, 2, 3, 8, 11, 16, 32]))
    return (int(rng.integers(1, 4)), channels, *(int(n) for n in rng.integers(1, 40, 2)))


def images(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Whole numbers that every storage type holds exactly."""
    return rng.integers(0, 256, shape).astype(np.float32)


def a_flow(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    flow = rng.normal(0, 4, shape).astype(np.float32)
    nasty = rng.random(shape) < 0.1
    flow[nasty] = rng.choice(NASTY, int(nasty.sum()))
    return flow


def border_of(case: Case) -> str:
    return "clamp" if case.options["clamp"] else "zeros"


def draw_warp(rng: np.random.Generator, channels: int | None = None) -> Case:
    n, c, h, w = a_shape(rng, channels)
    grid = (h, w) if rng.random() < 0.7 else tuple(int(s) for s in rng.integers(1, 50, 2))
    return Case(
        {"src": images(rng, (n, c, h, w)), "flow": a_flow(rng, (n, 2, *grid))},
        (n, c, *grid),
        {"clamp": bool(rng.random() < 0.5)},
        {"flow": "float32"},
    )


def gold_warp(case: Case) -> np.ndarray:
    return reference.warp(case.inputs["src"], case.inputs["flow"], border=border_of(case))


OPS = (Op("warp", ("float32", "float16", "bfloat16", "uint8"), draw_warp, gold_warp),)
EACH_OP = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)


def run(
    cuda: Any,
    op: Op,
    case: Case,
    source: str = "float32",
    result: str = "float32",
    layouts: tuple[str, str] = ("planar", "planar"),
    stream: int = 0,
) -> np.ndarray:
    """The kernel's answer to a case."""
    inputs = [
        cuda.put(values, case.fixed.get(name, source), layouts[0])
        for name, values in case.inputs.items()
    ]
    out = cuda.empty(case.out, result, layouts[1])
    getattr(cuda.module, op.name)(*inputs, out, **case.options, stream=stream)
    return cuda.get(out)


def every_combination() -> list[Any]:
    return [
        pytest.param(op, source, layout, id=f"{op.name}-{source}-{layout}")
        for op in OPS
        for source in op.sources
        for layout in LAYOUTS
    ]


@pytest.mark.parametrize(("op", "source", "layout"), every_combination())
def test_agrees_with_the_reference(cuda, op, source, layout):
    seed = every_seed(op.name, source, layout)
    for trial in range(4):
        rng = np.random.default_rng([seed, trial])
        case = op.draw(rng)
        result = ("float32", "float16", "bfloat16", source)[trial]
        result = "float32" if result == "uint8" else result
        out_layout = layout if trial % 2 else str(rng.choice(LAYOUTS))
        got = run(cuda, op, case, source, result, (layout, out_layout))
        np.testing.assert_allclose(got, op.gold(case), rtol=0, atol=ROUNDING[result])


def every_seed(*names: str) -> int:
    """The same number for the same names, in every process."""
    return int.from_bytes("-".join(names).encode(), "big") % 2**32


@EACH_OP
def test_two_calls_give_the_same_bits(cuda, op):
    case = op.draw(np.random.default_rng(5))
    np.testing.assert_array_equal(run(cuda, op, case), run(cuda, op, case))


@EACH_OP
def test_the_order_of_threads_does_not_matter(cuda, shim, op):
    case = op.draw(np.random.default_rng(6))
    forwards = run(cuda, op, case)
    shim.cuda_shim_reverse_threads(True)
    try:
        backwards = run(cuda, op, case)
    finally:
        shim.cuda_shim_reverse_threads(False)
    np.testing.assert_array_equal(forwards, backwards)


@EACH_OP
def test_the_launch_goes_to_the_given_stream(cuda, shim, op):
    case = op.draw(np.random.default_rng(7))
    before = shim.cuda_shim_launches()
    run(cuda, op, case, stream=0x1230)
    assert shim.cuda_shim_launches() == before + 1
    assert shim.cuda_shim_stream() == 0x1230


@EACH_OP
def test_an_empty_batch_launches_nothing(cuda, op):
    case = op.draw(np.random.default_rng(8))
    case.inputs = {name: values[:0] for name, values in case.inputs.items()}
    case.out = (0, *case.out[1:])
    before = None if cuda.shim is None else cuda.shim.cuda_shim_launches()
    assert run(cuda, op, case).shape == case.out
    if before is not None:
        assert cuda.shim.cuda_shim_launches() == before


@EACH_OP
def test_a_failed_launch_is_an_error_that_names_the_op(cuda, shim, op):
    case = op.draw(np.random.default_rng(9))
    shim.cuda_shim_fail_next(98)
    with pytest.raises(EngineError, match=f"{op.name}: .*cudaErrorInvalidDeviceFunction"):
        run(cuda, op, case)
    run(cuda, op, case)  # and it is told once


@EACH_OP
@pytest.mark.parametrize("layout", ["planar", "channels_last"])
def test_more_images_than_blocks_along_an_axis(cuda, op, layout):
    case = op.draw(np.random.default_rng(10), channels=4)
    one = {name: values[:1, ..., :2, :1] for name, values in case.inputs.items()}
    many = 65535 + 3
    case.inputs = {name: np.repeat(values, many, axis=0) for name, values in one.items()}
    small = Case(one, (1, case.out[1], 2, 1), case.options, case.fixed)
    case.out = (many, *small.out[1:])
    wanted = np.broadcast_to(run(cuda, op, small), case.out)
    got = run(cuda, op, case, layouts=(layout, layout))
    np.testing.assert_array_equal(got, wanted)


def test_a_tensor_on_the_other_device_is_refused(cuda):
    case = draw_warp(np.random.default_rng(11))
    src = cuda.put(case.inputs["src"], "float32")
    out = cuda.empty(case.out, "float32")
    with pytest.raises(ArgumentError, match="every tensor on cuda"):
        cuda.module.warp(src, case.inputs["flow"], out, False)


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
def test_an_outside_corner_is_not_read(cuda, layout):
    # The only pixel is infinite; its outside neighbours count 0, not 0 * inf = NaN.
    source = np.full((1, 4, 1, 1), np.inf, np.float32)
    half = np.full((1, 2, 1, 1), 0.5, np.float32)
    case = Case({"src": source, "flow": half}, (1, 4, 1, 1), {"clamp": False})
    got = run(cuda, OPS[0], case, layouts=(layout, layout))
    np.testing.assert_array_equal(got, source)
