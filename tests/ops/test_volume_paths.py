"""The CPU kernels reach a pixel of a volume on many paths, and all of them give the same bits.

As test_cpu_paths.py for images: vectors, tails, edges, layouts and storage types each have their
own code, and runs with infinite or NaN results are sampled a second time.
"""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from cineflow import _C, ops, reference
from tests.ops.test_cpu_paths import (
    BORDERS,
    LAYOUTS,
    NASTY,
    guard,
    instruction_set,
    nasty,
    on_threads,
    weights_along,
)

__all__ = ["instruction_set"]  # a fixture that every test here uses

SEEDS = (0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3)))


def scene(seed: int, channels: int = 3, nasty_pixels: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A volume with some infinite pixels and a flow that leaves it, both with nasty values."""
    rng = np.random.default_rng(seed)
    depth, height, width = (int(rng.integers(2, most)) for most in (9, 14, 50))
    source = rng.normal(0, 1, (1, channels, depth, height, width)).astype(np.float32)
    flow = rng.normal(0, 4, (1, 3, 5, 13, 43)).astype(np.float32)
    return nasty(rng, source, 0.02 * nasty_pixels), nasty(rng, flow, 0.03)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pixel_does_not_depend_on_its_neighbours(seed, border, layout):
    source, flow = scene(seed)
    source = layout(source)
    whole = ops.warp(source, flow, border=border)
    for width in (1, 2, 7, 8, 15, 16, 17, 31, 33):
        part = ops.warp(source, flow[..., :width], border=border)
        np.testing.assert_array_equal(part, whole[..., :width])
    for depth, height in ((1, 13), (2, 1), (5, 2), (3, 11)):
        part = ops.warp(source, flow[:, :, :depth, :height], border=border)
        np.testing.assert_array_equal(part, whole[:, :, :depth, :height])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("nasty_pixels", [False, True])
def test_a_channel_does_not_depend_on_the_others_or_the_layout(seed, border, nasty_pixels):
    source, flow = scene(seed, channels=19, nasty_pixels=nasty_pixels)
    whole = ops.warp(source, flow, border=border)
    for channels in (1, 2, 3):
        part = ops.warp(source[:, :channels], flow, border=border)
        np.testing.assert_array_equal(part, whole[:, :channels])
    gaps = np.repeat(source, 2, axis=4)[..., ::2]
    mirrored = source[..., ::-1].copy()[..., ::-1]
    upright = source.swapaxes(2, 4).copy().swapaxes(2, 4)
    into_gaps = np.zeros((*whole.shape[:4], 2 * whole.shape[4]), np.float32)[..., ::2]
    for other in (LAYOUTS[1](source), gaps, mirrored, upright):
        np.testing.assert_array_equal(ops.warp(other, flow, border=border), whole)
    np.testing.assert_array_equal(ops.warp(source, flow, border=border, out=into_gaps), whole)


@pytest.mark.parametrize("border", BORDERS)
def test_rows_longer_than_a_run(border):
    rng = np.random.default_rng(0)
    source = rng.random((1, 2, 2, 3, 1300), np.float32)
    flow = nasty(rng, rng.normal(0, 4, (1, 3, 2, 2, 1100)).astype(np.float32), 0.03)
    whole = ops.warp(source, flow, border=border)
    for first, last in ((0, 500), (500, 530), (1090, 1100)):
        moved = flow[..., first:last].copy()
        moved[:, 0] += np.float32(first)
        part = ops.warp(source, moved, border=border)
        finite = np.isfinite(flow[:, :, :, :, first:last]).all(axis=1, keepdims=True)
        close = np.isclose(part, whole[..., first:last], atol=1e-3)
        assert (close | ~finite).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("nasty_flow", [False, True])
def test_composing_is_warping_and_adding(seed, border, nasty_flow):
    rng = np.random.default_rng(seed)
    size = (1, 3, 4, 9, 35)
    flow = nasty(rng, rng.normal(0, 3, size).astype(np.float32), 0.02 * nasty_flow)
    displacement = nasty(rng, rng.normal(0, 3, size).astype(np.float32), 0.01)
    with np.errstate(invalid="ignore", over="ignore"):
        wanted = displacement + ops.warp(flow, displacement, border=border)
    np.testing.assert_array_equal(ops.compose_flow(displacement, flow, border=border), wanted)
    apart = np.repeat(displacement, 2, axis=4)[..., ::2]
    np.testing.assert_array_equal(ops.compose_flow(apart, flow, border=border), wanted)
    last = LAYOUTS[1](flow)
    np.testing.assert_array_equal(ops.compose_flow(displacement, last, border=border), wanted)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 2, 3), (3, 1, 2), (2, 3, 1), (2, 2, 2)], ids=str)
def test_every_pixel_counts_by_the_rule(size, border):
    """Volumes of one bright pixel show its weight to the bit, on the edges and beyond them."""
    pixels = np.eye(np.prod(size), dtype=np.float32).reshape(1, -1, *size)
    around = np.float32([-0.99999994, -1e-10, 0.3, 0.99999994, 1, 1.7, 1.9999999, 2, 2.3, 3])
    coordinates = np.concatenate([NASTY[[0, 1, 3, 6, 7, 9]], around])
    axes = [axis.reshape(-1) for axis in np.meshgrid(*[coordinates] * 3)]
    flow = np.stack(axes, axis=1).reshape(-1, 3, 1, 1, 1)  # of volumes of one pixel, at 0
    x, y, z = (
        np.stack([weights_along(at, side, border) for at in axis])
        for axis, side in zip(axes, size[::-1], strict=True)
    )
    wanted = (x[:, None, None, :] * y[:, None, :, None]) * z[:, :, None, None]
    wanted = wanted.reshape(len(flow), -1, 1, 1, 1)
    source = np.broadcast_to(pixels, (len(flow), *pixels.shape[1:]))
    np.testing.assert_array_equal(ops.warp(source, flow, border=border), wanted)


@pytest.mark.parametrize("storage", ["uint8", "float16"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_storage_types_hold_the_same_numbers(storage, layout, seed):
    _, flow = scene(seed)
    rng = np.random.default_rng(seed)
    grey = rng.integers(0, 256, (1, 3, 5, 11, 40)).astype(np.float32)
    narrow = layout(grey.astype(storage))
    wanted = ops.warp(grey, flow)
    got = ops.warp(narrow, flow, out=np.empty_like(wanted))
    np.testing.assert_array_equal(got, wanted)
    half = np.empty(wanted.shape, np.float16)
    np.testing.assert_array_equal(ops.warp(narrow, flow, out=half), wanted.astype(np.float16))


@pytest.mark.parametrize("last_column", [0, 1, 16, 17])
def test_the_last_pixel_of_a_tight_buffer_is_the_last_that_is_read(last_column):
    """The page behind the source is protected: loads of two neighbours never pass the end."""
    page = mmap.PAGESIZE
    for storage in (np.float32, np.float16, np.uint8):
        size = 4 * (last_column + 1)
        memory = mmap.mmap(-1, 2 * page)
        offset = page - size * np.dtype(storage).itemsize
        source = np.frombuffer(memory, storage, size, offset).reshape(1, 1, 2, 2, last_column + 1)
        guard(memory, page)
        flow = np.random.default_rng(0).normal(0, 9, (1, 3, 2, 2, 40)).astype(np.float32)
        ops.warp(source, flow)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_number_of_threads_gives_the_same_bits_around_bad_pixels(seed):
    rng = np.random.default_rng(seed)
    source = nasty(rng, rng.random((2, 5, 7, 19, 60), np.float32), 0.001)
    flow = nasty(rng, rng.normal(0, 3, (2, 3, 7, 19, 60)).astype(np.float32), 0.01)
    for call in (lambda: ops.warp(source, flow), lambda: ops.compose_flow(flow, flow)):
        results = []
        for threads in (1, 2, 3, 7):
            with on_threads(threads):
                results.append(call())
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])


#: Voxels, channels and window: several blocks of rows, dilated windows, more rows than slices.
MATCHES = [
    ((9, 40, 21), 70, {"radius": 1, "dilation": 3}),
    ((3, 33, 18), 40, {"radius": 3, "dilation": 2}),
    ((12, 7, 5), 3, {"radius": 2, "dilation": 5}),
    ((2, 200, 9), 33, {"radius": 4}),
]


@pytest.mark.parametrize("order", ["yx", "xy"])
@pytest.mark.parametrize(("size", "channels", "how"), MATCHES)
def test_a_correlation_is_a_sum_of_products_on_any_number_of_threads(size, channels, how, order):
    rng = np.random.default_rng(1)
    f1, f2 = rng.integers(-8, 9, (2, 1, channels, *size)).astype(np.float32)
    flow = rng.normal(0, 2, (1, 3, *size)).astype(np.float32)
    wanted = reference.correlation(f1, f2, **how, order=order)
    warped = ops.correlation(f1, ops.warp(f2, flow), **how, order=order)
    for threads in (1, 3, 8):
        with on_threads(threads):
            got = ops.correlation(f1, f2, **how, order=order)
            fused = ops.warp_correlation(f1, f2, flow, **how, order=order)
        np.testing.assert_allclose(got, wanted, atol=1e-4)
        np.testing.assert_array_equal(fused, warped)


def test_volumes_without_channels_touch_no_memory():
    full = np.ones((2, 3, 4, 5, 30), np.float32)
    flow = np.zeros((2, 3, 4, 5, 30), np.float32)
    assert ops.warp(full[:, :0], flow).shape == (2, 0, 4, 5, 30)


def test_the_instruction_set_is_the_one_that_was_chosen(instruction_set):
    assert _C.instruction_set() == instruction_set
