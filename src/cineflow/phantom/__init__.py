"""Synthetic cines with exactly known motion."""

from cineflow.phantom.beat import Beat
from cineflow.phantom.cine import Phantom, Tissue
from cineflow.phantom.kinematics import Annulus, Kinematics, Region, deformation_gradient
from cineflow.phantom.long_axis import LongAxis
from cineflow.phantom.presets import (
    LongAxisPhantom,
    ShortAxisPhantom,
    apical,
    parasternal_long_axis,
)
from cineflow.phantom.scanner import SectorScanner, Shadow

__all__ = [
    "Annulus",
    "Beat",
    "Kinematics",
    "LongAxis",
    "LongAxisPhantom",
    "Phantom",
    "Region",
    "SectorScanner",
    "Shadow",
    "ShortAxisPhantom",
    "Tissue",
    "apical",
    "deformation_gradient",
    "parasternal_long_axis",
]
