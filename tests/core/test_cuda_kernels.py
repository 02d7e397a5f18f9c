"""The CUDA kernels against the NumPy reference: under the shim here, on a GPU in gpu_check.sh.

A further op is one more row of OPS.
"""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow import reference
from cineflow.errors import ArgumentError, EngineError
from tests.core.cuda_backend import DeviceArray

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE_GOLD = runpy.run_path(str(ROOT / "csrc/template/python/reference/identity.py"))

Shape = tuple[int, int, int, int]
NASTY = np.float32([np.nan, np.inf, -np.inf, 1e20, -1e20, 3.4e38, -1.0, -0.5, 0.0, 0.5])
LAYOUTS = ("planar", "channels_last", "transposed", "gapped", "reversed")


@dataclass
class Case:
    """Arguments of one call.

    Attributes:
        inputs: Values by argument name, in the order of the binding's arguments; None is passed on.
        out: Shape of the result.
        options: The binding's other arguments.
        fixed: Storage types of the tensors that allow only one.
    """

    inputs: dict[str, np.ndarray | None]
    out: tuple[int, ...]
    options: dict[str, Any]
    fixed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Op:
    """One row of the table.

    Attributes:
        name: As in `cineflow.ops`.
        sources: Storage types of its images.
        draw: Random arguments; for images [N, C, H, W] of the shape given, if any.
        gold: The reference on a case, float64.
        largest: Magnitude that rounding errors are relative to.
        launcher: Function of `_C`, where it is named otherwise.
        barriers: Whether its threads wait for one another.
    """

    name: str
    sources: tuple[str, ...]
    draw: Callable[..., Case]
    gold: Callable[[Case], np.ndarray]
    largest: float
    launcher: str = ""
    barriers: bool = False

    @property
    def function(self) -> str:
        return self.launcher or self.name

    def tolerance(self, result: str) -> float:
        """Absolute error of a result stored as `result`: its last bit, beside the sums' own."""
        relative = {"float32": 1e-6, "float16": 2**-11 * 1.01, "bfloat16": 2**-8 * 1.01}[result]
        return self.largest * relative


def a_shape(rng: np.random.Generator) -> Shape:
    """[N, C, H, W], one-pixel images and whole packs of channels among them."""
    channels = int(rng.choice([1, 2, 3, 8, 11, 16, 32]))
    height, width = (int(n) for n in rng.integers(1, 40, 2))
    return int(rng.integers(1, 4)), channels, height, width


