"""Ultrasound pictures of moving scatterers: splat, point-spread function, noise, scan conversion.

The image of a scatterer is a Gaussian in (depth, angle), with the phase of its two-way path: so the
sum over many of them is fully developed speckle, and it moves with them (Gao 2009, "COLE").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cineflow.errors import ArgumentError

_SOUND_MM_PER_S = 1_540_000.0


@dataclass(frozen=True)
class Shadow:
    """Drop-out: scan lines that a rib or lung weakens; the receiver noise stays.

    Attributes:
        angle_deg: Middle of the shadow, 0 = straight down, positive to the right.
        width_deg: Full width at half the loss (in dB).
        loss_db: Loss in the middle.
    """

    angle_deg: float
    width_deg: float
    loss_db: float


@dataclass(frozen=True)
class SectorScanner:
    """A sector probe above the image, looking down.

    Image coordinates in mm are pixel index times spacing, x right, y down.

    Attributes:
        size: (rows, columns) of the image.
        spacing_mm: (row_mm, column_mm).
        opening_deg: Full angle of the sector.
        near_mm: Depth where the sector begins, from the probe's apex.
        apex_mm: Height of the probe's apex above the first image row.
        frequency_hz: Centre frequency.
        axial_sigma_mm, lateral_sigma_deg: Standard deviations of the point-spread function.
        lines, samples: Scan lines and depth samples of the picture before scan conversion.
        dynamic_range_db: From black to white.
        noise_db: Mean power of the myocardium over the power of the receiver noise; None for none.
        shadows: Drop-out, fixed to the probe.
    """

    size: tuple[int, int] = (256, 256)
    spacing_mm: tuple[float, float] = (0.45, 0.45)
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
        if min(self.size) < 16 or min(self.spacing_mm) <= 0:
            raise ArgumentError("an image of at least 16x16 px with positive spacing", repr(self))
        if not 5.0 <= self.opening_deg <= 170.0:
            raise ArgumentError("a sector of 5 to 170 degrees", f"{self.opening_deg}")

    @property
    def depth_mm(self) -> float:
        """Depth of the sector's far end, from the apex."""
        return self.apex_mm + self.size[0] * self.spacing_mm[0]

    @property
    def _origin_mm(self) -> tuple[float, float]:
        """The probe's apex, (x, y)."""
        return ((self.size[1] - 1) / 2.0 * self.spacing_mm[1], -self.apex_mm)

    @cached_property
    def pixels_mm(self) -> np.ndarray:
        """Pixel centres, f64 [H, W, 2] mm, (x, y)."""
        rows, columns = np.mgrid[: self.size[0], : self.size[1]].astype(np.float64)
        return np.stack([columns * self.spacing_mm[1], rows * self.spacing_mm[0]], axis=-1)

    @cached_property
    def sector(self) -> np.ndarray:
        """Pixels inside the scan sector, bool [H, W]."""
        depth, angle = self._polar(self.pixels_mm)
        half = np.deg2rad(self.opening_deg / 2.0)
        return (np.abs(angle) <= half) & (depth >= self.near_mm) & (depth <= self.depth_mm)

    def acquire(
        self,
        points_mm: np.ndarray,
        amplitudes: np.ndarray,
        noise_rms: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """The envelope on the (depth, angle) grid, f32 [samples, lines + margins].

        Args:
            points_mm: Scatterers, [N, 2] mm (x, y).
            amplitudes: Their reflection, [N].
            noise_rms: Root mean square of the receiver noise, in the unit of the envelope.
            rng: Source of the noise.
        """
        depth, angle = self._polar(points_mm)
        row = depth / self._depth_step
        column = angle / self._angle_step + (self._columns - 1) / 2.0
        inside = (
            (row >= 0) & (row < self.samples - 1) & (column >= 0) & (column < self._columns - 1)
        )
        row, column = row[inside], column[inside]
        phase = (-4.0 * np.pi * self.frequency_hz / _SOUND_MM_PER_S) * depth[inside]
        strength = amplitudes[inside] * self._beam_gain(np.rad2deg(angle[inside]))
        spectrum = np.fft.fft2(
            _splat(row, column, strength * np.cos(phase), (self.samples, self._columns))
            + 1j * _splat(row, column, strength * np.sin(phase), (self.samples, self._columns))
        )
        spectrum *= self._axial_transfer[:, None] * self._lateral_transfer
        if noise_rms > 0:
            # White noise through the receive filter: correlated along a line, not across lines.
            scale = noise_rms * np.sqrt(spectrum.size / 2.0 / np.mean(self._axial_transfer**2))
            white = rng.standard_normal((2, *spectrum.shape), dtype=np.float32)
            spectrum += scale * self._axial_transfer[:, None] * (white[0] + 1j * white[1])
        return np.abs(np.fft.ifft2(spectrum)).astype(np.float32)

    def display(self, envelope: np.ndarray, white_level: float) -> np.ndarray:
        """Log-compressed and scan-converted picture, u8 [H, W]; black outside the sector."""
        level = 20.0 * np.log10(np.maximum(envelope / white_level, 1e-9)).ravel()
        grey = np.clip(255.0 * (1.0 + level / self.dynamic_range_db), 0.0, 255.0)
        where, indices, weights = self._scan_conversion
        picture = np.zeros(self.size[0] * self.size[1])
        picture[where] = sum(w * grey[i] for i, w in zip(indices, weights, strict=True))
        return np.rint(picture).astype(np.uint8).reshape(self.size)

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
    def _columns(self) -> int:
        """Lines with a margin of four sigmas each side: the FFT's wrap-around lands in it."""
        margin = 4.0 * np.deg2rad(self.lateral_sigma_deg) / self._angle_step
        return self.lines + 2 * int(np.ceil(margin))

    @cached_property
    def _axial_transfer(self) -> np.ndarray:
        return _gaussian_transfer(self.samples, self.axial_sigma_mm / self._depth_step)

    @cached_property
    def _lateral_transfer(self) -> np.ndarray:
        return _gaussian_transfer(
            self._columns, float(np.deg2rad(self.lateral_sigma_deg)) / self._angle_step
        )

    @cached_property
    def _scan_conversion(self) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
        """Flat sector pixels, and the four grid samples and bilinear weights of each."""
        where = np.flatnonzero(self.sector)
        depth, angle = self._polar(self.pixels_mm.reshape(-1, 2)[where])
        row, column = depth / self._depth_step, angle / self._angle_step + (self._columns - 1) / 2
        corners = _corners(row, column, (self.samples, self._columns))
        return where, [index for index, _ in corners], [weight for _, weight in corners]

    def _polar(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = points_mm[..., 0] - self._origin_mm[0]
        y = points_mm[..., 1] - self._origin_mm[1]
        return np.hypot(x, y), np.arctan2(x, y)


def _corners(
    row: np.ndarray, column: np.ndarray, shape: tuple[int, int]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Flat index and bilinear weight of the four samples around each (row, column)."""
    top = np.minimum(row.astype(np.intp), shape[0] - 2)
    left = np.minimum(column.astype(np.intp), shape[1] - 2)
    down, right = row - top, column - left
    base = top * shape[1] + left
    return [
        (base, (1 - down) * (1 - right)),
        (base + 1, (1 - down) * right),
        (base + shape[1], down * (1 - right)),
        (base + shape[1] + 1, down * right),
    ]


def _splat(
    row: np.ndarray, column: np.ndarray, value: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Sum of the values, shared bilinearly over the grid, f32 `shape`."""
    total = np.zeros(shape[0] * shape[1])
    for index, weight in _corners(row, column, shape):
        total += np.bincount(index, weights=weight * value, minlength=total.size)
    return total.astype(np.float32).reshape(shape)


def _gaussian_transfer(count: int, sigma: float) -> np.ndarray:
    """Transfer function of a unit-sum Gaussian of `sigma` samples, f32 [count]."""
    frequency = np.fft.fftfreq(count)
    return np.exp(-2.0 * (np.pi * sigma * frequency) ** 2).astype(np.float32)
