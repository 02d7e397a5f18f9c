"""Parts of the wall: AHA segments, and regions with a different contraction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cineflow.errors import ArgumentError

_RANGE = (-1.0, 2.0)  # plausible contraction of a region
_EDGE_HEIGHT = 0.12  # transition at a region's upper and lower border, share of the length


@dataclass(frozen=True)
class Region:
    """A part of the wall with a different contraction.

    Attributes:
        centre_deg: Middle of the sector at end-diastole. The short-axis ring counts from +x
            towards +y (down on the screen). Hearts with a long axis count from the anterior wall
            towards the septum, like the AHA.
        width_deg: Full width at half effect.
        contraction: Share of the normal contraction, -1 to 2: 0.5 is hypokinetic, 0 akinetic, and
            below 0 dyskinetic (the wall bulges and thins).
        heights: (low, high) along the long axis, 0 at the cavity's apex, 1 at the base. A
            short-axis ring ignores them.
    """

    centre_deg: float
    width_deg: float
    contraction: float
    heights: tuple[float, float] = (-np.inf, np.inf)

    def __post_init__(self) -> None:
        if not (0 < self.width_deg <= 360 and self.heights[0] < self.heights[1]):
            raise ArgumentError("a region with a width and heights (low, high)", repr(self))
        low, high = _RANGE
        if not (low <= self.contraction <= high and np.isfinite(self.centre_deg)):
            raise ArgumentError(
                f"a contraction of {low:g} to {high:g}, a finite centre", repr(self)
            )


def contraction(
    regions: tuple[Region, ...],
    angle: np.ndarray,
    edge_deg: float,
    height: np.ndarray | None = None,
) -> np.ndarray:
    """Share of the normal contraction, [...]: 1 outside every region, smooth at the borders.

    Args:
        regions: The parts that differ. Where two overlap, their differences from 1 add up.
        angle: Radians, counted like the regions' `centre_deg`, [...].
        edge_deg: Width of the transition at a sector's border.
        height: Along the long axis, 0 apex to 1 base, [...]; None for a short-axis ring.

    Returns:
        The shares, [...]; a single 1, [], if `regions` is empty.
    """
    share = np.ones(np.shape(angle) if regions else ())
    for region in regions:
        off = np.abs(np.angle(np.exp(1j * (angle - np.deg2rad(region.centre_deg)))))
        half = (region.width_deg + edge_deg) / 2.0
        effect = _smoothstep((np.deg2rad(half) - off) / np.deg2rad(edge_deg))
        if height is not None:
            low, high = region.heights
            effect = effect * _smoothstep((height - low) / _EDGE_HEIGHT + 0.5)
            effect = effect * _smoothstep((high - height) / _EDGE_HEIGHT + 0.5)
        share += (region.contraction - 1.0) * effect
    return share


def sampled_contraction(
    regions: tuple[Region, ...], edge_deg: float, heights: np.ndarray | None = None
) -> np.ndarray:
    """`contraction` at every degree [360], or every degree and height [360 * heights]."""
    angle = np.deg2rad(np.arange(360.0))
    if heights is None or not regions:
        return contraction(regions, angle, edge_deg)
    angle, height = (grid.ravel() for grid in np.meshgrid(angle, heights))
    return contraction(regions, angle, edge_deg, height)


def _smoothstep(s: np.ndarray) -> np.ndarray:
    s = np.clip(s, 0.0, 1.0)
    return np.asarray(s * s * (3.0 - 2.0 * s))


#: Lower end of each level's heights, first segment, number of segments: thirds of the cavity.
_LEVELS = ((0.0, 13, 4), (1.0 / 3.0, 7, 6), (2.0 / 3.0, 1, 6))


def aha_segment(angle_deg: np.ndarray, height: np.ndarray) -> np.ndarray:
    """AHA segment, u8 [...]: 1 to 17, 0 above the base.

    It is independent of `cineflow.motion.aha`, so that each can be tested against the other.

    Args:
        angle_deg: From the middle of the anterior wall towards the septum, [...].
        height: 0 at the apical end of the cavity, 1 at the base, [...]; below 0 is the cap.

    Source:
        Cerqueira et al. 2002: equal thirds of the long axis, the cap beyond the cavity's end.
    """
    angle, height = np.broadcast_arrays(angle_deg, height)
    segment = np.full(angle.shape, 17, np.uint8)
    for lowest, first, count in _LEVELS:
        sector = np.floor(angle * count / 360.0 + 0.5).astype(np.int64) % count
        segment = np.where(height >= lowest, first + sector, segment).astype(np.uint8)
    return np.where(height > 1.0, 0, segment).astype(np.uint8)
