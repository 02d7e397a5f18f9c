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

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.fields import require_finite, require_point, require_spacing

Convention = Literal["lagrangian", "green_lagrange", "natural"]
#: Contours whose length a global strain can be of.
Line = Literal["endocardial", "mid-wall", "epicardial"]
#: Lengths below this share of what they were subtracted from are rounding, not a direction.
_ROUNDING = 1e-12


def from_stretch(stretch: np.ndarray, convention: Convention) -> np.ndarray:
    """Strain of a stretch ratio L / L0, as a fraction (0.1 = 10 %); NaN where the ratio is.

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
                "A length that went to nothing has no logarithm: use lagrangian",
            )
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

    Returns:
        NaN where there is no direction, which is NaN or zero there: take means that skip it.

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

    NaN where a direction does not exist, as on the axis: `aha.segment_means` skips it.

    Args:
        displacement: Since end-diastole, on its grid, [D, *S] px, *S = [H, W] or [D, H, W].
        directions: Unit vectors in mm space, [K, *S, D], as `wall_directions` (radial,
            circumferential) or `long_axis_directions` (and longitudinal) give them.
        spacing_mm: Along the array's axes; None for equal spacing.
        convention: See the module.

    Raises:
        ArgumentError: As `deformation_gradient` and `from_stretch`, or directions of another grid.
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
        spacing_mm: (row_mm, column_mm); None for equal spacing. The vectors are of mm, not px.

    Returns:
        Entry 0 points outwards, entry 1 from +x towards +y; components (x, y). At the centre
        itself both are NaN: none is defined.

    Raises:
        ArgumentError: A centre that is not two finite numbers, or a spacing that is none.
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

    Without `normals` they are those of a cylinder about the long axis: radial straight away from
    it, longitudinal along it. Towards the apex, where the wall closes in, its own normal is no
    longer across the axis: give `normals` (from a mesh, or the gradient of a distance map) for
    directions across, around and along the wall itself.

    Args:
        size: (slices, rows, columns).
        apex, base: Two points of the long axis, (x, y, z) voxels, at the reference frame.
        spacing_mm: (slice_mm, row_mm, column_mm); None for equal spacing.
        normals: Outward normals of the wall in mm space, [D, H, W, 3]; any length.

    Returns:
        Entry 0 points outwards, entry 1 by the right-hand rule about apex to base, entry 2 towards
        the base; components (x, y, z). NaN where none is defined: all three on the axis itself, but
        for `normals` that run along it, which are still outwards.

    Raises:
        ArgumentError: Apex and base at one place or not finite, normals of another grid, or a
            spacing that is none.
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
    """Strain of a whole line: change of its length since the reference frame, a fraction.

    Args:
        reference, present: The same N points in order, [N, D] (x, y[, z]) px.
        closed: Join the last point to the first (a short-axis contour).
        spacing_mm: Along the array's axes, (row, column) or (slice, row, column); None for equal
            spacing, whatever it is: the ratio of two lengths has no unit.
        convention: See the module.

    Raises:
        ArgumentError: Fewer than two points, different numbers of them, a point that is not
            finite, a spacing that is none, a line without length, or as `from_stretch`.
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
    """A global longitudinal strain with what it is of: figures of two lines do not compare.

    Attributes:
        percent: Negative for shortening.
        line: Which contour was followed.
        convention: See the module.
    """

    percent: float
    line: Line
    convention: Convention

    def __str__(self) -> str:
        return f"GLS {self.percent:+.1f} % ({self.line} line, {self.convention})"


def global_longitudinal_strain(
    reference: np.ndarray,
    present: np.ndarray,
    line: Line,
    *,
    spacing_mm: tuple[float, ...] | None = None,
    convention: Convention = "lagrangian",
) -> GlobalStrain:
    """GLS = 100 (L - L0) / L0 of a whole apical contour, from base over the apex to base.

    The change of the whole line, not the mean of its segments' changes.

    Args:
        reference: The contour at end-diastole, [N, D] (x, y[, z]) px, open.
        present: The same points at another frame.
        line: Which contour these points are.
        spacing_mm: As `line_strain`.
        convention: See the module.

    Raises:
        ArgumentError: Another line, or as `line_strain`.

    Source:
        Voigt et al. 2015 (EACVI/ASE consensus), which asks that the line be stated.
    """
    if line not in get_args(Line):
        raise ArgumentError(f"a line of {', '.join(get_args(Line))}", repr(line))
    share = line_strain(reference, present, spacing_mm=spacing_mm, convention=convention)
    return GlobalStrain(100.0 * share, line, convention)


def _unit(vectors: np.ndarray, least: float | np.ndarray = 0.0) -> np.ndarray:
    """[..., D] scaled to length 1; NaN where it is `least` long or shorter: a zero vector is no
    direction, and would read as a fibre that shortened to nothing."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > least, length, np.nan)


def _length(points: np.ndarray, closed: bool) -> float:
    path = np.concatenate([points, points[:1]]) if closed else points
    return float(np.linalg.norm(np.diff(path, axis=0), axis=-1).sum())
