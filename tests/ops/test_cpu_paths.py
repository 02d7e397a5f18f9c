"""The CPU kernels reach a pixel on many paths, and all of them give the same bits.

Vectors, tails, edges, numbers of channels, layouts and storage types each have their own code. A
narrower output groups the same pixels into other vectors and blocks. Blocks with NaN or infinite
pixels or coordinates are sampled a second time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from cineflow import _C, ops

SEEDS = (0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3)))
NASTY = np.float32([np.nan, np.inf, -np.inf, 1e20, -1e20, 3.4e38, -1.0, -0.5, 0.0, -0.0])
BORDERS = ("zeros", "clamp")


@pytest.fixture(params=("avx512", "avx2", "baseline"), autouse=True)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _C.instruction_set()
    if not _C.set_instruction_set(request.param):
        pytest.skip(f"this machine has no {request.param}")
    yield request.param
    _C.set_instruction_set(before)


def nasty(rng: np.random.Generator, values: np.ndarray, share: float) -> np.ndarray:
    """A copy in which some values are not finite, huge, or on an edge."""
    chosen = rng.random(values.shape) < share
    return np.where(chosen, rng.choice(NASTY, values.shape), values).astype(np.float32)


def channels_last(values: np.ndarray) -> np.ndarray:
    """The same values, channels-last in memory."""
    return np.moveaxis(np.moveaxis(values, 1, -1).copy(), -1, 1)


LAYOUTS = (np.ascontiguousarray, channels_last)


@contextlib.contextmanager
def on_threads(count: int) -> Iterator[None]:
    before = _C.thread_count()
    _C.set_thread_count(count)
    try:
        yield
    finally:
        _C.set_thread_count(before)


def scene(seed: int, channels: int = 3, nasty_pixels: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A source with some infinite pixels and a flow that leaves it, both with nasty values."""
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(2, 24)), int(rng.integers(2, 90))
    source = rng.normal(0, 1, (1, channels, height, width)).astype(np.float32)
    flow = rng.normal(0, 5, (1, 2, 21, 83)).astype(np.float32)
    return nasty(rng, source, 0.02 * nasty_pixels), nasty(rng, flow, 0.03)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pixel_does_not_depend_on_its_neighbours(seed, border, layout):
    source, flow = scene(seed)
    source = layout(source)
    whole = ops.warp(source, flow, border=border)
    for width in (1, 2, 7, 8, 15, 16, 17, 31, 33, 48, 63):
        part = ops.warp(source, flow[..., :width], border=border)
        np.testing.assert_array_equal(part, whole[..., :width])
    for height in (1, 2, 11, 13):
        part = ops.warp(source, flow[:, :, :height], border=border)
        np.testing.assert_array_equal(part, whole[:, :, :height])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("nasty_pixels", [False, True])
def test_a_channel_does_not_depend_on_the_others_or_the_layout(seed, border, nasty_pixels):
    # Finite samples of few channels have their own code.
    source, flow = scene(seed, channels=19, nasty_pixels=nasty_pixels)
    whole = ops.warp(source, flow, border=border)
    for channels in (1, 2, 3):
        part = ops.warp(source[:, :channels], flow, border=border)
        np.testing.assert_array_equal(part, whole[:, :channels])
    last = source.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)
    gaps = np.repeat(source, 2, axis=3)[..., ::2]
    mirrored = source[..., ::-1].copy()[..., ::-1]
    into_gaps = np.zeros((*whole.shape[:3], 2 * whole.shape[3]), np.float32)[..., ::2]
    for other in (last, gaps, mirrored):
        np.testing.assert_array_equal(ops.warp(other, flow, border=border), whole)
    np.testing.assert_array_equal(ops.warp(source, flow, border=border, out=into_gaps), whole)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("nasty_flow", [False, True])
def test_composing_is_warping_and_adding(seed, border, nasty_flow):
    rng = np.random.default_rng(seed)
    flow = nasty(rng, rng.normal(0, 3, (1, 2, 19, 45)).astype(np.float32), 0.02 * nasty_flow)
    displacement = nasty(rng, rng.normal(0, 3, flow.shape).astype(np.float32), 0.01)
    with np.errstate(invalid="ignore", over="ignore"):
        wanted = displacement + ops.warp(flow, displacement, border=border)
    np.testing.assert_array_equal(ops.compose_flow(displacement, flow, border=border), wanted)
    apart = np.repeat(displacement, 2, axis=3)[..., ::2]
    np.testing.assert_array_equal(ops.compose_flow(apart, flow, border=border), wanted)


