"""Synthetic cines with exactly known motion, of slices and of volumes."""

from cineflow.phantom.annulus import Annulus
from cineflow.phantom.beat import Beat
from cineflow.phantom.cine import Phantom
from cineflow.phantom.ellipsoid import Ellipsoid
from cineflow.phantom.kinematics import Kinematics, deformation_gradient
from cineflow.phantom.long_axis import LongAxis
from cineflow.phantom.magnetic import MagneticScanner
from cineflow.phantom.presets import (
    LongAxisPhantom,
    ShortAxisPhantom,
    VentriclePhantom,
    apical,
    parasternal_long_axis,
    ventricle,
)
from cineflow.phantom.regions import Region
from cineflow.phantom.scanner import SectorScanner, Shadow
from cineflow.phantom.speckle import Tissue

__all__ = [
    "Annulus",
    "Beat",
    "Ellipsoid",
    "Kinematics",
    "LongAxis",
    "LongAxisPhantom",
    "MagneticScanner",
    "Phantom",
    "Region",
    "SectorScanner",
    "Shadow",
    "ShortAxisPhantom",
    "Tissue",
    "VentriclePhantom",
    "apical",
    "deformation_gradient",
    "parasternal_long_axis",
    "ventricle",
]
