"""RAFT's correlation, compared with its own blocks, written in torch as its authors did."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow import ops
from cineflow.errors import ArgumentError
from tests.ops.test_cpu_paths import instruction_set, on_threads

__all__ = ["instruction_set"]  # a fixture that every test here uses

torch = pytest.importorskip("torch")
functional = torch.nn.functional


def bilinear_sampler(image, coords):
    """RAFT's: columns and rows in pixels, normalised for grid_sample."""
    height, width = image.shape[-2:]
    x, y = coords.split([1, 1], dim=-1)
    grid = torch.cat([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    return functional.grid_sample(image, grid, align_corners=True)


class CorrBlock:
    """RAFT's all-pairs volume and look-up (core/corr.py), without its batch-of-pixels tricks."""

    def __init__(self, f1, f2, levels=4, radius=4):
        self.radius = radius
        batch, channels, height, width = f1.shape
        volume = torch.matmul(f1.flatten(2).transpose(1, 2), f2.flatten(2))
        level = volume.reshape(batch * height * width, 1, height, width) / channels**0.5
        self.pyramid = [level]
        for _ in range(levels - 1):
            level = functional.avg_pool2d(level, 2, stride=2)
            self.pyramid.append(level)

    def __call__(self, coords):
        r = self.radius
        batch, _, height, width = coords.shape
        centres = coords.permute(0, 2, 3, 1).reshape(batch * height * width, 1, 1, 2)
        steps = torch.linspace(-r, r, 2 * r + 1, dtype=coords.dtype)
        # RAFT names these dy, dx; the first one is added to x.
        delta = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
        found = []
        for number, level in enumerate(self.pyramid):
            at = centres / 2**number + delta[None]
            found.append(bilinear_sampler(level, at).reshape(batch, height, width, -1))
        return torch.cat(found, dim=-1).permute(0, 3, 1, 2)


def scene(size=(28, 28), channels=128, batch=1, seed=0):
    """Two maps, and coordinates of which some are far outside."""
    rng = torch.Generator().manual_seed(seed)
    f1, f2 = torch.randn(2, batch, channels, *size, generator=rng)
    y, x = torch.meshgrid(*map(torch.arange, size), indexing="ij")
    coords = torch.stack([x, y]).float()[None] + 6 * torch.randn(batch, 2, *size, generator=rng)
    coords[:, :, 0, :4] = torch.tensor([-3.0, 0.0, 27.0, 400.0])
    return f1, f2, coords


def theirs(f1, f2, coords, levels=4, radius=4):
    """In double precision, because RAFT's normalised coordinates round by 1e-5 pixels."""
    return CorrBlock(f1.double(), f2.double(), levels, radius)(coords.double())


@pytest.mark.parametrize(
    ("size", "channels"), [((28, 28), 128), ((30, 45), 64), ((16, 37), 3)], ids=str
)
@pytest.mark.parametrize("radius", [4, 3])
@pytest.mark.parametrize("memory_limit", [2**30, 0])
def test_the_numbers_are_those_of_raft(size, channels, radius, memory_limit):
    f1, f2, coords = scene(size, channels, batch=2)
    block = ops.CorrelationBlock(f1, f2, radius=radius, memory_limit=memory_limit)
    assert block.on_demand is (memory_limit == 0)
    got = block.lookup(coords)
    wanted = theirs(f1, f2, coords, radius=radius)
    assert got.shape == wanted.shape == (2, 4 * (2 * radius + 1) ** 2, *size)
    np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=0, atol=2e-5)


def test_the_levels_are_those_of_raft():
    f1, f2, _ = scene()
    pyramid = ops.correlation_pyramid(f1, f2)
    for level, wanted in enumerate(CorrBlock(f1.double(), f2.double()).pyramid):
        got = ops.pyramid_level(pyramid, level)
        assert got.shape[3:] == (28 >> level, 28 >> level)
        assert got.data_ptr() >= pyramid.data_ptr()
        np.testing.assert_allclose(
            got.numpy().reshape(wanted.shape), wanted.numpy(), rtol=0, atol=1e-5
        )


def test_a_window_of_one_pixel_moves_with_x_first():
    """The order is the trap of every rewrite: x counts slowest."""
    f1, f2 = torch.zeros(2, 1, 1, 9, 9)
    f1[0, 0, 4, 4] = 1
    f2[0, 0, 3, 6] = 1  # two to the right, one up
    coords = torch.stack(torch.meshgrid(torch.arange(9.0), torch.arange(9.0), indexing="xy"))
    coords = coords[None].contiguous()
    found = ops.CorrelationBlock(f1, f2, levels=1, radius=3).lookup(coords)
    (channel,) = found[0, :, 4, 4].nonzero()
    assert int(channel) == (2 + 3) * 7 + (-1 + 3)


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
@pytest.mark.parametrize("memory_limit", [2**30, 0])
def test_half_precision_is_rounded_and_summed_in_single(storage, memory_limit):
    f1, f2, coords = scene(channels=256)
    half = getattr(torch, storage)
    f1, f2 = f1.to(half), f2.to(half)
    got = ops.CorrelationBlock(f1, f2, memory_limit=memory_limit).lookup(coords)
    assert got.dtype == half
    wanted = theirs(f1, f2, coords)
    step = torch.finfo(half).eps
    np.testing.assert_allclose(got.double().numpy(), wanted.numpy(), rtol=step, atol=4 * step)


def test_pyramid_and_on_demand_agree_on_any_number_of_threads():
    f1, f2, coords = (one.numpy() for one in scene((23, 31), 40, batch=2))
    results = []
    for threads in (1, 2, 5):
        with on_threads(threads):
            results.append(
                [
                    ops.CorrelationBlock(f1, f2, memory_limit=limit).lookup(coords)
                    for limit in (2**30, 0)
                ]
            )
    for kept, demanded in results:
        np.testing.assert_array_equal(kept, results[0][0])
        np.testing.assert_array_equal(demanded, results[0][1])
        np.testing.assert_allclose(kept, demanded, rtol=0, atol=2e-5)


def layouts(array):
    """The same values in other strides."""
    yield np.moveaxis(np.moveaxis(array, 1, -1).copy(), -1, 1)
    yield np.repeat(array, 2, axis=3)[..., ::2]
    yield array[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1]
    yield array.swapaxes(2, 3).copy().swapaxes(2, 3)


def test_strides_do_not_change_a_bit():
    f1, f2, coords = (one.numpy() for one in scene((19, 37), 21))
    pyramid = ops.correlation_pyramid(f1, f2)
    features = ops.feature_pyramid(f2)
    wanted = ops.correlation_lookup(pyramid, coords)
    on_demand = ops.correlation_on_demand(f1, features, coords)
    for first, second, at in zip(layouts(f1), layouts(f2), layouts(coords), strict=True):
        np.testing.assert_array_equal(ops.correlation_pyramid(first, second), pyramid)
        np.testing.assert_array_equal(ops.correlation_lookup(pyramid, at), wanted)
        np.testing.assert_array_equal(ops.feature_pyramid(second), features)
        again = ops.correlation_on_demand(first, ops.feature_pyramid(second), at)
        np.testing.assert_array_equal(again, on_demand)
    for other, out in zip(layouts(pyramid), layouts(np.empty_like(wanted)), strict=True):
        np.testing.assert_array_equal(ops.correlation_lookup(other, coords, out=out), wanted)


@pytest.mark.parametrize("size", [(8, 12), (8, 11)])
@pytest.mark.parametrize("threads", [1, 2])
def test_an_output_may_begin_anywhere_in_a_cache_line(size, threads):
    f1, f2, coords = (tensor.numpy() for tensor in scene(size, channels=3))
    pyramid = ops.correlation_pyramid(f1, f2, levels=2)
    expected = ops.correlation_lookup(pyramid, coords, levels=2, radius=2)
    memory = np.empty(expected.size + 2 * 16, np.float32)
    for start in range(1, 17):
        memory.fill(-7)
        out = memory[start : start + expected.size].reshape(expected.shape)
        with on_threads(threads):
            ops.correlation_lookup(pyramid, coords, levels=2, radius=2, out=out)
        np.testing.assert_array_equal(out, expected)
        assert (memory[:start] == -7).all()
        assert (memory[start + expected.size :] == -7).all()


def test_a_pixel_does_not_depend_on_its_neighbours():
    """Windows of whole vectors reach into the maps of other pixels, and of no memory."""
    rng = np.random.default_rng(0)
    size = (13, 21)
    pyramid = rng.normal(0, 1, (1, *size, 13 * 21 + 6 * 10 + 3 * 5)).astype(np.float32)
    coords = rng.normal(8, 9, (1, 2, *size)).astype(np.float32)
    whole = ops.correlation_lookup(pyramid, coords, levels=3)
    for y, x in ((0, 0), (0, 20), (5, 7), (12, 0), (12, 20)):
        others = np.full_like(pyramid, np.nan)
        others[0, y, x] = pyramid[0, y, x]
        alone = ops.correlation_lookup(others, coords, levels=3)
        np.testing.assert_array_equal(alone[..., y, x], whole[..., y, x])


@pytest.mark.parametrize("memory_limit", [0, 2**30])
def test_maps_that_differ_are_refused_at_once(memory_limit):
    f1, f2, _ = (one.numpy() for one in scene((16, 16), 4))
    for other, options, wanted in (
        (f2.astype(np.float16), {}, "float"),
        (f2[:, :, :8], {}, "8"),
        (torch.from_numpy(f2), {}, "array"),
        (f2, {"scale": "foo"}, "scale"),
    ):
        with pytest.raises(ArgumentError, match=wanted):
            ops.CorrelationBlock(f1, other, memory_limit=memory_limit, **options)


def test_the_memory_limit_decides():
    f1, f2, _ = (one.numpy() for one in scene((16, 16), 4))
    size = ops.correlation_pyramid(f1, f2).nbytes
    assert not ops.CorrelationBlock(f1, f2, memory_limit=size).on_demand
    assert ops.CorrelationBlock(f1, f2, memory_limit=size - 1).on_demand
    half = f1.astype(np.float16), f2.astype(np.float16)
    assert not ops.CorrelationBlock(*half, memory_limit=size // 2).on_demand
    for wrong in (-1, np.nan, None, "1"):
        with pytest.raises(ArgumentError, match="memory_limit"):
            ops.CorrelationBlock(f1, f2, memory_limit=wrong)


@pytest.mark.parametrize("memory_limit", [2**30, 0])
def test_maps_that_are_too_small_or_differ_are_refused(memory_limit):
    f1, f2, _ = (one.numpy() for one in scene((7, 16), 4))
    with pytest.raises(ArgumentError, match="at least 8 pixels a side for 4 levels; got 7 x 16"):
        ops.CorrelationBlock(f1, f2, memory_limit=memory_limit)
    with pytest.raises(ArgumentError, match="f1's"):
        ops.CorrelationBlock(f1, f2[:, :, :6], levels=2, memory_limit=memory_limit)


def test_an_empty_batch_is_empty():
    f1, f2, coords = (one.numpy()[:0] for one in scene())
    assert ops.CorrelationBlock(f1, f2).lookup(coords).shape == (0, 324, 28, 28)
    found = ops.correlation_on_demand(f1, ops.feature_pyramid(f2), coords)
    assert found.shape == (0, 324, 28, 28)


def test_a_level_is_a_view_and_a_wrong_one_is_refused():
    pyramid = np.zeros((1, 9, 10, 90 + 20 + 4), np.float32)
    ops.pyramid_level(pyramid, 1, levels=3)[:] = 1
    assert pyramid[..., 90:110].all()
    assert pyramid.sum() == 90 * 20
    for level in (-1, 3, 1.0, None):
        with pytest.raises(ArgumentError, match=r"level in 0\.\.2"):
            ops.pyramid_level(pyramid, level, levels=3)
    with pytest.raises(ArgumentError, match="pyramid with 110 elements of 2 levels; got 114"):
        ops.pyramid_level(pyramid, 1, levels=2)
