"""Errors of reading a clip, one type per cause."""

from __future__ import annotations

from cineflow.errors import CineError


class MissingFileError(CineError):
    """The path does not lead to a file."""


class UnknownTypeError(CineError):
    """The file has a type that cineflow does not read."""


class NotDicomError(CineError):
    """The file has a DICOM suffix but is not DICOM."""


class NotCineError(UnknownTypeError):
    """The file holds frames that are not the times of a cine: slices, doses, masks, pages."""


class TruncatedError(CineError):
    """The file or its pixel data ends early."""


class NoPixelDataError(CineError):
    """The DICOM object has no pixel data."""


class SingleFrameError(CineError):
    """The clip has a single frame. Motion needs at least two."""


class SeveralCinesError(CineError):
    """The file holds several cines, and none was chosen."""


class EmptyVideoError(CineError):
    """The video has no frames."""


class DecodeError(CineError):
    """The pixel data is complete but cannot be decoded on this machine."""


class TooLargeError(CineError):
    """The frames would take more memory than the limit allows."""
