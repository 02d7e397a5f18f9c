"""Strain of the wall, in 2-D and 3-D, on the grid of the reference frame (end-diastole).

Every function names its convention. For a stretch ratio s = L / L0 they are
    lagrangian       s - 1              (engineering; what "strain" means on an echo report)
    green_lagrange   (s^2 - 1) / 2      (the tensor E = (F^T F - I) / 2 along a direction)
    natural          ln s
and they differ: one mid-wall reads -14.9, -13.8 and -16.2 % circumferentially.

Source:
    Voigt et al. 2015 (EACVI/ASE consensus on 2-D strain) for the conventions; any text on finite
    deformation for F and E.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from cineflow.errors import ArgumentError

Convention = Literal["lagrangian", "green_lagrange", "natural"]


def from_stretch(stretch: np.ndarray, convention: Convention) -> np.ndarray:
    """Strain of a stretch ratio L / L0, as a fraction (0.1 = 10 %).

    Raises:
        ArgumentError: An unknown convention.
    """
    s = np.asarray(stretch, np.float64)
    if convention == "lagrangian":
        return np.asarray(s - 1.0)
    if convention == "green_lagrange":
        return np.asarray(0.5 * (s * s - 1.0))
    if convention == "natural":
        return np.asarray(np.log(s))
    raise ArgumentError("a convention of lagrangian, green_lagrange, natural", repr(convention))


def deformation_gradient(
    displacement: np.ndarray, spacing: tuple[float, ...] | None = None
) -> np.ndarray:
    """F = I + du/dX, central differences (one-sided at borders), f64 [*S, D, D].

    Args:
        displacement: u on the reference grid, [D, *S] with *S = [H, W] or [D, H, W]; components
            (x, y) or (x, y, z) in pixels.
        spacing: mm per pixel along the array's axes, (row, column) or (slice, row, column); None
            for equal spacing on every axis, whatever it is: F has no unit.

    Returns:
        F[..., i, j] = d x_i / d X_j, components in the order (x, y[, z]).

    Raises:
        ArgumentError: Not a 2-D or 3-D field, a grid of fewer than 2 points along an axis, a value
            that is not finite, or a spacing that is not positive.
    """
    u = np.asarray(displacement, np.float64)
    dimensions = u.ndim - 1
    if dimensions not in (2, 3) or u.shape[0] != dimensions or min(u.shape[1:], default=0) < 2:
        raise ArgumentError("a displacement [2, H, W] or [3, D, H, W]", f"{list(u.shape)}")
    if not np.isfinite(u).all():
        raise ArgumentError("a finite displacement", "NaN or infinite values")
    # The array's axes run (z, y, x), the components (x, y, z).
    steps = np.ones(dimensions) if spacing is None else np.asarray(spacing, np.float64)[::-1]
    if steps.shape != (dimensions,) or not (np.isfinite(steps).all() and (steps > 0).all()):
        raise ArgumentError(f"{dimensions} positive spacings", repr(spacing))
    gradient = np.zeros((*u.shape[1:], dimensions, dimensions))
    for i in range(dimensions):
        for j in range(dimensions):
            slope = np.gradient(u[i], axis=dimensions - 1 - j)
            gradient[..., i, j] = slope * (steps[i] / steps[j])
    return gradient + np.eye(dimensions)


def green_lagrange(gradient: np.ndarray) -> np.ndarray:
    """E = (F^T F - I) / 2, [..., D, D]; zero for every rigid motion."""
    f = np.asarray(gradient, np.float64)
    tensor: np.ndarray = 0.5 * (np.swapaxes(f, -1, -2) @ f - np.eye(f.shape[-1]))
    return tensor


def directional_strain(
    gradient: np.ndarray, direction: np.ndarray, convention: Convention = "lagrangian"
) -> np.ndarray:
    """Strain of a short fibre that lay along `direction` at the reference frame, [...].

    The fibre's stretch is |F d|; "green_lagrange" gives exactly d^T E d.

    Args:
        gradient: F, [..., D, D].
        direction: Unit vectors d, [..., D], (x, y[, z]).
        convention: See the module.
    """
    stretched = np.einsum("...ij,...j->...i", gradient, direction)
    return from_stretch(np.linalg.norm(stretched, axis=-1), convention)


def wall_directions(size: tuple[int, int], centre: tuple[float, float]) -> np.ndarray:
    """Radial and circumferential unit vectors about a cavity centre, f64 [2, H, W, 2].

    Args:
        size: (rows, columns).
        centre: (x, y) px, at the reference frame.

    Returns:
        Entry 0 points outwards, entry 1 from +x towards +y; components (x, y). At the centre
        itself both are zero.
    """
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    q = np.stack([columns - centre[0], rows - centre[1]], axis=-1)
    length = np.linalg.norm(q, axis=-1, keepdims=True)
    radial = np.divide(q, length, out=np.zeros_like(q), where=length > 0)
    return np.stack([radial, np.stack([-radial[..., 1], radial[..., 0]], axis=-1)])


def line_strain(
    reference: np.ndarray,
    present: np.ndarray,
    *,
    closed: bool = False,
    convention: Convention = "lagrangian",
) -> float:
    """Strain of a whole line: change of its length since the reference frame.

    This is GLS where the line is an apical contour; say which (endocardial, mid-wall or
    epicardial), because they differ.

    Args:
        reference, present: The same N points in order, [N, D], in mm (or px of equal spacing).
        closed: Join the last point to the first (a short-axis contour).
        convention: See the module.

    Raises:
        ArgumentError: Fewer than two points, different numbers of them, a point that is not
            finite, or a line without length.
    """
    before, after = (np.asarray(points, np.float64) for points in (reference, present))
    if before.ndim != 2 or before.shape != after.shape or len(before) < 2:
        raise ArgumentError(
            "the same two or more points at both frames",
            f"{list(before.shape)} and {list(after.shape)}",
        )
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ArgumentError("finite points", "NaN or infinite coordinates")
    start = _length(before, closed)
    if start == 0:
        raise ArgumentError("a line with a length at the reference frame", "length 0")
    return float(from_stretch(np.asarray(_length(after, closed) / start), convention))


def _length(points: np.ndarray, closed: bool) -> float:
    path = np.concatenate([points, points[:1]]) if closed else points
    return float(np.linalg.norm(np.diff(path, axis=0), axis=-1).sum())
