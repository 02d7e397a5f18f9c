"""The phantoms, for tuning and for evaluation. The two sets share neither geometries nor seeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cineflow.phantom import Beat, Shadow, ShortAxisPhantom, Tissue

#: Pixels removed at the wall's borders before strain is averaged, as differences reach across them.
_BORDER_PX = 2
#: End-systole is at 0.36 of a beat. Later frames are not used and not made.
_BEATS = 0.4


@dataclass(frozen=True)
class Case:
    """One cine from end-diastole to end-systole, with its truth."""

    name: str
    condition: str
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def phantom(self) -> ShortAxisPhantom:
        return ShortAxisPhantom(self.seed, **{"beat": Beat(beats=_BEATS), **self.settings})

    @cached_property
    def frames(self) -> np.ndarray:
        """u8 [ES + 1, H, W]."""
        return self.phantom.frames[: self.phantom.es + 1]

    @cached_property
    def flows(self) -> np.ndarray:
        """True flow of each pair, f32 [ES, 2, H, W] px."""
        return np.stack([self.phantom.flow(i, i + 1) for i in range(self.phantom.es)])

    @cached_property
    def walls(self) -> np.ndarray:
        """bool [ES, H, W]."""
        return np.stack([self.phantom.myocardium(i) for i in range(self.phantom.es)])

    @cached_property
    def displacement(self) -> np.ndarray:
        """True displacement at end-systole, f32 [2, H, W] px."""
        return self.phantom.displacement(self.phantom.es)

    @cached_property
    def inner_wall(self) -> np.ndarray:
        """End-diastolic wall without its border pixels, bool [H, W]."""
        wall = self.walls[0].copy()
        for _ in range(_BORDER_PX):
            wall[1:-1, 1:-1] &= wall[:-2, 1:-1] & wall[2:, 1:-1] & wall[1:-1, :-2] & wall[1:-1, 2:]
        return wall

    @cached_property
    def centre(self) -> tuple[float, float]:
        """Cavity centre at end-diastole, (x, y) px."""
        x, y = self.phantom.kinematics.centre_mm
        row_mm, column_mm = self.phantom.spacing_mm
        return x / column_mm, y / row_mm


_TUNING: dict[str, dict[str, Any]] = {
    "middle": {},
    "small, deep": {"depth_mm": 150.0, "endo_mm": 20.0, "epi_mm": 28.0, "far_mm": 55.0},
    "large": {
        "depth_mm": 130.0, "endo_mm": 32.0, "epi_mm": 41.0, "far_mm": 75.0,
        "endo_ratio": 0.78, "translation_mm": (-2.0, 1.0),
    },
    "5 MHz": {
        "scanner": {"frequency_hz": 5e6, "axial_sigma_mm": 0.3, "lateral_sigma_deg": 0.7}
    },
    "2 MHz": {
        "scanner": {"frequency_hz": 2e6, "axial_sigma_mm": 0.6, "lateral_sigma_deg": 1.4},
        "endo_ratio": 0.66, "rotation_deg": 12.0,
    },
    "shallow": {
        "depth_mm": 95.0, "endo_mm": 20.0, "epi_mm": 30.0, "far_mm": 60.0, "rotation_deg": -6.0
    },
    "twisting": {"rotation_deg": 15.0, "endo_ratio": 0.8, "translation_mm": (3.0, -2.0)},
}  # fmt: skip

_HELD_OUT: dict[str, dict[str, Any]] = {
    "vigorous, off centre": {
        "depth_mm": 120.0, "endo_mm": 22.0, "epi_mm": 33.0, "far_mm": 64.0, "endo_ratio": 0.65,
        "rotation_deg": -9.0, "translation_mm": (-3.0, -1.5), "centre_mm": (50.0, 74.0),
    },
    "deep": {"depth_mm": 138.0, "endo_mm": 23.0, "epi_mm": 33.0, "far_mm": 66.0},
    "dilated": {
        "depth_mm": 122.0, "endo_mm": 30.0, "epi_mm": 39.0, "far_mm": 72.0, "endo_ratio": 0.82,
        "longitudinal": 0.88, "rotation_deg": 5.0,
    },
    "4 MHz": {
        "scanner": {"frequency_hz": 4e6, "axial_sigma_mm": 0.36, "lateral_sigma_deg": 0.85},
        "endo_ratio": 0.70, "translation_mm": (-1.0, 2.5),
    },
    "2.5 MHz": {
        "scanner": {"frequency_hz": 2.5e6, "axial_sigma_mm": 0.52, "lateral_sigma_deg": 1.2},
        "rotation_deg": 10.0,
    },
    "thick": {
        "depth_mm": 105.0, "endo_mm": 20.0, "epi_mm": 34.0, "far_mm": 62.0, "endo_ratio": 0.68
    },
}  # fmt: skip

_CONDITIONS: dict[str, dict[str, Any]] = {
    "drop-out": {"scanner": {"shadows": (Shadow(-14.0, 9.0, 25.0), Shadow(18.0, 7.0, 30.0))}},
    "clutter": {"tissue": Tissue(clutter=1.0)},
    "25 fps": {"beat": Beat(frame_rate_hz=25.0, beats=_BEATS)},
    "15 dB": {"scanner": {"noise_db": 15.0}},
    "decorrelation": {"tissue": Tissue(decorrelation=0.06)},
}


def _merged(settings: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    both = {**settings, **change}
    if "scanner" in settings and "scanner" in change:
        both["scanner"] = {**settings["scanner"], **change["scanner"]}
    return both


def tuning() -> list[Case]:
    """Cases that the search of every method may use."""
    return [
        Case(name, "clean", 50 + index, settings)
        for index, (name, settings) in enumerate(_TUNING.items())
    ]


def held_out() -> list[Case]:
    """Cases on which the methods are measured: two seeds of each geometry."""
    return [
        Case(name, "clean", 900 + 10 * index + take, settings)
        for index, (name, settings) in enumerate(_HELD_OUT.items())
        for take in range(2)
    ]


def disturbed(base: str = "held out") -> list[Case]:
    """One disturbance at a time, on three geometries each; "tuning" for the tuning geometries."""
    geometries = _HELD_OUT if base == "held out" else _TUNING
    first = 1000 if base == "held out" else 100
    return [
        Case(name, condition, first + 10 * row + column, _merged(geometries[name], change))
        for row, (condition, change) in enumerate(_CONDITIONS.items())
        for column, name in enumerate(list(geometries)[:3])
    ]
