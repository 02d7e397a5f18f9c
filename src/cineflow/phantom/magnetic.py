"""Cine-MR-like pictures: bright blood, a smooth grey wall and Rician noise, without speckle.

They imitate the look of a balanced steady-state sequence but not its physics: k-space, flow
artefacts and papillary muscles are missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.beat import Beat
from cineflow.phantom.checks import require_finite, require_size
from cineflow.phantom.kinematics import BLOOD, MYOCARDIUM, OUTSIDE, Kinematics
from cineflow.phantom.sampling import pixel_centres

_SEED_TEXTURE, _SEED_NOISE = 2, 3
_WAVES = 24
_WAVELENGTHS_MM = (9.0, 30.0)  # of the shading: longer than the wall is thick
_WHITE = 1.15  # grey 255, as a multiple of the blood's signal
_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # of a Gaussian, in standard deviations


@dataclass(frozen=True)
class MagneticScanner:
    """A cine-MR slice, or a stack of slices where `size` has three axes.

    Image coordinates in mm are pixel index times spacing, x right, y down (, z into the screen).

    Attributes:
        size: (rows, columns) of the image, or (slices, rows, columns).
        spacing_mm: mm per pixel along the same axes.
        resolution_mm: Full width at half maximum of the point-spread function within a slice. A
            pixel also averages over its own volume, and so over the slice's thickness.
        blood, myocardium, outside: Signal of each tissue.
        shading: Smooth variation of the myocardium's signal through the tissue, as a share (peak to
            mean). Blood varies half as much, the surroundings six times as much.
        noise_db: Signal of the myocardium over the noise of one receiver channel; None for no
            noise. The magnitude of two channels is Rician.
        subsamples: Samples per axis and pixel, for partial volume at the borders.
    """

    size: tuple[int, ...] = (128, 128)
    spacing_mm: tuple[float, ...] = (0.9, 0.9)
    resolution_mm: float = 1.6
    blood: float = 1.0
    myocardium: float = 0.4
    outside: float = 0.5
    shading: float = 0.1
    noise_db: float | None = 26.0
    subsamples: int = 2

    def __post_init__(self) -> None:
        require_finite(self)
        require_size(self.size)
        if len(self.size) not in (2, 3) or min(self.size) < 8:
            raise ArgumentError("a slice or stack of at least 8 px along each axis", repr(self))
        if len(self.spacing_mm) != len(self.size) or not min(self.spacing_mm) > 0:
            raise ArgumentError(f"{len(self.size)} positive spacings", repr(self.spacing_mm))
        if not min(self.blood, self.myocardium, self.outside, self.resolution_mm) > 0:
            raise ArgumentError("positive signals and resolution", repr(self))
        if self.subsamples < 1:
            raise ArgumentError("one or more samples per pixel", f"{self.subsamples}")

    @cached_property
    def pixels_mm(self) -> np.ndarray:
        """Pixel centres, f64 [*size, D] mm, (x, y[, z])."""
        return pixel_centres(self.size, self.spacing_mm)

    @cached_property
    def sector(self) -> np.ndarray:
        """All pixels, bool `size`, because MR does not have a sector."""
        return np.ones(self.size, bool)

    def blur(self, signal: np.ndarray) -> np.ndarray:
        """`signal` blurred by the point-spread function within each slice, f32 `size`."""
        sigma_x, sigma_y = (self.resolution_mm / _FWHM / self.spacing_mm[axis] for axis in (-1, -2))
        slices = signal.astype(np.float32).reshape(-1, *self.size[-2:])
        blurred = [cv2.GaussianBlur(one, (0, 0), sigma_x, sigmaY=sigma_y) for one in slices]
        return np.stack(blurred).reshape(self.size)


def film(scanner: MagneticScanner, heart: Kinematics, beat: Beat, seed: int) -> np.ndarray:
    """The cine, u8 [T, *scanner.size]."""
    rng = np.random.default_rng([seed, _SEED_NOISE])
    noise = 0.0
    if scanner.noise_db is not None:
        noise = scanner.myocardium * 10.0 ** (-scanner.noise_db / 20.0)
    shade = _Shading(len(scanner.size), seed)
    pictures = np.empty((beat.frames, *scanner.size), np.uint8)
    for frame in range(beat.frames):
        signal = scanner.blur(_signal(scanner, heart, beat.activation(frame), shade))
        real, imaginary = noise * rng.standard_normal((2, *scanner.size))
        magnitude = np.hypot(signal + real, imaginary)
        grey = magnitude * (255.0 / (_WHITE * scanner.blood))
        pictures[frame] = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    return pictures


def _signal(
    scanner: MagneticScanner, heart: Kinematics, activation: float, shade: _Shading
) -> np.ndarray:
    """Signal of each pixel before the point-spread function, f64 `size`."""
    shading = shade(heart.material(scanner.pixels_mm, activation))
    share = _tissue_shares(scanner, heart, activation)
    levels = {
        OUTSIDE: (scanner.outside, 6.0 * scanner.shading),
        MYOCARDIUM: (scanner.myocardium, scanner.shading),
        BLOOD: (scanner.blood, 0.5 * scanner.shading),
    }
    signal = np.zeros(scanner.size)
    for kind, (level, variation) in levels.items():
        signal += share[kind] * level * (1.0 + variation * shading)
    return np.maximum(signal, 0.0)


def _tissue_shares(scanner: MagneticScanner, heart: Kinematics, activation: float) -> np.ndarray:
    """Share of each pixel's volume that is OUTSIDE, MYOCARDIUM and BLOOD, f64 [3, *size].

    Takes one subsample of every pixel at a time, so it needs memory for a few pictures only.
    """
    steps = (np.arange(scanner.subsamples) + 0.5) / scanner.subsamples - 0.5
    offsets = np.stack(np.meshgrid(*[steps] * len(scanner.size)), -1).reshape(-1, len(scanner.size))
    share = np.zeros((3, *scanner.size))
    for offset in offsets * scanner.spacing_mm[::-1]:
        kind = heart.tissue(heart.material(scanner.pixels_mm + offset, activation))
        for value in (OUTSIDE, MYOCARDIUM, BLOOD):
            share[value] += kind == value
    return share / len(offsets)


class _Shading:
    """A smooth random field of material points: a sum of waves, mean 0, within about -1 .. 1."""

    def __init__(self, dimensions: int, seed: int) -> None:
        rng = np.random.default_rng([seed, _SEED_TEXTURE])
        direction = rng.standard_normal((_WAVES, dimensions))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = rng.uniform(*_WAVELENGTHS_MM, size=(_WAVES, 1))
        self._waves = 2.0 * np.pi / length * direction  # radians per mm
        self._phases = rng.uniform(0.0, 2.0 * np.pi, _WAVES)

    def __call__(self, material_mm: np.ndarray) -> np.ndarray:
        """Value at points [..., D] mm, [...]."""
        total = np.zeros(material_mm.shape[:-1])
        for wave, phase in zip(self._waves, self._phases, strict=True):
            total += np.cos(material_mm @ wave + phase)
        # The variance of the sum is half the number of waves. Scale two standard deviations to 1.
        return total / np.sqrt(2.0 * _WAVES)