def weights_along(coordinate: np.float32, size: int, border: str) -> np.ndarray:
    """How much each pixel of an axis counts, [size] float32, rounded as the kernels round."""
    weights = np.zeros(size, np.float32)
    if not np.isfinite(coordinate):
        return weights
    if border == "clamp":
        coordinate = np.float32(min(max(coordinate, 0), size - 1))
    if -1 < coordinate < size:
        low = int(np.floor(coordinate))
        high_weight = coordinate - np.float32(low)
        for pixel, weight in ((low, np.float32(1) - high_weight), (low + 1, high_weight)):
            if 0 <= pixel < size:
                weights[pixel] = weight
    return weights


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 1), (2, 2), (3, 4)])
def test_every_pixel_counts_by_the_rule(size, border):
    """Images of one bright pixel show its weight to the bit, on the edges and beyond them."""
    height, width = size
    pixels = np.eye(height * width, dtype=np.float32).reshape(1, -1, height, width)
    around = np.float32([-1.5, -0.99999994, -1e-10, 1e-10, 0.3, 0.99999994, 1, 1.7, 1.9999999, 2,
                         2.3, 2.9999998, 3, 3.6, 3.9999998, 4, 4.4, 4.9999995, 5])  # fmt: skip
    coordinates = np.concatenate([NASTY, around])
    x, y = (axis.reshape(-1, 1, 1) for axis in np.meshgrid(coordinates, coordinates))
    flow = np.stack([x, y], axis=1)  # of images of one pixel, at (0, 0)
    rows = np.stack([weights_along(at, height, border) for at in y.reshape(-1)])
    columns = np.stack([weights_along(at, width, border) for at in x.reshape(-1)])
    wanted = (rows[:, :, None] * columns[:, None, :]).reshape(x.size, -1, 1, 1)
    source = np.broadcast_to(pixels, (x.size, *pixels.shape[1:]))
    np.testing.assert_array_equal(ops.warp(source, flow, border=border), wanted)
    for pixel in range(pixels.shape[1]):  # few channels have their own code
        one = ops.warp(source[:, pixel : pixel + 1], flow, border=border)
        np.testing.assert_array_equal(one, wanted[:, pixel : pixel + 1])


@pytest.mark.parametrize("storage", ["uint8", "float16"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", SEEDS)
def test_storage_types_hold_the_same_numbers(storage, layout, seed):
    _, flow = scene(seed)
    rng = np.random.default_rng(seed)
    grey = rng.integers(0, 256, (1, 3, 17, 50)).astype(np.float32)
    narrow = grey.astype(storage)
    narrow = layout(narrow)
    wanted = ops.warp(grey, flow)
    got = ops.warp(narrow, flow, out=np.empty_like(wanted))
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("reach", [0, 3, 300])
@pytest.mark.parametrize("size", [(30, 56), (9, 50), (2, 5)])
@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_many_planes_of_16_bits_have_the_bits_of_one(storage, size, reach, border):
    """Sixteen planes are sampled together where a run reads a compact part of the source."""
    rng = np.random.default_rng(reach)
    pixels = nasty(rng, rng.normal(0, 1, (2, 35, *size)).astype(np.float32), 0.01)
    flow = nasty(rng, rng.normal(0, reach, (2, 2, *size)).astype(np.float32), 0.01)
    source, flow = torch.from_numpy(pixels).to(getattr(torch, storage)), torch.from_numpy(flow)
    whole = ops.warp(source, flow, border=border)
    for channel in (0, 1, 15, 16, 31, 32, 34):
        one = ops.warp(source[:, channel : channel + 1], flow, border=border)
        np.testing.assert_array_equal(whole[:, channel : channel + 1].float(), one.float())
    into_gaps = torch.zeros((*whole.shape, 2), dtype=whole.dtype)[..., 0]
    ops.warp(source, flow, border=border, out=into_gaps)
    np.testing.assert_array_equal(into_gaps.float(), whole.float())


@pytest.mark.parametrize("last_column", [0, 1, 16, 17])
def test_the_last_pixel_of_a_tight_buffer_is_the_last_that_is_read(last_column):
    """The page behind the source is protected: loads of two neighbours never pass the end."""
    import mmap

    page = mmap.PAGESIZE
    for storage in (np.float32, np.float16, np.uint8):
        size = 2 * (last_column + 1)
        memory = mmap.mmap(-1, 2 * page)
        offset = page - size * np.dtype(storage).itemsize
        source = np.frombuffer(memory, storage, size, offset).reshape(1, 1, 2, last_column + 1)
        guard(memory, page)
        flow = np.random.default_rng(0).normal(0, 9, (1, 2, 2, 40)).astype(np.float32)
        ops.warp(source, flow)


def guard(memory: object, page: int) -> None:
    """Forbid every access to the second page of `memory`."""
    import ctypes

    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))  # type: ignore[arg-type]
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(address + page), ctypes.c_size_t(page), 0) == 0