def a_grid(rng: np.random.Generator, image: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a result: mostly the image's own."""
    if rng.random() < 0.7:
        return image
    height, width = (int(n) for n in rng.integers(1, 50, 2))
    return height, width


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


def draw_warp(rng: np.random.Generator, shape: Shape | None = None) -> Case:
    n, c, h, w = shape or a_shape(rng)
    grid = (h, w) if shape else a_grid(rng, (h, w))
    return Case(
        {"src": images(rng, (n, c, h, w)), "flow": a_flow(rng, (n, 2, *grid))},
        (n, c, *grid),
        {"clamp": bool(rng.random() < 0.5)},
        {"flow": "float32"},
    )


def gold_warp(case: Case) -> np.ndarray:
    return reference.warp(case.inputs["src"], case.inputs["flow"], border=border_of(case))


def draw_compose_flow(rng: np.random.Generator, shape: Shape | None = None) -> Case:
    n, _, h, w = shape or a_shape(rng)
    grid = (h, w) if shape else a_grid(rng, (h, w))
    flow = rng.normal(0, 4, (n, 2, h, w)).astype(np.float32)
    # Huge but finite displacements would hide the flow behind their own rounding.
    displacement = np.clip(np.nan_to_num(a_flow(rng, (n, 2, *grid))), -60, 60)
    return Case(
        {"displacement": displacement, "flow": flow},
        (n, 2, *grid),
        {"clamp": bool(rng.random() < 0.5)},
        {"displacement": "float32", "flow": "float32", "out": "float32"},
    )


def gold_compose_flow(case: Case) -> np.ndarray:
    return reference.compose_flow(**case.inputs, border=border_of(case))


def draw_correlation(rng: np.random.Generator, shape: Shape | None = None) -> Case:
    n, c, h, w = shape or a_shape(rng)
    radius = 1 if shape else int(rng.choice([0, 1, 2, 3, 4, 4, 5, 10]))
    # Small whole numbers: the sums of their products are exact in f32.
    f1, f2 = (rng.integers(-4, 5, (n, c, h, w)).astype(np.float32) for _ in range(2))
    options = {
        "radius": radius,
        "dilation": int(rng.choice([1, 1, 2, 3])),
        "scale": 1 / c,
        "x_major": bool(rng.random() < 0.5),
        "clamp": bool(rng.random() < 0.5),
    }
    return Case({"f1": f1, "f2": f2, "flow": None}, (n, (2 * radius + 1) ** 2, h, w), options)


def draw_warp_correlation(rng: np.random.Generator, shape: Shape | None = None) -> Case:
    case = draw_correlation(rng, shape)
    n, _, h, w = case.out
    case.inputs["flow"] = a_flow(rng, (n, 2, h, w))
    case.fixed["flow"] = "float32"
    return case


def gold_correlation(case: Case) -> np.ndarray:
    options = {name: case.options[name] for name in ("radius", "dilation", "scale")}
    options["order"] = "xy" if case.options["x_major"] else "yx"
    f1, f2, flow = case.inputs.values()
    if flow is None:
        return reference.correlation(f1, f2, **options)
    return reference.warp_correlation(f1, f2, flow, border=border_of(case), **options)


def draw_polar(rng: np.random.Generator, shape: Shape | None = None) -> Case:
    """Arguments that both directions share; the output is the caller's to say."""
    shape = shape or a_shape(rng)
    # Fewer angles are no circle, fewer radii no distance.
    shape = (*shape[:2], max(shape[2], 3), max(shape[3], 2))
    frames = 1 if rng.random() < 0.5 else shape[0]
    options = {
        "first_angle": float(rng.choice([0.0, 0.7, -2.0, 1000.0])),
        "angle_step": float(rng.choice([-1, 1])) * 2 * math.pi / shape[2],
        "first_radius": 1.5,
        "radius_step": 0.75,
        "wraps": True,
        "clamp": bool(rng.random() < 0.5),
        # Where neighbours differ by one, an error of the coordinate is an error of the result.
        "scale": 1 / 255,
        "offset": -0.5,
    }
    centre = rng.uniform(0, 20, (frames, 2)).astype(np.float32)
    fixed = {"centre": "float32"}
    return Case({"src": images(rng, shape), "centre": centre}, shape, options, fixed)


def draw_polar_resample(rng: np.random.Generator, shape: Shape | None = None) -> Case:
    case = draw_polar(rng, shape)
    case.out = (*case.out[:2], *a_grid(rng, case.out[2:]))
    return case


def polar_axis(case: Case, name: str, count: int) -> np.ndarray:
    unit = {"angles": "angle", "radii": "radius"}[name]
    return case.options[f"first_{unit}"] + np.arange(count) * case.options[f"{unit}_step"]


def gold_polar_resample(case: Case) -> np.ndarray:
    angles, radii = case.out[2:]
    return reference.polar_resample(
        **case.inputs,
        angles=polar_axis(case, "angles", angles),
        radii=polar_axis(case, "radii", radii),
        border=border_of(case),
        scale=case.options["scale"],
        offset=case.options["offset"],
    )


def gold_polar_unresample(case: Case) -> np.ndarray:
    angles, radii = case.inputs["src"].shape[2:]
    return reference.polar_unresample(
        **case.inputs,
        angles=polar_axis(case, "angles", angles),
        radii=polar_axis(case, "radii", radii),
        size=case.out[2:],
        border=border_of(case),
        scale=case.options["scale"],
        offset=case.options["offset"],
    )


def draw_identity(rng: np.random.Generator, shape: Shape | None = None) -> Case:
    shape = shape or a_shape(rng)
    return Case({"src": images(rng, shape)}, shape, {})


def gold_identity(case: Case) -> np.ndarray:
    return TEMPLATE_GOLD["identity"](case.inputs["src"])


FLOATS = ("float32", "float16", "bfloat16")
OPS = (
    Op("identity", (*FLOATS, "uint8"), draw_identity, gold_identity, 255),
    Op("warp", (*FLOATS, "uint8"), draw_warp, gold_warp, 255),
    Op("compose_flow", ("float32",), draw_compose_flow, gold_compose_flow, 64),
    Op("correlation", FLOATS, draw_correlation, gold_correlation, 16, barriers=True),
    Op(
        "warp_correlation", FLOATS, draw_warp_correlation, gold_correlation, 16, "correlation", True
    ),
    Op("polar_resample", (*FLOATS, "uint8"), draw_polar_resample, gold_polar_resample, 20),
    Op("polar_unresample", (*FLOATS, "uint8"), draw_polar, gold_polar_unresample, 20),
)
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
        None if values is None else cuda.put(values, case.fixed.get(name, source), layouts[0])
        for name, values in case.inputs.items()
    ]
    out = cuda.empty(case.out, result, layouts[1])
    getattr(cuda.module, op.function)(*inputs, out, **case.options, stream=stream)
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
    for trial in range(2):
        rng = np.random.default_rng([seed, trial])
        case = op.draw(rng)
        result = case.fixed.get("out", "float32" if trial == 0 else str(rng.choice(FLOATS[1:])))
        out_layout = layout if trial == 0 else str(rng.choice(LAYOUTS))
        got = run(cuda, op, case, source, result, (layout, out_layout))
        np.testing.assert_allclose(got, op.gold(case), rtol=0, atol=op.tolerance(result))


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
    case.inputs = {
        name: values if values is None else values[:0] for name, values in case.inputs.items()
    }
    case.out = (0, *case.out[1:])
    before = None if cuda.shim is None else cuda.shim.cuda_shim_launches()
    assert run(cuda, op, case).shape == case.out
    if before is not None:
        assert cuda.shim.cuda_shim_launches() == before


