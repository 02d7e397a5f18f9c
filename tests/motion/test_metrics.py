"""Metrics on fields whose value is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.metrics import (
    delta_average,
    end_point_error,
    folding,
    jacobian_determinant,
    loop_closure,
)

ALL = np.ones((20, 30), bool)


def ramp(xx: float, yy: float) -> np.ndarray:
    rows, columns = np.mgrid[:20, :30].astype(np.float32)
    return np.stack([xx * columns, yy * rows]).astype(np.float32)


def test_end_point_error_in_px_and_mm() -> None:
    estimate = np.zeros((2, 20, 30), np.float32)
    estimate[0], estimate[1] = 3.0, 4.0
    error = end_point_error(estimate, 0 * estimate, ALL, spacing_mm=(0.5, 2.0))
    assert error.mean_px == error.median_px == error.p95_px == pytest.approx(5.0)
    assert error.mean_mm == pytest.approx(np.hypot(3 * 2.0, 4 * 0.5))
    assert end_point_error(estimate, estimate, ALL).mean_mm is None


def test_only_the_mask_counts() -> None:
    estimate = np.zeros((2, 20, 30), np.float32)
    estimate[:, :10] = 100.0
    lower = ALL.copy()
    lower[:10] = False
    assert end_point_error(estimate, 0 * estimate, lower).mean_px == 0.0


def test_jacobian_of_a_stretch() -> None:
    np.testing.assert_allclose(jacobian_determinant(ramp(0.2, -0.1)), 1.2 * 0.9, rtol=1e-5)


def test_folding_is_the_share_turned_over() -> None:
    displacement = ramp(0.0, 0.0)
    displacement[0, :, 15:] = ramp(-2.0, 0.0)[0, :, 15:] + 30.0
    share = folding(displacement, ALL)
    assert 45.0 <= share <= 55.0
    assert folding(ramp(-0.5, 0.3), ALL) == 0.0


def test_loop_closure_is_a_mean_length() -> None:
    assert loop_closure(np.full((2, 20, 30), 1.0, np.float32), ALL) == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(
    ("field", "mask", "spacing", "message"),
    [
        (ramp(0, 0), ~ALL, None, "at least one pixel"),
        (ramp(0, 0), ALL[:10], None, "mask of"),
        (ramp(np.nan, 0), ALL, None, "NaN"),
        (ramp(0, 0), ALL, (0.5, 0.0), "row_mm"),
        (ramp(0, 0)[:1], ALL, None, r"\[2, H, W\]"),
    ],
)
def test_bad_input_is_named(
    field: np.ndarray, mask: np.ndarray, spacing: tuple[float, float] | None, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        end_point_error(field, ramp(0, 0), mask, spacing)


def test_delta_average_counts_thresholds_in_pixels_of_256() -> None:
    truth = np.zeros((3, 2, 2))
    found = truth.copy()
    found[1:, 0, 0] = 3.0  # within 4, 8, 16
    found[1:, 1, 1] = 30.0  # within none
    assert delta_average(found, truth, (256, 256)) == pytest.approx(100 * 0.5 * 3 / 5)
    assert delta_average(found, truth, (512, 512)) == pytest.approx(100 * 0.5 * (4 + 1) / 5)
    found[0] = 99.0
    assert delta_average(found, truth, (256, 256)) == pytest.approx(30.0)
    with pytest.raises(ArgumentError, match="finite"):
        delta_average(found * np.nan, truth, (256, 256))
