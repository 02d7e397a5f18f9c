"""`pair_quality` against its reference."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.ops.pair_blocks import pair_blocks
from cineflow.ops.pair_quality import pair_quality
from cineflow.reference.pair_quality import pair_quality as reference
from cineflow.reference.pair_quality import weighted_quantile


def statistics(seed, size=(80, 112), dark=False):
    """Of a random pair; part of the picture is black, or all of it."""
    rng = np.random.default_rng(seed)
    frames = rng.uniform(20, 250, (2, *size)).astype(np.float32)
    frames[1] += 0.6 * (frames[0] - frames[1])
    frames[:, : size[0] // 3] *= 0.0 if not dark else 1.0
    flow = rng.normal(0, 0.4, (2, *size)).astype(np.float32)
    return pair_blocks(*(frames * (0.0 if dark else 1.0)), flow)


def same(found, expected):
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(found, name), value, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("size", [(80, 112), (16, 16), (5, 7), (64, 40)])
def test_a_sequence_against_the_reference(size):
    first = statistics(1, size)
    before = pair_quality(first)
    same(before, reference(first))
    flow = first[10:12].copy()
    for seed, frames in ((2, 1.0), (3, 0.5), (4, 3.0)):
        now = statistics(seed, size)
        past = (flow, before.tissue, before.grey, frames)
        found = pair_quality(now, *past)
        same(found, reference(now, *past))
        before, flow = found, now[10:12].copy()


def test_without_tissue_nothing_is_supported():
    black = statistics(5, dark=True)
    assert not pair_quality(black).supported
    same(pair_quality(black), reference(black))
    assert set(reference(black)) == {"supported", "tissue", "grey"}


@pytest.mark.parametrize("peak", [255.0, 65535.0])
@pytest.mark.parametrize("turn", [0.2, 0.5])
def test_stripes_have_one_direction(peak, turn):
    """The determinant of their gradients is a difference of rounded sums, which may be below 0."""
    y, x = np.mgrid[:256, :256]
    first, second = (
        ((np.sin(0.3 * (2 * x + y + shift)) + 1) * peak / 2).astype(np.float32)
        for shift in (0.0, turn)
    )
    now = pair_blocks(first, second, np.zeros((2, 256, 256), np.float32))
    found = pair_quality(now)
    assert np.isfinite(found.photometric_px)
    same(found, reference(now))


def test_overflowing_statistics_are_sorted_last():
    now = statistics(1)
    now[4:7, 0, 0] = np.inf  # their residual is inf - inf
    same(pair_quality(now), reference(now))


def test_a_pair_before_is_whole():
    now = statistics(1)
    with pytest.raises(ValueError, match="all three, or none"):
        pair_quality(now, flow_before=now[10:12].copy())


def test_arrays_of_the_wrong_size_are_refused():
    now = statistics(1)
    found = pair_quality(now)
    with pytest.raises(ValueError, match=r"statistics: \[14, h, w\]"):
        pair_quality(now[:13])
    with pytest.raises(ValueError, match="tissue before: 35 values, not 28"):
        pair_quality(now, now[10:12].copy(), found.tissue[:4], found.grey)


def test_weighted_quantile():
    values = np.array([[5.0, 1.0], [3.0, 9.0]])
    weight = np.array([[0.4, 0.1], [0.4, 0.1]])
    assert [weighted_quantile(values, weight, q) for q in (0.05, 0.3, 0.8, 1.0)] == [1, 3, 5, 9]
