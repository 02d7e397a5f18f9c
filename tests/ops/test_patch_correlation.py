"""`patch_correlation`: what it promises beyond its agreement with the reference on random calls."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cineflow import _C, ops
from tests.op_calls import OPS, Call, agree, make_call
from tests.ops.fronts import INSTRUCTION_SETS, numpy_front

ROOT = Path(__file__).resolve().parents[2]
OP = OPS["patch_correlation"]

#: E's feature maps: channels and side. The first one is the image.
MAPS = ((1, 224), (32, 224), (64, 112), (128, 56), (256, 28))
TARGETS, POINTS, PATCH = 24, 4, 24


def draw(channels: int, side: int, targets: int = 3, points: int = 2, seed: int = 0):
    """Maps and key points of one feature map; points at least 8 pixels inside it."""
    rng = np.random.default_rng(seed)
    f1 = rng.standard_normal((1, channels, side, side), dtype=np.float32)
    f2 = rng.standard_normal((targets, channels, side, side), dtype=np.float32)
    at = rng.uniform(8, side - 8, (1, points, 2)).astype(np.float32)
    moved = at + rng.normal(0, 2, (targets, points, 2)).astype(np.float32)
    return f1, f2, at, moved


def literal(f1, f2, points1, points2, size: int, border: str = "zeros"):
    """The paper's volume [N, K, P, P, P, P] in plain torch: crops, then every pair of samples."""
    torch = pytest.importorskip("torch")
    crops = []
    for maps, points in ((f1, points1), (f2, points2)):
        height, width = maps.shape[2:]
        steps = torch.arange(size, dtype=torch.float64) - size // 2
        at = torch.from_numpy(points).double()
        x = at[:, :, None, None, 0] + steps
        y = at[:, :, None, None, 1] + steps[:, None]
        x, y = torch.broadcast_tensors(x, y)
        grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
        grid = grid.reshape(len(maps), -1, size, 2)
        patches = torch.nn.functional.grid_sample(
            torch.from_numpy(maps).double(),
            grid,
            padding_mode={"zeros": "zeros", "clamp": "border"}[border],
            align_corners=False,
        )
        crops.append(patches.reshape(*maps.shape[:2], points.shape[1], size, size))
    first = crops[0].expand(len(f2), *crops[0].shape[1:])
    return torch.einsum("nckyx,nckvu->nkyxvu", first, crops[1]).numpy()


@pytest.mark.parametrize("border", ["zeros", "clamp"])
@pytest.mark.parametrize(("channels", "side"), MAPS[1:])
def test_without_pooling_it_is_the_papers_volume(channels, side, border):
    given = draw(min(channels, 48), side)
    wanted = literal(*given, PATCH, border)
    got = ops.patch_correlation(*given, size=PATCH, scale=1.0, border=border)
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize("pool", [(2, 2), (4, 4), (8, 1), (1, 8), (3, 24)])
def test_with_pooling_it_is_the_mean_of_the_papers_volume(pool):
    given = draw(16, 56)
    whole = literal(*given, PATCH)
    (a, b), (n, k) = pool, whole.shape[:2]
    blocks = whole.reshape(n, k, PATCH // a, a, PATCH // a, a, PATCH // b, b, PATCH // b, b).mean(
        (3, 5, 7, 9)
    )
    got = ops.patch_correlation(*given, size=PATCH, pool=pool, scale=1.0)
    np.testing.assert_allclose(got.reshape(blocks.shape), blocks, rtol=1e-5, atol=1e-5)


def test_any_embedding_of_the_papers_volume_comes_in_parts():
    """A linear layer on the whole volume, from parts of the reference's patch."""
    size, part, features = 12, 4, 7
    given = f1, f2, points1, points2 = draw(8, 40)
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((features, size, size, size * size)).astype(np.float32)
    whole = literal(*given, size).reshape(3, 2, -1)
    wanted = whole @ weights.reshape(features, -1).T.astype(np.float64)
    got = np.zeros_like(wanted)
    for y, x in itertools.product(range(0, size, part), repeat=2):
        shift = np.float32([x, y]) + part // 2 - size // 2
        pairs = ops.patch_correlation(
            f1, f2, points1 + shift, points2, size=(part, size), scale=1.0
        )
        own = weights[:, y : y + part, x : x + part].reshape(features, -1)
        got += pairs.reshape(3, 2, -1) @ own.T
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-2)


def test_a_patch_around_a_whole_pixel_is_a_crop():
    f1, f2, _, _ = draw(3, 32)
    one = np.full((1, 1, 2), 16, np.float32)
    got = ops.patch_correlation(f1, f2[:1], one, one + np.float32([2, -1]), size=(1, 6), scale=1.0)
    crop = f2[0, :, 12:18, 15:21]
    wanted = np.einsum("c,cyx->yx", f1[0, :, 16, 16], crop)
    np.testing.assert_allclose(got.reshape(6, 6), wanted, rtol=1e-5, atol=1e-5)


