"""Files for other systems: NIfTI, DICOM objects that keep the identity, and sending them.

Reports, tables and pictures are in `cineflow.report`, and have no identity. Each writer here loads
its library on first use; the extra `dicom` has those of the DICOM objects.
"""
