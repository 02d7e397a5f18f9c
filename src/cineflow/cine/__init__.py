"""The `Cine` type, and the readers that load one from disk."""

from cineflow.cine.clip import Cine
from cineflow.cine.errors import (
    DecodeError,
    EmptyVideoError,
    MissingFileError,
    NoPixelDataError,
    NotDicomError,
    SingleFrameError,
    TruncatedError,
    UnknownTypeError,
)
from cineflow.cine.geometry import Geometry, fit_to
from cineflow.cine.read import default_clip, read_cine

__all__ = [
    "Cine",
    "DecodeError",
    "EmptyVideoError",
    "Geometry",
    "MissingFileError",
    "NoPixelDataError",
    "NotDicomError",
    "SingleFrameError",
    "TruncatedError",
    "UnknownTypeError",
    "default_clip",
    "fit_to",
    "read_cine",
]