def test_a_window_around_the_estimate_is_the_look_up_of_the_point_trackers():
    """One sample of the reference with (2r + 1)^2 of the target: `correlation` at that pixel."""
    f1, f2, _, _ = draw(5, 24)
    one = np.full((1, 1, 2), 11, np.float32)
    got = ops.patch_correlation(f1, f2[:1], one, one, size=(1, 7))
    wanted = ops.correlation(f1, f2[:1], radius=3)[0, :, 11, 11]
    np.testing.assert_allclose(got.ravel(), wanted, rtol=1e-5, atol=1e-6)


def test_each_reference_serves_its_own_targets():
    f1, f2, points1, points2 = draw(4, 24, targets=6)
    many = np.concatenate([f1, 2 * f1[:, :, ::-1]]), np.concatenate([points1, points1 + 1])
    got = ops.patch_correlation(many[0], f2, many[1], points2, size=5)
    for one in range(2):
        own = slice(3 * one, 3 * one + 3)
        wanted = ops.patch_correlation(
            many[0][one : one + 1], f2[own], many[1][one : one + 1], points2[own], size=5
        )
        np.testing.assert_array_equal(got[own], wanted)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("border", ["zeros", "clamp"])
@pytest.mark.parametrize("name", ["points1", "points2"])
def test_a_point_that_is_nowhere_gives_zeros(name, border, value):
    """Not an error, because a kernel on a device cannot raise one. 1e30 is a place if clamped."""
    given = dict(zip(("f1", "f2", "points1", "points2"), draw(4, 24), strict=True))
    given[name][0, 0, 1] = value
    got = ops.patch_correlation(**given, size=4, border=border)
    own = got[:, 0] if name == "points1" else got[0, 0]
    if value == 1e30 and border == "clamp":
        assert own.any()
    else:
        assert not own.any()
    assert got[1:, 1].all()


@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["f1", "f2"])
@pytest.mark.parametrize("layout", ["planar", "channels_last"])
def test_a_feature_that_is_not_finite_shows_in_its_cells_only(
    instruction_set, layout, where, value
):
    before = _C.instruction_set()
    available = _C.set_instruction_set(instruction_set)
    _C.set_instruction_set(before)
    if not available:
        pytest.skip(f"this machine has no {instruction_set}")
    call = make_call(OP, OP.typical, shape=(2, 3, 20, 40), seed=2, layout=layout)
    call.inputs["points1"][:] = np.float32([10.25, 9.25])
    call.inputs["points2"][:] = np.float32([11.25, 10.75])
    call.inputs[where][0, 1, 10, [11, 12]] = value
    wanted = call.gold()
    assert 0 < np.isfinite(wanted[0, 0]).sum() < wanted[0, 0].size
    agree(numpy_front(instruction_set).run(call), call)


def test_the_largest_patch():
    given = dict(zip(("f1", "f2", "points1", "points2"), draw(2, 80, 1, 1), strict=True))
    options = {"size1": 1, "size2": 64, "pool1": 1, "pool2": 1, "scale": 1.0, "border": "clamp"}
    call = Call(OP, given, options)
    agree(numpy_front(_C.instruction_set()).run(call), call)


#: One iteration of E over its five feature maps. Prints the bytes of the results.
ITERATION = f"""
import sys
import numpy as np
from cineflow import ops

def kilobytes(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))

maps = []
for channels, side in {MAPS}:
    f1 = np.ones((1, channels, side, side), np.float32)
    f2 = np.broadcast_to(np.float32(1), ({TARGETS}, channels, side, side)).copy()
    points = np.full((1, {POINTS}, 2), side / 2, np.float32)
    moved = np.full(({TARGETS}, {POINTS}, 2), side / 2 + 0.25, np.float32)
    maps.append((f1, f2, points, moved))
one = [array[:1] for array in maps[0]]
ops.patch_correlation(*one, size=2)  # loads everything
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here on
before = kilobytes("VmRSS")
pool = int(sys.argv[1]), int(sys.argv[2])
results = [ops.patch_correlation(*given, size={PATCH}, pool=pool) for given in maps]
print(sum(result.nbytes for result in results), 1024 * (kilobytes("VmHWM") - before))
"""


@pytest.mark.parametrize(
    ("pool", "most"), [((4, 4), 4e6), ((3, 3), 10e6), ((8, 1), 16e6)], ids=repr
)
def test_an_iteration_of_24_targets_4_points_and_5_maps_takes_16_megabytes(pool, most):
    """Results and everything that is allocated on the way, against 637 MB of the whole volume."""
    done = subprocess.run(
        [sys.executable, "-c", ITERATION, *map(str, pool)],
        cwd=ROOT,
        # Without the sanitizers' allocator, which another test preloads.
        env={**os.environ, "CINEFLOW_NUM_THREADS": "2", "LD_PRELOAD": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    results, taken = map(int, done.stdout.split())
    assert 0.9 * results <= taken <= most, (results, taken)
