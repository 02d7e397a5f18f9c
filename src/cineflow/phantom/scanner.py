"""Ultrasound pictures of moving scatterers: splat, point-spread function, noise, scan conversion.

The image of a scatterer is a Gaussian in (depth, angle) with the phase of its two-way path. The sum
over many scatterers is fully developed speckle that moves with them (Gao 2009, "COLE"). A volume
has two angles instead of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.checks import require_finite, require_size
from cineflow.phantom.sampling import corners, gaussian_transfer, pixel_centres, splat

_SOUND_MM_PER_S = 1_540_000.0


@dataclass(frozen=True)
class Shadow:
    """Drop-out: scan lines weakened by a rib or lung. The receiver noise is unchanged.

    Attributes:
        angle_deg: Middle of the shadow, 0 = straight down, positive to the right.
        width_deg: Full width at half the loss (in dB).
        loss_db: Loss in the middle.
    """

    angle_deg: float
    width_deg: float
    loss_db: float

    def __post_init__(self) -> None:
        require_finite(self)
        if not (self.width_deg > 0 and self.loss_db >= 0):
            raise ArgumentError("a shadow with width_deg > 0 and loss_db >= 0", repr(self))


@dataclass(frozen=True)
class SectorScanner:
    """A probe above the picture that looks down. It scans a sector, or a pyramid if `size` is 3-D.

    Image coordinates in mm are pixel index times spacing, x right, y down (, z into the screen). A
    point is scanned at its distance from the probe's apex and at its angle from straight down, in
    the x-y plane (azimuth) and in a volume also in the z-y plane (elevation).

    Attributes:
        size: (rows, columns) of the image, or (slices, rows, columns).
        spacing_mm: mm per pixel along the same axes.
        opening_deg: Full angle of the sector, in azimuth and in elevation.
        near_mm: Depth where the sector begins, from the probe's apex.
        apex_mm: Height of the probe's apex above the first image row.
        frequency_hz: Centre frequency.
        axial_sigma_mm, lateral_sigma_deg: Standard deviations of the point-spread function.
        lines, samples: Scan lines per angle, and depth samples, before scan conversion.
        dynamic_range_db: Range from black to white.
        noise_db: Mean power of the myocardium over the power of the receiver noise; None for no
            noise.
        shadows: Drop-out, fixed to the probe. In a volume it applies to every elevation.
    """

    size: tuple[int, ...] = (256, 256)
    spacing_mm: tuple[float, ...] = (0.45, 0.45)
    opening_deg: float = 75.0
    near_mm: float = 6.0
    apex_mm: float = 2.0
    frequency_hz: float = 3.0e6
    axial_sigma_mm: float = 0.45
    lateral_sigma_deg: float = 1.0
    lines: int = 192
    samples: int = 1440
    dynamic_range_db: float = 50.0
    noise_db: float | None = 25.0
    shadows: tuple[Shadow, ...] = ()

    def __post_init__(self) -> None:
        require_finite(self)
        require_size(self.size)
        if len(self.size) not in (2, 3) or min(self.size) < 16:
            raise ArgumentError("an image or volume of at least 16 px along each axis", repr(self))
        if len(self.spacing_mm) != len(self.size) or not min(self.spacing_mm) > 0:
            raise ArgumentError(f"{len(self.size)} positive spacings", repr(self.spacing_mm))
        if not 5.0 <= self.opening_deg <= 170.0:
            raise ArgumentError("a sector of 5 to 170 degrees", f"{self.opening_deg}")
        if min(self.axial_sigma_mm, self.lateral_sigma_deg, self.frequency_hz) <= 0:
            raise ArgumentError("a positive frequency and point-spread function", repr(self))

    @property
    def depth_mm(self) -> float:
        """Depth of the sector's far end, from the apex."""
        return self.apex_mm + self.size[-2] * self.spacing_mm[-2]

    @cached_property
    def pixels_mm(self) -> np.ndarray:
        """Pixel centres, f64 [*size, D] mm, (x, y[, z])."""
        return pixel_centres(self.size, self.spacing_mm)

    @cached_property
    def sector(self) -> np.ndarray:
        """Pixels inside the scan sector, bool `size`."""
        depth, *angles = self._polar(self.pixels_mm)
        half = np.deg2rad(self.opening_deg / 2.0)
        inside = (depth >= self.near_mm) & (depth <= self.depth_mm)
        for angle in angles:
            inside &= np.abs(angle) <= half
        return inside

    def acquire(
        self,
        points_mm: np.ndarray,
        amplitudes: np.ndarray,
        noise_rms: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """The envelope on the (depth, azimuth[, elevation]) grid, f32 [samples, lines + margins].

        Args:
            points_mm: Scatterers, [N, D] mm.
            amplitudes: Their reflection, [N].
            noise_rms: Root mean square of the receiver noise, in the unit of the envelope.
            rng: Source of the noise.
        """
        polar = self._polar(points_mm)
        inside = self._in_grid(self._samples(polar))
        polar = tuple(c[inside] for c in polar)
        where, depth, azimuth = self._samples(polar), polar[0], polar[1]
        phase = (-4.0 * np.pi * self.frequency_hz / _SOUND_MM_PER_S) * depth
        strength = amplitudes[inside] * self._beam_gain(np.rad2deg(azimuth))
        spectrum = np.fft.fftn(
            splat(where, strength * np.cos(phase), self._grid)
            + 1j * splat(where, strength * np.sin(phase), self._grid)
        )
        spectrum *= reduce(np.multiply.outer, self._transfers)
        if noise_rms > 0:
            # White noise through the receive filter is correlated along a line, not across lines.
            axial = self._transfers[0].reshape(-1, *[1] * (len(self._grid) - 1))
            scale = noise_rms * np.sqrt(spectrum.size / 2.0 / np.mean(self._transfers[0] ** 2))
            white = rng.standard_normal((2, *spectrum.shape), dtype=np.float32)
            spectrum += scale * axial * (white[0] + 1j * white[1])
        return np.abs(np.fft.ifftn(spectrum)).astype(np.float32)

    def display(self, envelope: np.ndarray, white_level: float) -> np.ndarray:
        """Log-compressed and scan-converted picture, u8 `size`; black outside the sector."""
        level = 20.0 * np.log10(np.maximum(envelope / white_level, 1e-9)).ravel()
        grey = np.clip(255.0 * (1.0 + level / self.dynamic_range_db), 0.0, 255.0)
        where, neighbours = self._scan_conversion
        picture = np.zeros(int(np.prod(self.size)))
        picture[where] = sum(weight * grey[index] for index, weight in neighbours)
        return np.rint(picture).astype(np.uint8).reshape(self.size)

    def rms_at(self, points_mm: np.ndarray, envelope: np.ndarray) -> float:
        """Root mean square of the envelope at points [N, D] mm, the reference of gain and noise.

        Raises:
            ArgumentError: All of the points are outside the picture.
        """
        where = [np.rint(c).astype(int) for c in self._samples(self._polar(points_mm))]
        seen = np.all([(c >= 0) & (c < n) for c, n in zip(where, self._grid, strict=True)], axis=0)
        if not seen.any():
            raise ArgumentError("a heart inside the scan sector", "a heart outside the sector")
        return float(np.sqrt(np.mean(envelope[tuple(c[seen] for c in where)] ** 2)))

    def _beam_gain(self, angle_deg: np.ndarray) -> np.ndarray:
        loss_db = np.zeros_like(angle_deg)
        for shadow in self.shadows:
            off = (angle_deg - shadow.angle_deg) / (0.5 * shadow.width_deg)
            loss_db += shadow.loss_db * np.exp2(-(off**4))
        gain: np.ndarray = 10.0 ** (-loss_db / 20.0)
        return gain

    @property
    def _depth_step(self) -> float:
        return (self.depth_mm + 4.0 * self.axial_sigma_mm) / self.samples

    @property
    def _angle_step(self) -> float:
        return float(np.deg2rad(self.opening_deg)) / (self.lines - 1)

    @property
    def _grid(self) -> tuple[int, ...]:
        """(depth samples, lines, ...). The lines have margins of four sigmas for the FFT's wrap."""
        margin = 4.0 * np.deg2rad(self.lateral_sigma_deg) / self._angle_step
        columns = self.lines + 2 * int(np.ceil(margin))
        return (self.samples, *[columns] * (len(self.size) - 1))

    @cached_property
    def _transfers(self) -> list[np.ndarray]:
        """The point-spread function's transfer function along each axis of the grid."""
        lateral = float(np.deg2rad(self.lateral_sigma_deg)) / self._angle_step
        return [
            gaussian_transfer(self.samples, self.axial_sigma_mm / self._depth_step),
            *(gaussian_transfer(count, lateral) for count in self._grid[1:]),
        ]

    @cached_property
    def _scan_conversion(self) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
        """Flat sector pixels, and the grid samples and linear weights around each."""
        where = np.flatnonzero(self.sector)
        points = self.pixels_mm.reshape(-1, len(self.size))[where]
        return where, corners(self._samples(self._polar(points)), self._grid)

    def _samples(self, polar: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """(depth, azimuth[, elevation]) in samples of the grid, from mm and radians."""
        depth, *angles = polar
        middle = [(count - 1) / 2.0 for count in self._grid[1:]]
        lines = (a / self._angle_step + m for a, m in zip(angles, middle, strict=True))
        return (depth / self._depth_step, *lines)

    def _in_grid(self, where: tuple[np.ndarray, ...]) -> np.ndarray:
        inside: np.ndarray = np.all(
            [(c >= 0) & (c < count - 1) for c, count in zip(where, self._grid, strict=True)], axis=0
        )
        return inside

    def _polar(self, points_mm: np.ndarray) -> tuple[np.ndarray, ...]:
        """Distance from the probe's apex, mm, and angle(s) from straight down, radians."""
        extent = [(n - 1) / 2.0 * s for n, s in zip(self.size, self.spacing_mm, strict=True)][::-1]
        down = points_mm[..., 1] + self.apex_mm
        across = [points_mm[..., axis] - extent[axis] for axis in (0, 2)[: len(self.size) - 1]]
        angles = (np.arctan2(offset, down) for offset in across)
        return (reduce(np.hypot, [across[0], down, *across[1:]]), *angles)
