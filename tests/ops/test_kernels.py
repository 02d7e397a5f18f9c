"""Every op against the independent NumPy reference, on every backend of conftest.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cineflow import _C, ops, reference

LAYOUTS = ("planar", "channels_last", "transposed", "reversed", "broadcast")
FLOATS = ("float32", "float16")
NASTY = np.float32([np.nan, np.inf, -np.inf, 1e20, -1e20, 3.4e38, -1.0, -0.5, 0.0, 0.5])
BORDERS = ("zeros", "clamp")

seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(st.integers(0, 2), st.integers(1, 19), st.integers(1, 12), st.integers(1, 40))
few = settings(deadline=None, max_examples=25)


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values [N, C, H, W] with other strides (broadcast: those of channel 0)."""
    if layout == "channels_last":
        return array.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    if layout == "transposed":
        return array.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2)
    if layout == "reversed":
        return array[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1]
    if layout == "broadcast":
        return np.broadcast_to(array[:, :1], array.shape)
    return array


def image(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Grey levels that every dtype holds exactly."""
    return rng.integers(0, 256, shape).astype(dtype)


def nasty_flow(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A few pixels of motion; a tenth of the components huge, on an edge, or no number."""
    flow = rng.normal(0, 4, shape).astype(np.float32)
    chosen = rng.random(shape) < 0.1
    flow[chosen] = rng.choice(NASTY, int(chosen.sum()))
    return flow


def agree(got: np.ndarray, wanted: np.ndarray, scale: float) -> None:
    """Within f32 rounding of values up to `scale`, or within f16's where that is the result."""
    relative = 2**-11 if got.dtype == np.float16 else 2e-6
    np.testing.assert_allclose(got.astype(np.float64), wanted, rtol=0, atol=scale * relative)


@few
@given(
    seed=seeds,
    shape=shapes,
    grid=st.one_of(st.none(), st.tuples(st.integers(1, 12), st.integers(1, 40))),
    dtype=st.sampled_from((*FLOATS, "uint8")),
    layout=st.sampled_from(LAYOUTS),
    flow_layout=st.sampled_from(LAYOUTS[:4]),
    border=st.sampled_from(BORDERS),
)
def test_warp(backend, seed, shape, grid, dtype, layout, flow_layout, border):
    rng = np.random.default_rng(seed)
    src = laid_out(image(rng, shape, dtype), layout)
    flow = laid_out(nasty_flow(rng, (shape[0], 2, *(grid or shape[2:]))), flow_layout)
    got = backend("warp", src, flow, border=border)
    assert got.dtype == (np.float32 if dtype == "uint8" else dtype)
    agree(got, reference.warp(src, flow, border=border), 255)


@few
@given(
    seed=seeds, shape=shapes, layout=st.sampled_from(LAYOUTS[:4]), border=st.sampled_from(BORDERS)
)
def test_compose_flow(backend, seed, shape, layout, border):
    rng = np.random.default_rng(seed)
    size = (shape[0], 2, *shape[2:])
    displacement = laid_out(nasty_flow(rng, size), layout)
    flow = rng.normal(0, 4, size).astype(np.float32)
    got = backend("compose_flow", displacement, flow, border=border)
    with np.errstate(invalid="ignore"):
        wanted = reference.compose_flow(displacement, flow, border=border)
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=5e-5)


@few
@given(
    seed=seeds,
    shape=shapes,
    dtype=st.sampled_from(FLOATS),
    layout=st.sampled_from(LAYOUTS),
    radius=st.integers(0, 6),
    dilation=st.integers(1, 3),
    scale=st.sampled_from(("mean", "sqrt", 0.5)),
    order=st.sampled_from(("yx", "xy")),
)
def test_correlation(backend, seed, shape, dtype, layout, radius, dilation, scale, order):
    rng = np.random.default_rng(seed)
    f1 = laid_out(rng.integers(-8, 9, shape).astype(dtype), layout)
    f2 = rng.integers(-8, 9, shape).astype(dtype)
    options = {"radius": radius, "dilation": dilation, "scale": scale, "order": order}
    got = backend("correlation", f1, f2, **options)
    assert got.dtype == dtype
    wanted = reference.correlation(f1, f2, **options)
    agree(got, wanted, max(1.0, float(np.abs(wanted).max(initial=0))))


@few
@given(
    seed=seeds,
    shape=shapes,
    layout=st.sampled_from(LAYOUTS),
    radius=st.integers(1, 5),
    border=st.sampled_from(BORDERS),
)
def test_warp_correlation(backend, seed, shape, layout, radius, border):
    rng = np.random.default_rng(seed)
    f1 = rng.integers(-8, 9, shape).astype(np.float32)
    f2 = laid_out(rng.integers(-8, 9, shape).astype(np.float32), layout)
    flow = nasty_flow(rng, (shape[0], 2, *shape[2:]))
    got = backend("warp_correlation", f1, f2, flow, radius=radius, border=border)
    wanted = reference.warp_correlation(f1, f2, flow, radius=radius, border=border)
    agree(got, wanted, 256)


