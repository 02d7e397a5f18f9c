"""DICOM objects of an analysis. They keep the patient, the study and the source: they are filed.

    source.py    what an object takes over from its source
    report.py    Structured Report: measurements (TID 1500)
    maps.py      Parametric Map of strain, Segmentation of labels
    capture.py   multi-frame secondary capture of the overlay

The objects need the extra `dicom` (highdicom, MIT).
"""

from __future__ import annotations

from cineflow.errors import MissingDependencyError


def require_library() -> None:
    """Raise `MissingDependencyError` unless highdicom is installed."""
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "the package highdicom", str(error), "`pip install 'cineflow[dicom]'`"
        ) from error
