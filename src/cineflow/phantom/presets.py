"""Ready-made phantoms: one call, one view."""

from __future__ import annotations

from typing import Any

import numpy as np

from cineflow.phantom.beat import Beat
from cineflow.phantom.cine import Phantom, Tissue
from cineflow.phantom.kinematics import Annulus
from cineflow.phantom.long_axis import LongAxis
from cineflow.phantom.scanner import SectorScanner


class ShortAxisPhantom(Phantom):
    """A short-axis cine: one beat at 50 frames/s and 60 beats/min unless told otherwise.

    Args:
        seed: Of the speckle and the noise.
        size: (rows, columns); the picture always shows `depth_mm`, so the spacing follows.
        depth_mm: Height of the picture, mm.
        beat: Timing.
        scanner: Attributes of `SectorScanner` to change.
        tissue: Reflection.
        **annulus: Attributes of `Annulus` to change; the ring sits in the middle of the sector.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        size: tuple[int, int] = (256, 256),
        depth_mm: float = 115.2,
        beat: Beat | None = None,
        scanner: dict[str, Any] | None = None,
        tissue: Tissue | None = None,
        **annulus: Any,
    ) -> None:
        spacing = depth_mm / size[0]
        annulus.setdefault("centre_mm", (size[1] * spacing / 2.0, 0.56 * depth_mm))
        super().__init__(
            kinematics=Annulus(**annulus),
            scanner=SectorScanner(size=size, spacing_mm=(spacing, spacing), **(scanner or {})),
            beat=beat or Beat(),
            tissue=tissue or Tissue(),
            seed=seed,
        )


class LongAxisPhantom(Phantom):
    """A long-axis cine; see `parasternal_long_axis` and `apical`."""

    kinematics: LongAxis

    @property
    def key_points(self) -> np.ndarray:
        """True IVS, LVID and LVPW borders over time, f64 [T, 4, 2] px (x, y)."""
        return self.track(self.kinematics.chord(0.72))


def parasternal_long_axis(
    seed: int = 0, *, beat: Beat | None = None, tissue: Tissue | None = None, **heart: Any
) -> LongAxisPhantom:
    """Parasternal long axis, 256 x 256 at 0.5 mm: apex left, septum above, posterior wall below."""
    scanner = SectorScanner(spacing_mm=(0.5, 0.5), opening_deg=80.0)
    heart = {"apex_mm": (12.0, 70.0), "axis_deg": 0.0, **heart}
    return LongAxisPhantom(LongAxis(**heart), scanner, beat or Beat(), tissue or Tissue(), seed)


def apical(
    seed: int = 0, *, beat: Beat | None = None, tissue: Tissue | None = None, **heart: Any
) -> LongAxisPhantom:
    """Apical view, 256 x 256 at 0.5 mm: apex near the probe, base below."""
    scanner = SectorScanner(spacing_mm=(0.5, 0.5), opening_deg=80.0)
    heart = {"apex_mm": (63.75, 18.0), "axis_deg": 90.0, **heart}
    return LongAxisPhantom(LongAxis(**heart), scanner, beat or Beat(), tissue or Tissue(), seed)