def test_every_half_is_read_and_written_exactly():
    halves = np.arange(65536, dtype=np.uint16).view(np.float16).reshape(1, 1, 256, 256)
    still = np.zeros((1, 2, 256, 256), np.float32)
    # A whole displacement still reads four pixels: 0 times infinity or NaN would spread.
    finite = np.where(np.isfinite(halves), halves, np.float16(0))
    np.testing.assert_array_equal(ops.warp(finite, still), finite)
    wide = np.empty(finite.shape, np.float32)
    np.testing.assert_array_equal(ops.warp(finite, still, out=wide), finite.astype(np.float32))


def test_results_are_rounded_to_the_nearest_half():
    rng = np.random.default_rng(0)
    exponents = rng.uniform(-27, 17, (1, 1, 61, 67))
    numbers = (rng.choice([-1, 1], exponents.shape) * 2**exponents).astype(np.float32)
    numbers[0, 0, 0, :6] = [65519.99, 65520, -65520, 2**-25, 3 * 2**-25, 2**-24]
    still = np.zeros((1, 2, 61, 67), np.float32)
    narrow = np.empty(numbers.shape, np.float16)
    with np.errstate(over="ignore"):
        wanted = numbers.astype(np.float16)
    np.testing.assert_array_equal(ops.warp(numbers, still, out=narrow), wanted)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_rays_and_frames_do_not_depend_on_one_another(frames):
    rng = np.random.default_rng(frames)
    source = nasty(rng, rng.normal(0, 1, (frames, 1, 40, 45)).astype(np.float32), 0.01)
    grid = ops.PolarGrid(50, 37, last_radius=30.0, first_angle=0.2)
    whole = ops.polar_resample(source, (19.3, 22.8), grid)
    each = [ops.polar_resample(source[index : index + 1], (19.3, 22.8), grid) for index in
            range(frames)]  # fmt: skip
    np.testing.assert_array_equal(np.concatenate(each), whole)
    centres = np.tile(np.float32([[19.3, 22.8]]), (frames, 1))
    np.testing.assert_array_equal(ops.polar_resample(source, centres, grid), whole)


@pytest.mark.parametrize("frames", [1, 5])
def test_the_seam_of_a_circle_is_read_alike_for_any_width(frames):
    rng = np.random.default_rng(frames)
    polar = nasty(rng, rng.normal(0, 1, (frames, 1, 24, 19)).astype(np.float32), 0.01)
    grid = ops.PolarGrid(24, 19, last_radius=19.0)
    whole = ops.polar_unresample(polar, (20.5, 18.25), grid, (41, 43))
    for width in (1, 15, 16, 21, 33):
        part = ops.polar_unresample(polar, (20.5, 18.25), grid, (41, width))
        np.testing.assert_array_equal(part, whole[..., :width])


#: Pixels, channels and window. The last two are large enough to be computed in strips.
MATCHES = [
    ((1, 1), 5, {"radius": 2, "dilation": 3}),
    ((61, 67), 5, {"radius": 2, "dilation": 3}),
    ((3, 1100), 5, {"radius": 2, "dilation": 3}),
    ((70, 250), 128, {"radius": 4, "dilation": 16}),
    ((66, 40), 510, {"radius": 3, "dilation": 15}),
]


