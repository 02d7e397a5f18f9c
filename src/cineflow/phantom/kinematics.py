"""How phantom hearts move: closed-form maps between end-diastole and any activation.

A kinematics is independent of images. It maps material points, given by their position at
end-diastole in mm, to their position at an activation from 0 (end-diastole) to 1 (end-systole), and
back. Every true flow, displacement and strain of a phantom derives from these two maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

#: Values of `Kinematics.tissue`.
OUTSIDE, MYOCARDIUM, BLOOD = 0, 1, 2


class Kinematics(Protocol):
    """A moving heart; points are [..., D] in mm, component 0 = x, 1 = y (, 2 = z)."""

    @property
    def direction_names(self) -> tuple[str, ...]:
        """Names of `directions`, in order: "radial", "circumferential", "longitudinal"."""

    @property
    def landmarks(self) -> Mapping[str, np.ndarray]:
        """Name -> material point [D] mm of each anatomical landmark."""

    def position(self, material: np.ndarray, activation: float) -> np.ndarray:
        """Where the points at `material` (end-diastole) are at `activation`."""

    def material(self, position: np.ndarray, activation: float) -> np.ndarray:
        """Where the points at `position` (at `activation`) were at end-diastole."""

    def tissue(self, material: np.ndarray) -> np.ndarray:
        """Tissue of each material point, u8 [...]: OUTSIDE, MYOCARDIUM or BLOOD."""

    def directions(self, material: np.ndarray) -> np.ndarray:
        """Unit wall directions at end-diastole, [..., K, D], in the order of `direction_names`;
        NaN where undefined."""

    def segment(self, material: np.ndarray) -> np.ndarray:
        """AHA segment of each material point, u8 [...], as if every point were wall."""


def piecewise(s: np.ndarray, before: list[np.ndarray], after: list[np.ndarray]) -> np.ndarray:
    """Increasing piecewise-linear map through (before, after); the identity past the last knot."""
    out = s
    for k in range(len(before) - 1, 0, -1):
        slope = (after[k] - after[k - 1]) / (before[k] - before[k - 1])
        inside = after[k - 1] + (s - before[k - 1]) * slope
        out = np.where(s < before[k], inside, out)
    return out


def deformation_gradient(
    kinematics: Kinematics, material: np.ndarray, activation: float, step_mm: float = 1e-4
) -> np.ndarray:
    """F = dx/dX at material points [..., D], as [..., D, D], by central differences of the map.

    The maps are smooth inside the wall. With this step the error is about 1e-9.
    """
    points = np.asarray(material, np.float64)
    columns = []
    for axis in range(points.shape[-1]):
        offset = np.zeros(points.shape[-1])
        offset[axis] = step_mm
        ahead = kinematics.position(points + offset, activation)
        behind = kinematics.position(points - offset, activation)
        columns.append((ahead - behind) / (2.0 * step_mm))
    return np.stack(columns, axis=-1)
