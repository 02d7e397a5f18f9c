"""DICOM objects: pixels to grey, frame times, calibration, slices, R waves."""

from cineflow.cine.dicom.read import read_dicom
from cineflow.cine.dicom.series import dicom_files

__all__ = ["dicom_files", "read_dicom"]