@pytest.mark.parametrize(("size", "channels", "how"), MATCHES)
def test_a_correlation_is_a_sum_of_products(size, channels, how):
    rng = np.random.default_rng(size)
    f1, f2 = (rng.random((1, channels, *size), np.float32) for _ in range(2))
    reach, side = how["radius"] * how["dilation"], 2 * how["radius"] + 1
    wide = np.pad(f2[0], ((0, 0), (reach, reach), (reach, reach)))
    wanted = np.stack(
        [
            np.einsum("chw,chw->hw", f1[0], wide[:, y : y + size[0], x : x + size[1]])
            for y in range(0, side * how["dilation"], how["dilation"])
            for x in range(0, side * how["dilation"], how["dilation"])
        ]
    )
    for threads in (1, 3):
        with on_threads(threads):
            got = ops.correlation(f1, f2, scale=1.0, **how)
        np.testing.assert_allclose(got[0], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [1, 5, 12, 16, 28, 33])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_correlation_of_halves_is_that_of_their_numbers(layout, width):
    """Rows are packed in vectors, of which the last may be short."""
    rng = np.random.default_rng(width)
    maps = nasty(rng, rng.normal(0, 1, (2, 2, 70, 7, width)).astype(np.float32), 0.001)
    narrow = [layout(values) for values in np.clip(maps, -1e4, 1e4).astype(np.float16)]
    wanted = ops.correlation(*(values.astype(np.float32) for values in narrow), radius=3)
    got = ops.correlation(*narrow, radius=3, out=np.empty_like(wanted))
    np.testing.assert_array_equal(got, wanted)
    into_gaps = np.zeros((*wanted.shape, 2), np.float32)[..., 0]
    ops.correlation(*narrow, radius=3, out=into_gaps)
    np.testing.assert_array_equal(into_gaps, wanted)


def test_maps_without_channels_touch_no_memory():
    full = np.ones((2, 3, 9, 70), np.float32)
    none, flow = full[:, :0], np.zeros((2, 2, 9, 70), np.float32)
    assert none.strides[3] == 4  # NumPy gives a new empty array no strides at all
    result = ops.warp_correlation(none, none, flow, radius=2, scale=1.0)
    assert result.shape == (2, 25, 9, 70)
    assert not result.any()
    assert ops.warp(none, flow).shape == none.shape


#: The strips do not depend on layout and border, and take a second each.
FUSED = [
    pytest.param(
        *match,
        layout,
        border,
        marks=pytest.mark.slow if match in MATCHES[-2:] and (layout, border) != first else (),
    )
    for match in MATCHES
    for layout in LAYOUTS
    for border in BORDERS
    for first in [(LAYOUTS[0], BORDERS[0])]
]


