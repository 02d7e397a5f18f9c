"""Errors of tracked points and lengths, as the key-point literature measures them."""

from __future__ import annotations

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import require_finite

#: TAP-Vid's thresholds, pixels of a 256 x 256 frame.
_TAP_VID_PX = (1.0, 2.0, 4.0, 8.0, 16.0)


def delta_average(
    estimate: np.ndarray, truth: np.ndarray, size: tuple[int, int], query: int = 0
) -> float:
    """Share of points closer than a threshold, percent, averaged over 1, 2, 4, 8 and 16 px.

    Show the value of a static prediction next to it: on a whole beat it was 47 %.

    Args:
        estimate, truth: Tracks [T, N, 2] px (x, y).
        size: (rows, columns) of the frames. Coordinates are first scaled to 256 x 256.
        query: Index of the frame in which the points were given. It does not count.

    Raises:
        ArgumentError: Shapes differ, fewer than two frames, points in 3-D, a value that is not
            finite, a size below 1, or a query outside the frames.

    Source:
        TAP-Vid (Doersch et al. 2022), as EchoTracker evaluates it.
    """
    sides = np.asarray(size)
    if (
        sides.shape != (2,)
        or sides.dtype.kind not in "iuf"
        or not (np.isfinite(sides).all() and sides.min() >= 1)
    ):
        raise ArgumentError("a frame size (rows, columns) of 1 or more", f"{size}")
    error = _track_error(estimate, truth)
    if error.shape[2] != 2:
        raise ArgumentError(
            "tracks in the plane, [T, N, 2]",
            f"{list(error.shape)}",
            "The thresholds are pixels of a 256 x 256 picture; use average_vector_error in 3-D",
        )
    error = error * (256.0 / np.array([size[1], size[0]]))
    if not isinstance(query, (int, np.integer)) or not 0 <= query < len(error):
        raise ArgumentError(f"a query frame in 0..{len(error) - 1}", str(query))
    length = np.delete(np.linalg.norm(error, axis=-1), query, axis=0)
    return 100.0 * float(np.mean([np.mean(length < limit) for limit in _TAP_VID_PX]))


def average_vector_error(
    estimate: np.ndarray, truth: np.ndarray, *, steps: bool = False
) -> np.ndarray:
    """AVE_n = mean over time of |estimate_n(t) - truth_n(t)|, f64 [N], in the tracks' unit.

    The source defines it as "the average magnitude of the difference vector between the predicted
    and ground truth points over time" and gives no unit. Applied to positions, this is the mean
    distance. The source's Table 1 fits another reading better: the vectors lead from frame to
    frame. In that table KLT has half the AVE of SK-net (1.5 against 3.3) although fewer of its
    points are near the truth. `steps` selects that reading. State which one you used.

    Args:
        estimate, truth: Tracks [T, N, D] (x, y[, z]), px or mm.
        steps: Compare p(t + 1) - p(t) instead of p(t).

    Raises:
        ArgumentError: Shapes differ, fewer than two frames, or a value that is not finite.

    Source:
        Oh et al., Semi-supervised key-point estimation for echocardiography video, section 5.
    """
    error = _track_error(estimate, truth)
    if steps:
        error = np.diff(error, axis=0)
    return np.asarray(np.linalg.norm(error, axis=-1).mean(axis=0))


def temporal_deviation(estimate: np.ndarray, truth: np.ndarray) -> float:
    """sigma_temporal: standard deviation over time of estimate(t) - truth(t), in their unit.

    It is used for lengths such as LVID, IVS or LVPW. A constant offset does not count; jitter and a
    missed swing do. The variance is divided by T.

    Args:
        estimate, truth: One length over time, [T].

    Raises:
        ArgumentError: Shapes differ, fewer than two frames, or a value that is not finite.

    Source:
        Oh et al., section 5: "standard deviation between the ground-truth key-point LVID, IVS, and
        LVPW and the reconstructed ones over time".
    """
    return float(np.std(_curve_error(estimate, truth)))


def mean_absolute_error(estimate: np.ndarray, truth: np.ndarray) -> float:
    """MAE: mean over time of |estimate(t) - truth(t)| of a length [T], in its unit.

    Raises:
        ArgumentError: Shapes differ, fewer than two frames, or a value that is not finite.

    Source:
        Oh et al., section 5, for LVID, IVS and LVPW; the source gives no unit.
    """
    return float(np.abs(_curve_error(estimate, truth)).mean())


def _track_error(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    found, true = np.asarray(estimate, np.float64), np.asarray(truth, np.float64)
    tracks = found.ndim == 3 and found.shape[2] in (2, 3) and found.shape[1] > 0
    if found.shape != true.shape or not tracks or len(found) < 2:
        raise ArgumentError(
            "two tracks [T >= 2, N, 2] or [T >= 2, N, 3]",
            f"{list(found.shape)} and {list(true.shape)}",
        )
    require_finite("estimate", found)
    require_finite("truth", true)
    return np.asarray(found - true)


def _curve_error(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    found, true = np.asarray(estimate, np.float64), np.asarray(truth, np.float64)
    if found.shape != true.shape or found.ndim != 1 or len(found) < 2:
        raise ArgumentError("two curves [T >= 2]", f"{list(found.shape)} and {list(true.shape)}")
    require_finite("estimate", found)
    require_finite("truth", true)
    return np.asarray(found - true)
