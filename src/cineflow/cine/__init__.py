"""The types `Cine` and `VolumeCine`, and the readers that load one from disk."""

from cineflow.cine.clip import Cine
from cineflow.cine.errors import (
    DecodeError,
    EmptyVideoError,
    MissingFileError,
    NoPixelDataError,
    NotCineError,
    NotDicomError,
    SeveralCinesError,
    SingleFrameError,
    TooLargeError,
    TruncatedError,
    UnknownTypeError,
)
from cineflow.cine.geometry import Geometry, cut_to, fit_to, geometry_for
from cineflow.cine.read import count_cines, default_clip, read_cine, read_cines
from cineflow.cine.volumes import PLANES, Plane, VolumeCine, padded, read_clip, read_volumes

__all__ = [
    "PLANES",
    "Cine",
    "DecodeError",
    "EmptyVideoError",
    "Geometry",
    "MissingFileError",
    "NoPixelDataError",
    "NotCineError",
    "NotDicomError",
    "Plane",
    "SeveralCinesError",
    "SingleFrameError",
    "TooLargeError",
    "TruncatedError",
    "UnknownTypeError",
    "VolumeCine",
    "count_cines",
    "cut_to",
    "default_clip",
    "fit_to",
    "geometry_for",
    "padded",
    "read_cine",
    "read_cines",
    "read_clip",
    "read_volumes",
]
