"""DICOM objects: pixels to grey, frame times, calibration, slices, R waves."""

from cineflow.cine.dicom.read import read_dicom

__all__ = ["read_dicom"]