@EACH_OP
def test_a_failed_launch_is_an_error_that_names_the_op(cuda, shim, op):
    case = op.draw(np.random.default_rng(9))
    shim.cuda_shim_fail_next(98)
    with pytest.raises(EngineError, match=f"{op.function}: .*cudaErrorInvalidDeviceFunction"):
        run(cuda, op, case)
    run(cuda, op, case)  # and it is told once


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@pytest.mark.parametrize(
    "op",
    # Barriers make each of the shim's threads a fiber, which takes its time.
    [pytest.param(op, id=op.name, marks=pytest.mark.slow if op.barriers else ()) for op in OPS],
)
def test_more_images_than_blocks_along_an_axis(cuda, op, layout):
    case = op.draw(np.random.default_rng(10), (1, 4, 3, 2))
    case.out = (1, case.out[1], 3, 2)
    wanted = run(cuda, op, case)
    many = 65535 + 3
    case.inputs = {
        name: values if values is None else np.repeat(values, many, axis=0)
        for name, values in case.inputs.items()
    }
    case.out = (many, *case.out[1:])
    got = run(cuda, op, case, layouts=(layout, layout))
    np.testing.assert_array_equal(got, np.broadcast_to(wanted, case.out))


@EACH_OP
def test_a_tensor_on_the_other_device_is_refused(cuda, op):
    case = op.draw(np.random.default_rng(11))
    first, *others = (
        None if values is None else cuda.put(values, "float32") for values in case.inputs.values()
    )
    out = np.zeros(case.out, np.float32)
    with pytest.raises(ArgumentError, match="wanted every tensor on cuda:0; got out on cpu"):
        getattr(cuda.module, op.function)(first, *others, out, **case.options)


def on_device(index: int, case: Case) -> list[DeviceArray | None]:
    """The tensors of a call of the shim, inputs and output, on one of its devices."""
    inputs = [
        None if values is None else DeviceArray(values, device=index)
        for values in case.inputs.values()
    ]
    return [*inputs, DeviceArray(np.zeros(case.out, np.float32), device=index)]


@EACH_OP
def test_tensors_of_two_gpus_are_refused(cuda, shim, op):
    case = op.draw(np.random.default_rng(12))
    tensors = on_device(1, case)
    before = shim.cuda_shim_launches()
    for index, tensor in enumerate(tensors[1:], 1):
        if tensor is None:
            continue
        mixed = [*tensors[:index], on_device(0, case)[index], *tensors[index + 1 :]]
        with pytest.raises(ArgumentError, match=r"every tensor on cuda:1; got \w+ on cuda:0"):
            getattr(cuda.module, op.function)(*mixed, **case.options)
    assert shim.cuda_shim_launches() == before


@EACH_OP
def test_a_kernel_runs_on_its_tensors_gpu_and_leaves_the_callers_current(cuda, shim, op):
    case = op.draw(np.random.default_rng(13))
    for index in (1, 0):
        getattr(cuda.module, op.function)(*on_device(index, case), **case.options)
        assert shim.cuda_shim_device() == index
        assert shim.cuda_shim_current_device() == 0
    with pytest.raises(EngineError, match=f"{op.function}: .*cudaErrorInvalidDevice"):
        getattr(cuda.module, op.function)(*on_device(7, case), **case.options)


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
def test_an_outside_corner_is_not_read(cuda, layout):
    # The only pixel is infinite; its outside neighbours count 0, not 0 * inf = NaN.
    source = np.full((1, 4, 1, 1), np.inf, np.float32)
    half = np.full((1, 2, 1, 1), 0.5, np.float32)
    case = Case({"src": source, "flow": half}, (1, 4, 1, 1), {"clamp": False})
    warp = next(op for op in OPS if op.name == "warp")
    got = run(cuda, warp, case, layouts=(layout, layout))
    np.testing.assert_array_equal(got, source)