@few
@given(
    seed=seeds,
    shape=shapes,
    dtype=st.sampled_from((*FLOATS, "uint8")),
    layout=st.sampled_from(LAYOUTS),
    shared=st.booleans(),
    border=st.sampled_from(BORDERS),
    sweep=st.sampled_from((2 * math.pi, -2 * math.pi, 1.5)),
)
def test_polar_resample(backend, seed, shape, dtype, layout, shared, border, sweep):
    rng = np.random.default_rng(seed)
    src = laid_out(image(rng, shape, dtype), layout)
    centre = rng.uniform(0, 12, (1 if shared else shape[0], 2)).astype(np.float32)
    grid = ops.PolarGrid(7, 37, last_radius=15.0, first_radius=1.5, first_angle=0.3, sweep=sweep)
    got = backend("polar_resample", src, centre, grid, border=border, scale=1 / 255, offset=-0.5)
    angles = 0.3 + np.arange(7) * grid.angle_step
    radii = 1.5 + np.arange(37) * grid.radius_step
    wanted = reference.polar_resample(
        src, centre, angles, radii, border=border, scale=1 / 255, offset=-0.5
    )
    # Coordinates of up to 30 px are rounded to f32, and neighbours differ by up to 1.
    np.testing.assert_allclose(
        got.astype(np.float64), wanted, rtol=0, atol=1e-3 if dtype == "float16" else 2e-5
    )


@few
@given(
    seed=seeds,
    angles=st.integers(3, 40),
    shared=st.booleans(),
    border=st.sampled_from(BORDERS),
    turn=st.sampled_from((1, -1)),
    first_angle=st.sampled_from((0.0, 0.7, -2.0)),
)
def test_polar_unresample(backend, seed, angles, shared, border, turn, first_angle):
    rng = np.random.default_rng(seed)
    src = rng.random((2, 3, angles, 11), np.float32)
    centre = rng.uniform(0, 12, (1 if shared else 2, 2)).astype(np.float32)
    grid = ops.PolarGrid(
        angles, 11, last_radius=12.0, first_radius=1.0, first_angle=first_angle,
        sweep=turn * 2 * math.pi,
    )  # fmt: skip
    got = backend("polar_unresample", src, centre, grid, (13, 21), border=border)
    wanted = reference.polar_unresample(
        src, centre,
        first_angle + np.arange(angles) * grid.angle_step,
        1.0 + np.arange(11) * grid.radius_step,
        (13, 21), border=border,
    )  # fmt: skip
    # f32 angles are good to 5e-7 rad, a share of one of the samples of the circle.
    np.testing.assert_allclose(got, wanted, rtol=0, atol=4e-5)


def test_there_and_back_again(backend):
    y, x = np.mgrid[0:64, 0:64].astype(np.float32)
    smooth = np.sin(x / 9)[None, None] * np.cos(y / 11)
    grid = ops.PolarGrid(256, 64, last_radius=32.0)
    polar = backend("polar_resample", smooth, (31.5, 31.5), grid)
    back = backend("polar_unresample", polar, (31.5, 31.5), grid, (64, 64))
    inside = np.hypot(x - 31.5, y - 31.5) < 30
    assert np.abs(back - smooth)[0, 0][inside].max() < 0.01


def test_a_gap_between_the_angles_of_a_sector_is_outside(backend):
    grid = ops.PolarGrid(9, 8, last_radius=8.0, first_angle=-0.4, sweep=0.9)
    polar = np.ones((1, 1, 9, 8), np.float32)
    image_ = backend("polar_unresample", polar, (8.0, 8.0), grid, (17, 17))
    assert image_[0, 0, 8, 13] == pytest.approx(1, abs=1e-5)
    assert image_[0, 0, 8, 3] == 0
    assert image_[0, 0, 3, 8] == 0


def test_an_infinite_pixel_outside_the_weights_stays_outside(backend):
    src = np.zeros((1, 1, 3, 3), np.float32)
    src[0, 0, :, 1] = np.inf
    flow = np.zeros((1, 2, 3, 3), np.float32)
    flow[0, 0] = -0.5
    # Column 0 lies half outside: 0.5 of the finite pixel, never 0 * inf.
    assert np.isfinite(backend("warp", src, flow)[0, 0, :, 0]).all()


CALLS = {
    "warp": lambda a, flow: ops.warp(a, flow),
    "channels-last warp": lambda a, flow: ops.warp(laid_out(a, "channels_last"), flow),
    "compose_flow": lambda a, flow: ops.compose_flow(flow, flow),
    "correlation": lambda a, flow: ops.correlation(a, a),
    "warp_correlation": lambda a, flow: ops.warp_correlation(a, a, flow),
    "polar_resample": lambda a, flow: ops.polar_resample(
        a, (30.0, 30.0), ops.PolarGrid(90, 50, 40)
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_any_number_of_threads_gives_the_same_bits(name):
    rng = np.random.default_rng(1)
    source = rng.random((2, 16, 61, 67), np.float32)
    flow = rng.normal(0, 3, (2, 2, 61, 67)).astype(np.float32)
    before = _C.thread_count()
    try:
        results = []
        for threads in (1, 2, 3, 8, 1):
            _C.set_thread_count(threads)
            results.append(CALLS[name](source, flow))
    finally:
        _C.set_thread_count(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
