"""Sums over blocks against a slow, independent loop."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.blocks import judge_blocks, pair_statistics

FIELDS = ("count", "grey_a", "grey_b", "pixels", "aa", "bb", "ab", "xx", "xy", "yy")


def pair_sums(*pair):
    """The statistics of a pair by name, except those of the flow."""
    return dict(zip(FIELDS, pair_statistics(*pair), strict=False))


def slow_sums(a, b, inside, row, column):
    """The definitions in pair_blocks.h, pixel by pixel, for block (row, column)."""
    rows, columns = a.shape[0] // 16, a.shape[1] // 16
    mean = 0.5 * (a + b)
    totals = dict.fromkeys(("pixels", "aa", "bb", "ab", "xx", "xy", "yy"), 0.0)
    for r in range(max(0, row - 1), min(rows, row + 2)):
        for c in range(max(0, column - 1), min(columns, column + 2)):
            near = 0.5 ** (abs(r - row) + abs(c - column))
            pixels = [
                (y, x)
                for y in range(16 * r, 16 * r + 16)
                for x in range(16 * c, 16 * c + 16)
                if inside[y, x]
            ]
            mean_a = np.mean([a[p] for p in pixels])
            mean_b = np.mean([b[p] for p in pixels])
            for y, x in pixels:
                da, db = a[y, x] - mean_a, b[y, x] - mean_b
                totals["pixels"] += near
                totals["aa"] += near * da * da
                totals["bb"] += near * db * db
                totals["ab"] += near * da * db
            for y in range(16 * r, 16 * r + 16):
                for x in range(16 * c, 16 * c + 16):
                    gx = gy = 0.0
                    if 0 < x < a.shape[1] - 1 and inside[y, x - 1] and inside[y, x + 1]:
                        gx = 0.5 * (mean[y, x + 1] - mean[y, x - 1])
                    if 0 < y < a.shape[0] - 1 and inside[y - 1, x] and inside[y + 1, x]:
                        gy = 0.5 * (mean[y + 1, x] - mean[y - 1, x])
                    totals["xx"] += near * gx * gx
                    totals["xy"] += near * gx * gy
                    totals["yy"] += near * gy * gy
    return {
        name: value if name == "pixels" else value / totals["pixels"]
        for name, value in totals.items()
    }


@pytest.mark.parametrize("block", [(0, 0), (1, 2), (2, 3)])
def test_sums_against_the_slow_loop(block):
    rng = np.random.default_rng(3)
    a, b = rng.uniform(20, 250, (2, 48, 64))
    inside = rng.random((48, 64)) < 0.9
    still = np.zeros((2, 48, 64), np.float32)
    sums = pair_sums(a.astype(np.float32), b.astype(np.float32), still, inside)
    expected = slow_sums(a, b, inside, *block)
    for name, value in expected.items():
        scale = max(abs(value), expected["aa"] if name != "pixels" else 0.0)
        assert sums[name][block] == pytest.approx(value, abs=2e-4 * scale), name


def test_the_flow_brings_the_next_frame_back():
    picture = np.random.default_rng(0).uniform(0, 255, (64, 64)).astype(np.float32)
    moved = np.roll(picture, 3, axis=1)
    flow = np.zeros((2, 64, 64), np.float32)
    flow[0] = 3.0
    sums = pair_sums(picture, moved, flow)
    inner = np.s_[1:-1, 1:2]  # away from where the roll wraps round
    np.testing.assert_allclose(sums["ab"][inner], sums["aa"][inner], rtol=1e-4)


def left(frame, flow=None, before=None):
    """Block motion of a pair of equal frames."""
    flow = np.zeros((2, *frame.shape), np.float32) if flow is None else flow
    return judge_blocks(pair_statistics(frame, frame, flow), before)[1]


def test_bright_tissue_weighs_more_and_black_weighs_nothing():
    frame = np.zeros((32, 48), np.float32)
    frame[:16, :16], frame[:16, 16:32] = 200.0, 100.0
    weight = left(frame).weight
    assert weight.sum() == pytest.approx(1.0)
    assert weight[0, 0] == pytest.approx(4.0 * weight[0, 1])
    assert not weight[1].any()
    assert not left(np.zeros((32, 48), np.uint8)).weight.any()


def test_tissue_that_turns_dark_is_remembered_for_a_while():
    frame = np.full((32, 48), 100, np.uint8)
    memory = left(frame)
    frame = frame.copy()
    frame[:, 16:] = 0
    once = left(frame, before=memory)
    assert 0 < once.weight[0, 1] < once.weight[0, 0]
    assert once.grey[0, 1] == pytest.approx(80.0)
    for _ in range(30):
        once = left(frame, before=once)
    assert once.weight[0, 1] < 0.01


def test_a_remainder_at_the_far_edges_is_left_out():
    flow = np.stack([np.full((40, 50), 2.0), np.full((40, 50), -1.0)]).astype(np.float32)
    frame = np.full((40, 50), 9, np.uint8)
    frame[32:], frame[:, 48:], flow[:, 32:], flow[:, :, 48:] = 200, 200, 7.0, 7.0
    sums = pair_sums(frame, frame, np.zeros_like(flow))
    np.testing.assert_array_equal(sums["count"], np.full((2, 3), 256.0))
    np.testing.assert_array_equal(sums["grey_a"], np.full((2, 3), 9.0))
    motion = left(frame, flow)
    np.testing.assert_allclose(motion.flow[0], 2.0)
    np.testing.assert_allclose(motion.flow[1], -1.0)
    small = pair_sums(frame[:5, :7], frame[:5, :7], np.zeros((2, 5, 7), np.float32))
    np.testing.assert_array_equal(small["count"], [[35.0]])


def test_bad_input_is_named():
    a, still = np.ones((32, 32), np.uint8), np.zeros((2, 32, 32), np.float32)
    with pytest.raises(ArgumentError, match="current"):
        pair_sums(a, a[:16], still)
    with pytest.raises(ArgumentError, match="at least one"):
        pair_sums(a, a, still, np.zeros((32, 32), bool))
    with pytest.raises(ArgumentError, match="NaN"):
        pair_sums(a, a, still * np.nan)
    for flow in (still[:1], still[0], still.astype(int)):
        with pytest.raises(ArgumentError, match="flow: floating point"):
            pair_sums(a, a, flow)
