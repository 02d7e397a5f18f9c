"""Strain at points of the wall, as colours: by how much the tissue around each changes its area.

An area strain needs no direction, so it stands for every picture, whatever its view.
"""

from __future__ import annotations

import numpy as np

from cineflow.motion.strain import deformation_gradient
from cineflow.report.points import sample_field

#: Colours reach their ends at this area strain, a fraction.
FULL = 0.3

#: Red, green, blue of the smallest, of no, and of the largest area strain: legible on grey tissue,
#: and for colour-blind eyes.
_ENDS = ((64, 128, 255), (245, 245, 245), (255, 140, 40))

#: Pixels around a point, to each side, whose mean is its strain.
_REACH = 2


def area_strain(displacement: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Area strain det F - 1 at points: 0.1 where the tissue has become 10 % larger.

    Args:
        displacement: Since the reference frame, on its grid, [2, H, W] px, x first.
        points: At the reference frame, [P, 2] (x, y) px; those outside count as at the border.

    Returns:
        float32 [P], a fraction: the mean over a few pixels around each point.
    """
    change = np.linalg.det(deformation_gradient(displacement)) - 1.0  # [H, W]
    steps = np.arange(-_REACH, _REACH + 1, dtype=np.float32)
    around = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 1, 2)
    found = sample_field(np.stack([change, change]).astype(np.float32), points + around)
    return np.asarray(found[..., 0].mean(axis=0))


def colour_of_strain(strain: float) -> tuple[int, int, int]:
    """Red, green and blue of an area strain."""
    place = np.clip(strain / FULL, -1.0, 1.0)
    least, none, most = np.array(_ENDS, np.float64)
    mixed = none + abs(place) * ((most if place > 0 else least) - none)
    red, green, blue = np.round(mixed).astype(int).tolist()
    return red, green, blue


def strain_keys() -> list[tuple[str, tuple[int, int, int]]]:
    """What the colours mean, for a legend."""
    words = ((-FULL, " or less"), (0.0, ""), (FULL, " or more"))
    return [
        (f"area strain {100 * strain:+.0f} %{more}" if strain else "0 %", colour_of_strain(strain))
        for strain, more in words
    ]