@pytest.mark.parametrize(("size", "channels", "how", "layout", "border"), FUSED)
def test_the_fused_correlation_has_the_bits_of_its_two_ops(size, channels, how, layout, border):
    rng = np.random.default_rng(size)
    f1, f2 = (nasty(rng, rng.random((2, channels, *size), np.float32), 0.001) for _ in range(2))
    flow = nasty(rng, rng.normal(0, 3, (2, 2, *size)).astype(np.float32), 0.01)
    f2 = layout(f2)
    wanted = ops.correlation(f1, ops.warp(f2, flow, border=border), **how)
    for threads in (1, 3):
        with on_threads(threads):
            fused = ops.warp_correlation(f1, f2, flow, border=border, **how)
        np.testing.assert_array_equal(fused, wanted)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_number_of_threads_gives_the_same_bits_around_bad_pixels(seed):
    rng = np.random.default_rng(seed)
    source = nasty(rng, rng.random((2, 5, 61, 130), np.float32), 0.001)
    flow = nasty(rng, rng.normal(0, 3, (2, 2, 61, 130)).astype(np.float32), 0.01)
    grid = ops.PolarGrid(190, 50, last_radius=60.0)
    for call in (
        lambda: ops.warp(source, flow),
        lambda: ops.compose_flow(flow, flow),
        lambda: ops.polar_resample(source, (60.0, 30.0), grid),
    ):
        results = []
        for threads in (1, 2, 3, 7):
            with on_threads(threads):
                results.append(call())
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 9])
def test_a_polar_pixel_does_not_depend_on_the_panel(layout, border, channels):
    """Outputs are sampled in panels of 8 x 128, column by column; the first call has no plan."""
    rng = np.random.default_rng(0)
    grid = ops.PolarGrid(50, 37, last_radius=60.0, first_angle=0.2)
    source = layout(nasty(rng, rng.normal(0, 1, (2, channels, 50, 37)).astype(np.float32), 0.02))

    def call(*size):
        return ops.polar_unresample(source, (119.3, 7.8), grid, size, border=border)

    whole = call(19, 290)
    for _ in range(2):  # the second call makes a plan, the third follows it
        np.testing.assert_array_equal(call(19, 290), whole)
    for height, width in ((19, 1), (7, 127), (8, 128), (9, 129), (16, 145), (17, 257)):
        for _ in range(2):
            np.testing.assert_array_equal(call(height, width), whole[:, :, :height, :width])


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_plan_that_is_kept_changes_no_bit(layout, back, border):
    """A geometry has a plan from its second call on; a new geometry has none."""
    rng = np.random.default_rng(0)
    grid = ops.PolarGrid(50, 37, last_radius=30.0, first_angle=0.2)
    pixels = (50, 37) if back else (40, 45)

    def call(source, centre, out=None):
        if back:
            return ops.polar_unresample(source, centre, grid, (41, 43), border=border, out=out)
        return ops.polar_resample(source, centre, grid, border=border, out=out)

    centres = [
        (19.3, 22.8),
        (19.3, 22.9),
        (-3.0, 5.0),
        (1e20, 5.0),
        (float("nan"), 5.0),
        (9.0, 9.0),
    ]
    sources = [nasty(rng, rng.normal(0, 1, (3, 2, *pixels)).astype(np.float32), 0.02)
               for _ in range(4)]  # fmt: skip
    # The strides differ each time: a new geometry, which has no plan.
    wider = [np.pad(source, ((0, 0),) * 3 + ((0, 1 + index),))
             for index, source in enumerate(sources)]  # fmt: skip
    fresh = [[call(layout(source)[..., : pixels[1]], centre) for source in wider]
             for centre in centres]  # fmt: skip
    for threads in (1, 1, 3):
        for centre, results in zip(centres, fresh, strict=True):
            for source, expected in zip(sources, results, strict=True):
                with on_threads(threads):
                    np.testing.assert_array_equal(call(layout(source), centre), expected)
    narrow = np.empty((3, 2, *fresh[0][0].shape[2:]), np.float16)
    call(layout(sources[0]), centres[0], narrow)
    with np.errstate(over="ignore"):
        wanted = fresh[0][0].astype(np.float16)
    np.testing.assert_array_equal(narrow, wanted)


@pytest.mark.parametrize("centre", [(float("nan"), 1.0), (1.0, float("inf")), (-30.0, -30.0)])
@pytest.mark.parametrize("border", BORDERS)
def test_a_polar_sample_without_a_pixel_ignores_what_is_not_finite(border, centre):
    source = np.full((1, 1, 4, 6), np.nan, np.float32)
    grid = ops.PolarGrid(5, 20, last_radius=3.0)
    got = ops.polar_resample(source, centre, grid, border=border)
    reads = border == "clamp" and np.isfinite(centre).all()  # it reads the nearest pixel
    np.testing.assert_array_equal(got, np.full(got.shape, np.nan if reads else 0, np.float32))


def test_threads_share_plans():
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(0)
    source = rng.random((1, 1, 60, 60), np.float32)
    grid = ops.PolarGrid(90, 64, last_radius=30.0)
    centres = [(20.0 + index, 30.0) for index in range(7)]
    wanted = [ops.polar_resample(source, centre, grid) for centre in centres]

    def work(seed):
        for index in np.random.default_rng(seed).integers(0, 7, 150).repeat(3):
            got = ops.polar_resample(source, centres[index], grid)
            np.testing.assert_array_equal(got, wanted[index])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
