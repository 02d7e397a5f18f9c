"""Synthetic cines with exactly known motion."""

from cineflow.phantom.beat import Beat
from cineflow.phantom.cine import Phantom, Tissue
from cineflow.phantom.kinematics import Annulus, Kinematics, Region, deformation_gradient
from cineflow.phantom.presets import ShortAxisPhantom
from cineflow.phantom.scanner import SectorScanner, Shadow

__all__ = [
    "Annulus",
    "Beat",
    "Kinematics",
    "Phantom",
    "Region",
    "SectorScanner",
    "Shadow",
    "ShortAxisPhantom",
    "Tissue",
    "deformation_gradient",
]
