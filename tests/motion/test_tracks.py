"""Track and curve metrics, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.tracks import (
    average_vector_error,
    delta_average,
    mean_absolute_error,
    temporal_deviation,
)


def test_delta_average_counts_thresholds_in_pixels_of_256() -> None:
    truth = np.zeros((3, 2, 2))
    found = truth.copy()
    found[1:, 0, 0] = 3.0  # within 4, 8, 16
    found[1:, 1, 1] = 30.0  # within none
    assert delta_average(found, truth, (256, 256)) == pytest.approx(100 * 0.5 * 3 / 5)
    assert delta_average(found, truth, (512, 512)) == pytest.approx(100 * 0.5 * (4 + 1) / 5)
    found[0] = 99.0
    assert delta_average(found, truth, (256, 256)) == pytest.approx(30.0)


def test_delta_average_scales_each_axis_and_is_strict() -> None:
    truth = np.zeros((2, 1, 2))
    along_x, along_y = truth.copy(), truth.copy()
    along_x[1, 0, 0] = along_y[1, 0, 1] = 4.0
    # Of 512 columns 4 px are 2 px of 256; of 256 rows they stay 4. A point at the limit is outside.
    assert delta_average(along_x, truth, (256, 512)) == pytest.approx(100 * 3 / 5)
    assert delta_average(along_y, truth, (256, 512)) == pytest.approx(100 * 2 / 5)


@pytest.mark.parametrize("size", [(np.nan, np.nan), (np.inf, np.inf), (0, 9), ("a", "b"), 256])
def test_delta_average_wants_a_size(size: Any) -> None:
    tracks = np.zeros((3, 2, 2))
    with pytest.raises(ArgumentError, match="a frame size"):
        delta_average(tracks, tracks, size)
    with pytest.raises(ArgumentError, match="a query frame"):
        delta_average(tracks, tracks, (9, 9), query=1.0)  # type: ignore[arg-type]


def test_delta_average_leaves_the_query_frame_out() -> None:
    truth = np.zeros((4, 1, 2))
    found = truth.copy()
    found[2] = 99.0
    assert delta_average(found, truth, (256, 256), query=2) == 100.0
    assert delta_average(found, truth, (256, 256)) == pytest.approx(100 * 2 / 3)


def test_average_vector_error_is_a_mean_distance_per_point() -> None:
    truth = np.random.default_rng(0).random((4, 2, 2))
    found = truth.copy()
    found[:, 0] += [3.0, 4.0]
    found[1::2, 1] += [0.0, 2.0]
    np.testing.assert_allclose(average_vector_error(found, truth), [5.0, 1.0])
    # From frame to frame a constant offset is not an error; each step of the other point is 2 off.
    np.testing.assert_allclose(
        average_vector_error(found, truth, steps=True), [0.0, 2.0], atol=1e-12
    )


def test_average_vector_error_in_space() -> None:
    truth = np.zeros((2, 1, 3))
    np.testing.assert_allclose(
        average_vector_error(truth + np.array([2.0, 3.0, 6.0]), truth), [7.0]
    )


def test_temporal_deviation_forgives_an_offset_and_not_jitter() -> None:
    truth = np.linspace(50.0, 30.0, 6)
    assert temporal_deviation(truth + 4.0, truth) == pytest.approx(0.0)
    jitter = np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    assert temporal_deviation(truth + 4.0 + jitter, truth) == pytest.approx(1.0)
    # divided by T, not T - 1
    assert temporal_deviation(np.array([0.0, 2.0]), np.zeros(2)) == pytest.approx(1.0)


def test_mean_absolute_error() -> None:
    assert mean_absolute_error(np.array([1.0, 5.0]), np.array([2.0, 3.0])) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        (np.zeros((3, 2, 2)), np.zeros((3, 1, 2)), "tracks"),
        (np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), "tracks"),
        (np.zeros((3, 0, 2)), np.zeros((3, 0, 2)), "tracks"),
        (np.zeros((3, 2, 4)), np.zeros((3, 2, 4)), "tracks"),
        (np.full((3, 2, 2), np.nan), np.zeros((3, 2, 2)), "finite"),
        (np.zeros((3, 2, 2)), np.full((3, 2, 2), np.inf), "finite"),
    ],
)
def test_invalid_tracks_are_refused(found: np.ndarray, truth: np.ndarray, message: str) -> None:
    for measure in (
        lambda a, b: delta_average(a, b, (64, 64)),
        average_vector_error,
    ):
        with pytest.raises(ArgumentError, match=message):
            measure(found, truth)


def test_a_query_outside_the_track_is_refused() -> None:
    with pytest.raises(ArgumentError, match="query"):
        delta_average(np.zeros((3, 1, 2)), np.zeros((3, 1, 2)), (64, 64), query=3)


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        (np.zeros(3), np.zeros(4), "curves"),
        (np.zeros(1), np.zeros(1), "curves"),
        (np.zeros((3, 2)), np.zeros((3, 2)), "curves"),
        (np.array([0.0, np.nan]), np.zeros(2), "finite"),
    ],
)
def test_invalid_curves_are_refused(found: np.ndarray, truth: np.ndarray, message: str) -> None:
    for measure in (temporal_deviation, mean_absolute_error):
        with pytest.raises(ArgumentError, match=message):
            measure(found, truth)


@pytest.mark.parametrize("size", [(0, 32), (32, -1), (32,)])
def test_a_frame_without_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ArgumentError, match="rows, columns"):
        delta_average(np.zeros((3, 1, 2)), np.zeros((3, 1, 2)), size)


def test_delta_average_refuses_points_in_3d() -> None:
    with pytest.raises(ArgumentError, match="plane"):
        delta_average(np.zeros((3, 1, 3)), np.zeros((3, 1, 3)), (64, 64))
