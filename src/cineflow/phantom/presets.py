"""Ready-made phantoms: one call, one view."""

from __future__ import annotations

from typing import Any

from cineflow.phantom.beat import Beat
from cineflow.phantom.cine import Phantom, Tissue
from cineflow.phantom.kinematics import Annulus
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
