"""Ready-made phantoms, one function per view."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.phantom.annulus import Annulus
from cineflow.phantom.beat import Beat
from cineflow.phantom.checks import require_size
from cineflow.phantom.cine import Phantom
from cineflow.phantom.ellipsoid import Ellipsoid
from cineflow.phantom.long_axis import LongAxis
from cineflow.phantom.magnetic import MagneticScanner
from cineflow.phantom.scanner import SectorScanner
from cineflow.phantom.speckle import Tissue

#: Look of the tissue: ultrasound speckle, or smooth as in cine-MR.
Contrast = Literal["ultrasound", "mr"]


class ShortAxisPhantom(Phantom):
    """A short-axis cine. By default it is one beat at 50 frames/s and 60 beats/min.

    Args:
        seed: Seed of the speckle or shading, and of the noise.
        size: (rows, columns). The spacing is `depth_mm` over the rows.
        depth_mm: Height of the picture, mm.
        contrast: "ultrasound" or "mr".
        beat: Timing.
        scanner: Attributes of `SectorScanner` or `MagneticScanner` to change.
        tissue: Reflection of ultrasound.
        **annulus: Attributes of `Annulus` to change. By default the ring lies in the middle of the
            sector.
    """

    kinematics: Annulus

    def __init__(
        self,
        seed: int = 0,
        *,
        size: tuple[int, int] = (256, 256),
        depth_mm: float = 115.2,
        contrast: Contrast = "ultrasound",
        beat: Beat | None = None,
        scanner: dict[str, Any] | None = None,
        tissue: Tissue | None = None,
        **annulus: Any,
    ) -> None:
        require_size(size, 2)
        spacing = depth_mm / size[0]
        annulus.setdefault("centre_mm", (size[1] * spacing / 2.0, 0.56 * depth_mm))
        picture = {"size": size, "spacing_mm": (spacing, spacing), **(scanner or {})}
        super().__init__(
            kinematics=Annulus(**annulus),
            scanner=_scanner(contrast, picture),
            beat=beat or Beat(),
            tissue=tissue or Tissue(),
            seed=seed,
        )


class LongAxisPhantom(Phantom):
    """A long-axis cine; see `parasternal_long_axis` and `apical`."""

    kinematics: LongAxis


class VentriclePhantom(Phantom):
    """A cine of volumes; see `ventricle`."""

    kinematics: Ellipsoid


def parasternal_long_axis(
    seed: int = 0,
    *,
    contrast: Contrast = "ultrasound",
    beat: Beat | None = None,
    scanner: dict[str, Any] | None = None,
    tissue: Tissue | None = None,
    **heart: Any,
) -> LongAxisPhantom:
    """Parasternal long axis, 256 x 256 at 0.5 mm: apex left, septum above, posterior wall below.

    The arguments are those of `ShortAxisPhantom`. `heart` takes attributes of `LongAxis`.
    """
    heart = {"apex_mm": (12.0, 70.0), "axis_deg": 0.0, "plane_deg": 60.0, **heart}
    return _long_axis(seed, contrast, beat, scanner, tissue, heart)


def apical(
    seed: int = 0,
    *,
    contrast: Contrast = "ultrasound",
    beat: Beat | None = None,
    scanner: dict[str, Any] | None = None,
    tissue: Tissue | None = None,
    **heart: Any,
) -> LongAxisPhantom:
    """Apical four-chamber section, 256 x 256 at 0.5 mm: apex near the probe, septum on the left.

    The arguments are those of `ShortAxisPhantom`. `heart` takes attributes of `LongAxis`.
    """
    heart = {"apex_mm": (63.75, 18.0), "axis_deg": 90.0, "plane_deg": 300.0, **heart}
    return _long_axis(seed, contrast, beat, scanner, tissue, heart)


def ventricle(
    seed: int = 0,
    *,
    size: tuple[int, int, int] = (64, 64, 64),
    extent_mm: float = 104.0,
    contrast: Contrast = "ultrasound",
    beat: Beat | None = None,
    scanner: dict[str, Any] | None = None,
    tissue: Tissue | None = None,
    **heart: Any,
) -> VentriclePhantom:
    """The left ventricle as a cine of volumes, 20 per second.

    Ultrasound images it from the apex, as a pyramid that opens downwards. The middle slice is an
    apical four-chamber section with the septum on the left. MR images a short-axis stack with the
    apex first, the anterior wall up and the septum on the left.

    Args:
        seed: Seed of the speckle or shading, and of the noise.
        size: (slices, rows, columns).
        extent_mm: Height of the picture, mm. All three spacings are this over the rows.
        contrast: "ultrasound" or "mr".
        beat: Timing.
        scanner: Attributes of `SectorScanner` or `MagneticScanner` to change.
        tissue: Reflection of ultrasound.
        **heart: Attributes of `Ellipsoid` to change.
    """
    require_size(size, 3)
    spacing = extent_mm / size[1]
    depth, _, width = (extent * spacing for extent in size)
    picture: dict[str, Any] = {"size": size, "spacing_mm": (spacing,) * 3}
    if contrast == "ultrasound":
        # Coarser than a 2-D scan, like a matrix probe: speckle of about 2 x 5 x 5 mm.
        picture |= {"opening_deg": 80.0, "lines": 64, "samples": 240}
        picture |= {"axial_sigma_mm": 0.9, "lateral_sigma_deg": 2.0}
        place: dict[str, Any] = {
            "apex_mm": (width / 2.0, 12.0, depth / 2.0),
            "axis": (0.0, 1.0, 0.0),
            "anterior": (0.5, 0.0, float(np.sqrt(0.75))),
        }
    else:
        place = {
            "apex_mm": (width / 2.0, extent_mm / 2.0, 12.0),
            "axis": (0.0, 0.0, 1.0),
            "anterior": (0.0, -1.0, 0.0),
        }
    return VentriclePhantom(
        Ellipsoid(**{**place, **heart}),
        _scanner(contrast, {**picture, **(scanner or {})}),
        beat or Beat(frame_rate_hz=20.0),
        tissue or Tissue(),
        seed,
    )


def _long_axis(
    seed: int,
    contrast: Contrast,
    beat: Beat | None,
    scanner: dict[str, Any] | None,
    tissue: Tissue | None,
    heart: dict[str, Any],
) -> LongAxisPhantom:
    picture: dict[str, Any] = {"size": (256, 256), "spacing_mm": (0.5, 0.5)}
    if contrast == "ultrasound":
        picture["opening_deg"] = 80.0
    return LongAxisPhantom(
        LongAxis(**heart),
        _scanner(contrast, {**picture, **(scanner or {})}),
        beat or Beat(),
        tissue or Tissue(),
        seed,
    )


def _scanner(contrast: Contrast, settings: dict[str, Any]) -> SectorScanner | MagneticScanner:
    if contrast == "ultrasound":
        return SectorScanner(**settings)
    if contrast == "mr":
        return MagneticScanner(**settings)
    raise ArgumentError("ultrasound or mr as contrast", repr(contrast))
