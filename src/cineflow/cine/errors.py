"""Why a clip could not become a cine: one type per cause."""

from __future__ import annotations

from cineflow.errors import CineError


class MissingFileError(CineError):
    """There is no readable file at the path."""


class UnknownTypeError(CineError):
    """The file is of no type that cineflow reads."""


class NotDicomError(CineError):
    """The file is named like a DICOM object and is none."""


class TruncatedError(CineError):
    """The file, or the pixel data in it, ends too early."""


class NoPixelDataError(CineError):
    """The DICOM object holds no pixels."""


class SingleFrameError(CineError):
    """One frame only: there is no motion in a still."""


class EmptyVideoError(CineError):
    """The video holds no frame."""


class DecodeError(CineError):
    """The pixels are there and cannot be decoded here."""
