"""Strain of the wall, in 2-D and 3-D, on the grid of the reference frame (end-diastole).

Every function names its convention. With s = L / L0 the stretch ratio:
    lagrangian       s - 1              (engineering strain, as on an echo report)
    green_lagrange   (s^2 - 1) / 2      (the tensor E = (F^T F - I) / 2 along a direction)
    natural          ln s
The conventions differ: the same mid-wall has -14.9, -13.8 and -16.2 % circumferential strain.

A strain is a fraction in every call of `cineflow.motion` (-0.149), negative for shortening. Percent
is for people: text, reports and figures.

Source:
    Voigt et al. 2015 (EACVI/ASE consensus on 2-D strain) for the conventions; any text on finite
    deformation for F and E.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import require_finite, require_point, require_spacing

Convention = Literal["lagrangian", "green_lagrange", "natural"]
#: Contours that a global strain can follow.
Line = Literal["endocardial", "mid-wall", "epicardial"]
#: A difference shorter than this share of its operands is rounding and not a direction.
_ROUNDING = 1e-12


def from_stretch(stretch: np.ndarray, convention: Convention) -> np.ndarray:
    """Strain of a stretch ratio L / L0, as a fraction (0.1 = 10 %); NaN where the ratio is NaN.

    Raises:
        ArgumentError: An unknown convention, or a natural strain of a ratio that is not positive.
    """
    s = np.asarray(stretch, np.float64)
    if convention == "lagrangian":
        return np.asarray(s - 1.0)
    if convention == "green_lagrange":
        return np.asarray(0.5 * (s * s - 1.0))
    if convention == "natural":
        if (s <= 0.0).any():
            raise ArgumentError(
                "positive stretch ratios for natural strain",
                f"{np.nanmin(s)}",
                "The logarithm of a zero length is undefined: use lagrangian",
            )
        return np.asarray(np.log(s))
    raise ArgumentError("lagrangian, green_lagrange or natural as convention", repr(convention))


def deformation_gradient(
    displacement: np.ndarray, spacing: tuple[float, ...] | None = None
) -> np.ndarray:
    """F = I + du/dX, central differences (one-sided at borders), f64 [*S, D, D].

    Args:
        displacement: u on the reference grid, [D, *S] with *S = [H, W] or [D, H, W]; components
            (x, y) or (x, y, z) in pixels.
        spacing: mm per pixel along the array's axes, (row, column) or (slice, row, column); None
            for equal spacing along every axis. Its value does not matter, since F has no unit.

    Returns:
        F[..., i, j] = d x_i / d X_j, components in the order (x, y[, z]).

    Raises:
        ArgumentError: Not a 2-D or 3-D field, fewer than 2 pixels along an axis, a value that is
            not finite, or a spacing that is not positive.
    """
    u = np.asarray(displacement, np.float64)
    dimensions = u.ndim - 1
    if dimensions not in (2, 3) or u.shape[0] != dimensions or min(u.shape[1:], default=0) < 2:
        raise ArgumentError("a displacement [2, H, W] or [3, D, H, W]", f"{list(u.shape)}")
    require_finite("displacement", u)
    # The array's axes run (z, y, x), the components (x, y, z).
    steps = np.ones(dimensions) if spacing is None else require_spacing(spacing, dimensions)[::-1]
    gradient = np.zeros((*u.shape[1:], dimensions, dimensions))
    for i in range(dimensions):
        for j in range(dimensions):
            slope = np.gradient(u[i], axis=dimensions - 1 - j)
            gradient[..., i, j] = slope * (steps[i] / steps[j])
    return gradient + np.eye(dimensions)


def green_lagrange(gradient: np.ndarray) -> np.ndarray:
    """E = (F^T F - I) / 2, [..., D, D]; zero for rigid motion."""
    f = np.asarray(gradient, np.float64)
    tensor: np.ndarray = 0.5 * (np.swapaxes(f, -1, -2) @ f - np.eye(f.shape[-1]))
    return tensor


def directional_strain(
    gradient: np.ndarray, direction: np.ndarray, convention: Convention = "lagrangian"
) -> np.ndarray:
    """Strain of a short fibre that lies along `direction` at the reference frame, [...].

    The fibre's stretch is |F d|. "green_lagrange" gives exactly d^T E d.

    Args:
        gradient: F, [..., D, D].
        direction: Unit vectors d, [..., D], (x, y[, z]); NaN or zero where undefined.
        convention: See the module.

    Returns:
        Fractions; NaN where the direction is undefined. Use means that skip NaN.

    Raises:
        ArgumentError: As `from_stretch`, or not one direction for each gradient.
    """
    if np.ndim(gradient) < 2 or np.shape(gradient)[:-1] != np.shape(direction):
        raise ArgumentError(
            f"one direction for each gradient, {list(np.shape(gradient)[:-1])}",
            f"{list(np.shape(direction))}",
        )
    stretched = np.einsum("...ij,...j->...i", gradient, direction)
    stretch = np.where(np.any(direction, axis=-1), np.linalg.norm(stretched, axis=-1), np.nan)
    return from_stretch(stretch, convention)


def wall_strain(
    displacement: np.ndarray,
    directions: np.ndarray,
    spacing_mm: tuple[float, ...] | None = None,
    convention: Convention = "lagrangian",
) -> np.ndarray:
    """Strain along each direction on the reference grid, f64 [K, *S], a fraction.

    The strain is NaN where a direction is undefined, as on the axis. `aha.segment_means` skips NaN.

    Args:
        displacement: Since end-diastole, on its grid, [D, *S] px, *S = [H, W] or [D, H, W].
        directions: Unit vectors in mm space, [K, *S, D], from `wall_directions` (radial,
            circumferential) or `long_axis_directions` (the same plus longitudinal).
        spacing_mm: mm per pixel along the array's axes; None for equal spacing.
        convention: See the module.

    Raises:
        ArgumentError: As `deformation_gradient` and `from_stretch`, or directions on a different
            grid.
    """
    gradient = deformation_gradient(displacement, spacing_mm)
    if np.ndim(directions) < 2 or np.shape(directions)[1:] != gradient.shape[:-1]:
        raise ArgumentError(
            f"directions [K, {', '.join(map(str, gradient.shape[:-1]))}]",
            f"{list(np.shape(directions))}",
        )
    return np.stack([directional_strain(gradient, one, convention) for one in directions])


def wall_directions(
    size: tuple[int, ...],
    centre: tuple[float, float],
    spacing_mm: tuple[float, ...] | None = None,
) -> np.ndarray:
    """Radial and circumferential unit vectors about a cavity centre, f64 [2, H, W, 2].

    Args:
        size: (rows, columns).
        centre: (x, y) px, at the reference frame.
        spacing_mm: (row_mm, column_mm); None for equal spacing. The vectors are in mm space.

    Returns:
        Entry 0 points outwards, entry 1 from +x towards +y; components (x, y). Both are NaN at the
        centre.

    Raises:
        ArgumentError: A centre that is not two finite numbers, or an invalid spacing.
    """
    x, y = require_point("centre", centre, 2)
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    row_mm, column_mm = (1.0, 1.0) if spacing_mm is None else require_spacing(spacing_mm)
    q = np.stack([(columns - x) * column_mm, (rows - y) * row_mm], axis=-1)
    radial = _unit(q)
    return np.stack([radial, np.stack([-radial[..., 1], radial[..., 0]], axis=-1)])


def long_axis_directions(
    size: tuple[int, int, int],
    apex: np.ndarray,
    base: np.ndarray,
    *,
    spacing_mm: tuple[float, ...] | None = None,
    normals: np.ndarray | None = None,
) -> np.ndarray:
    """Radial, circumferential and longitudinal unit vectors of a volume, f64 [3, D, H, W, 3].

    Without `normals` the directions are those of a cylinder about the long axis: radial points
    straight away from it and longitudinal runs along it. Near the apex the wall is no longer
    parallel to the axis. Pass `normals`, from a mesh or the gradient of a distance map, for
    directions across, around and along the wall itself.

    Args:
        size: (slices, rows, columns).
        apex, base: Two points of the long axis, (x, y, z) voxels, at the reference frame.
        spacing_mm: (slice_mm, row_mm, column_mm); None for equal spacing.
        normals: Outward normals of the wall in mm space, [D, H, W, 3]; any length.

    Returns:
        Entry 0 points outwards, entry 1 by the right-hand rule about apex to base, entry 2 towards
        the base; components (x, y, z). All three are NaN on the axis. With `normals`, entry 0 is
        defined there as well.

    Raises:
        ArgumentError: Apex and base at the same point or not finite, normals on a different grid,
            or an invalid spacing.
    """
    steps = np.ones(3) if spacing_mm is None else np.array(require_spacing(spacing_mm, 3))[::-1]
    origin = require_point("apex", apex, 3)
    axis = (require_point("base", base, 3) - origin) * steps
    if not axis.any():
        raise ArgumentError("a base away from the apex", f"{apex} and {base}")
    axis = axis / np.linalg.norm(axis)
    if normals is None:
        grid = np.moveaxis(np.indices(size, dtype=np.float64)[::-1], 0, -1)
        offset = (grid - origin) * steps
        outward = offset - (offset @ axis)[..., None] * axis
        radial = _unit(outward, _ROUNDING * np.linalg.norm(offset, axis=-1, keepdims=True))
    else:
        outward = np.asarray(normals, np.float64)
        if outward.shape != (*size, 3):
            raise ArgumentError(f"normals {[*size, 3]}", f"{list(outward.shape)}")
        radial = _unit(outward)
    around = _unit(np.cross(axis, radial), _ROUNDING)
    return np.stack([radial, around, np.cross(radial, around)])


def line_strain(
    reference: np.ndarray,
    present: np.ndarray,
    *,
    closed: bool = False,
    spacing_mm: tuple[float, ...] | None = None,
    convention: Convention = "lagrangian",
) -> float:
    """Strain of a whole line: the change of its length since the reference frame, a fraction.

    Args:
        reference, present: The same N points in order, [N, D] (x, y[, z]) px.
        closed: Join the last point to the first (a short-axis contour).
        spacing_mm: mm per pixel along the array's axes, (row, column) or (slice, row, column); None
            for equal spacing. Its value does not matter for the ratio of two lengths.
        convention: See the module.

    Raises:
        ArgumentError: Fewer than two points, different numbers of points, a point that is not
            finite, an invalid spacing, a line of length 0, or as `from_stretch`.
    """
    before, after = (np.asarray(points, np.float64) for points in (reference, present))
    if before.ndim != 2 or before.shape != after.shape or len(before) < 2:
        raise ArgumentError(
            "the same two or more points at both frames",
            f"{list(before.shape)} and {list(after.shape)}",
        )
    require_finite("reference", before)
    require_finite("present", after)
    if spacing_mm is not None:
        steps = np.array(require_spacing(spacing_mm, before.shape[1]))[::-1]
        before, after = before * steps, after * steps
    start = _length(before, closed)
    if start == 0:
        raise ArgumentError("a line with a length at the reference frame", "length 0")
    return float(from_stretch(np.asarray(_length(after, closed) / start), convention))


@dataclass(frozen=True)
class GlobalStrain:
    """A global longitudinal strain. Different lines or conventions cannot be compared.

    Attributes:
        strain: A fraction, negative for shortening.
        line: The contour that was followed.
        convention: See the module.
    """

    strain: float
    line: Line
    convention: Convention

    def __str__(self) -> str:
        return f"GLS {100 * self.strain:+.1f} % ({self.line} line, {self.convention})"


def global_longitudinal_strain(
    reference: np.ndarray,
    present: np.ndarray,
    line: Line,
    *,
    spacing_mm: tuple[float, ...] | None = None,
    convention: Convention = "lagrangian",
) -> GlobalStrain:
    """GLS = (L - L0) / L0 of a whole apical contour, from base through the apex to base.

    It is the change of the whole line, not the mean over its segments.

    Args:
        reference: The contour at end-diastole, [N, D] (x, y[, z]) px, open.
        present: The same points at another frame.
        line: The contour that these points follow.
        spacing_mm: As `line_strain`.
        convention: See the module.

    Raises:
        ArgumentError: An unknown line, or as `line_strain`.

    Source:
        Voigt et al. 2015 (EACVI/ASE consensus), which asks that the line be stated.
    """
    if line not in get_args(Line):
        raise ArgumentError(f"one of the lines {', '.join(get_args(Line))}", repr(line))
    strain = line_strain(reference, present, spacing_mm=spacing_mm, convention=convention)
    return GlobalStrain(strain, line, convention)


def _unit(vectors: np.ndarray, least: float | np.ndarray = 0.0) -> np.ndarray:
    """Vectors [..., D] scaled to length 1; NaN where the length is at most `least`.

    A zero vector must not pass: its strain would be that of a fibre that shortened to nothing.
    """
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > least, length, np.nan)


def _length(points: np.ndarray, closed: bool) -> float:
    path = np.concatenate([points, points[:1]]) if closed else points
    return float(np.linalg.norm(np.diff(path, axis=0), axis=-1).sum())
