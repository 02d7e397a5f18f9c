"""Metrics in 2-D and 3-D against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.motion.metrics import (
    end_point_error,
    folding,
    jacobian_determinant,
    loop_closure,
)

ALL = np.ones((20, 30), bool)
SPACE = (6, 7, 9)


def ramp(xx: float, yy: float) -> np.ndarray:
    rows, columns = np.mgrid[:20, :30].astype(np.float32)
    return np.stack([xx * columns, yy * rows]).astype(np.float32)


def linear(matrix: np.ndarray) -> np.ndarray:
    """Displacement of X -> matrix X, [3, *SPACE], components and matrix in (x, y, z)."""
    grid = np.stack(np.indices(SPACE, dtype=np.float64)[::-1])
    return np.einsum("ij,jzyx->izyx", matrix - np.eye(3), grid).astype(np.float32)


def test_end_point_error_in_px_and_mm() -> None:
    estimate = np.zeros((2, 20, 30), np.float32)
    estimate[0], estimate[1] = 3.0, 4.0
    error = end_point_error(estimate, 0 * estimate, ALL, spacing_mm=(0.5, 2.0))
    assert error.mean_px == error.median_px == error.p95_px == pytest.approx(5.0)
    assert error.mean_mm == pytest.approx(np.hypot(3 * 2.0, 4 * 0.5))
    assert error.note == ""


def test_end_point_error_statistics_are_of_the_error_not_of_the_estimate() -> None:
    truth = np.full((2, 20, 30), 7.0, np.float32)
    estimate = truth.copy()
    estimate[0, 0, :] += np.arange(30, dtype=np.float32)
    top = np.zeros_like(ALL)
    top[0] = True
    error = end_point_error(estimate, truth, top)
    assert error.mean_px == pytest.approx(14.5)
    assert error.median_px == pytest.approx(14.5)
    assert error.p95_px == pytest.approx(0.95 * 29)


def test_without_a_calibration_the_error_is_in_pixels_with_a_reason() -> None:
    error = end_point_error(ramp(1, 0), ramp(0, 0), ALL)
    assert error.mean_mm is None
    assert "calibration" in error.note


def test_end_point_error_of_volumes() -> None:
    estimate = np.zeros((3, *SPACE), np.float32)
    estimate[0], estimate[1], estimate[2] = 2.0, 3.0, 6.0
    whole = np.ones(SPACE, bool)
    error = end_point_error(estimate, 0 * estimate, whole, spacing_mm=(0.5, 2.0, 3.0))
    assert error.mean_px == pytest.approx(7.0)
    assert error.mean_mm == pytest.approx(np.sqrt(6.0**2 + 6.0**2 + 3.0**2))


def test_only_the_mask_counts() -> None:
    estimate = np.zeros((2, 20, 30), np.float32)
    estimate[:, :10] = 100.0
    lower = ALL.copy()
    lower[:11] = False  # row 10's difference would see row 9
    assert end_point_error(estimate, 0 * estimate, lower).mean_px == 0.0
    assert loop_closure(estimate, lower) == 0.0
    assert folding(estimate, lower) == 0.0


def test_jacobian_of_a_stretch() -> None:
    np.testing.assert_allclose(jacobian_determinant(ramp(0.2, -0.1)), 1.2 * 0.9, rtol=1e-5)


def test_jacobian_of_a_rotation_is_one() -> None:
    c, s = np.cos(0.5), np.sin(0.5)
    rows, columns = np.mgrid[:20, :30].astype(np.float32)
    turn = np.stack([(c - 1) * columns - s * rows, s * columns + (c - 1) * rows])
    np.testing.assert_allclose(jacobian_determinant(turn), 1.0, atol=1e-5)


def test_jacobian_of_any_linear_map_of_space() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        matrix = np.eye(3) + 0.5 * rng.standard_normal((3, 3))
        found = jacobian_determinant(linear(matrix))
        np.testing.assert_allclose(found, np.linalg.det(matrix), atol=1e-4)


def test_folding_is_the_share_turned_over() -> None:
    displacement = ramp(0.0, 0.0)
    displacement[0, :, 15:] = ramp(-2.0, 0.0)[0, :, 15:] + 30.0
    # From column 15 on the field runs backwards. The step at 14 | 15 is not a fold, but central
    # differences reach across it by one column on each side.
    assert folding(displacement, ALL) == pytest.approx(100.0 * 15 / 30, abs=4.0)
    assert folding(ramp(-0.5, 0.3), ALL) == 0.0


def test_folding_of_space_and_its_boundary() -> None:
    whole = np.ones(SPACE, bool)
    assert folding(linear(np.diag([1.0, 1.0, -0.2])), whole) == 100.0
    assert folding(linear(np.diag([-1.0, -1.0, 1.0])), whole) == 0.0  # a half turn is not a fold
    assert folding(linear(np.diag([1.0, 0.0, 1.0])), whole) == 100.0  # flattened: det = 0


def test_loop_closure_is_a_mean_length() -> None:
    assert loop_closure(np.full((2, 20, 30), 1.0, np.float32), ALL) == pytest.approx(np.sqrt(2))
    space = np.full((3, *SPACE), 1.0, np.float32)
    assert loop_closure(space, np.ones(SPACE, bool)) == pytest.approx(np.sqrt(3))


@pytest.mark.parametrize(
    ("field", "mask", "spacing", "message"),
    [
        (ramp(0, 0), ~ALL, None, "at least one pixel"),
        (ramp(0, 0), ALL[:10], None, "mask of"),
        (ramp(np.nan, 0), ALL, None, "NaN"),
        (np.full((2, 20, 30), np.inf, np.float32), ALL, None, "NaN"),
        (ramp(0, 0), ALL, (0.5, 0.0), "row_mm"),
        (ramp(0, 0), ALL, (0.5, np.nan), "row_mm"),
        (ramp(0, 0), ALL, (0.5, 0.5, 0.5), "row_mm"),
        (ramp(0, 0)[:1], ALL, None, r"\[2, H, W\]"),
        (np.zeros((3, 20, 30), np.float32), ALL, None, r"\[3, D, H, W\]"),
        (np.zeros((2, 20, 31), np.float32), np.ones((20, 31), bool), None, "truth"),
    ],
)
def test_bad_input_is_named(
    field: np.ndarray, mask: np.ndarray, spacing: tuple[float, ...] | None, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        end_point_error(field, ramp(0, 0), mask, spacing)
    assert caught.value.wanted
    assert caught.value.got


def test_volumes_ask_for_three_spacings() -> None:
    space = linear(np.eye(3))
    with pytest.raises(ArgumentError, match="slice_mm") as caught:
        end_point_error(space, space, np.ones(SPACE, bool), (0.5, 0.5))
    assert "pixels" in caught.value.remedy


@pytest.mark.parametrize("measure", [folding, loop_closure])
def test_every_measure_refuses_an_empty_mask(measure) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ArgumentError, match="at least one pixel"):
        measure(ramp(0, 0), ~ALL)
    with pytest.raises(ArgumentError, match="finite"):
        measure(ramp(np.nan, 0), ALL)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.full((20, 30), np.nan), "true and false"),
        (np.full((20, 30), 0.5), "true and false"),
        (np.full((20, 30), "yes"), "a mask"),
    ],
)
def test_a_mask_is_of_truth_values(mask: np.ndarray, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        loop_closure(ramp(0, 0), mask)
    for kind in (np.uint8, np.float32):
        assert loop_closure(ramp(0, 0), ALL.astype(kind)) == 0.0
    assert loop_closure(ramp(0, 0), 255 * ALL.astype(np.uint8)) == 0.0


@pytest.mark.parametrize("size", [(1, 5), (5, 1), (3, 1, 4)])
def test_a_line_of_pixels_has_no_jacobian(size: tuple[int, ...]) -> None:
    field = np.zeros((len(size), *size), np.float32)
    with pytest.raises(ArgumentError, match="2 or more pixels"):
        folding(field, np.ones(size, bool))
