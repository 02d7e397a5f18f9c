"""Array files: .npz, NIfTI, .mhd/.mha and .nrrd, of images or volumes over time.

    read.py      an array file to grey frames, and those to a cine
    numbers.py   the numbers of a file, piece by piece
    grey.py      numbers to grey levels
    npz.py       NumPy
    nifti.py     NIfTI, by nibabel
    itk.py       MetaImage and NRRD, by SimpleITK

A file is never loaded as a whole: float64 would take eight times the memory of its grey levels.
"""

from cineflow.cine.arrays.numbers import LAYOUT
from cineflow.cine.arrays.read import (
    ARRAY_SUFFIXES,
    ASSUMED_PERIOD_MS,
    Stored,
    cine_of,
    read_array,
    read_array_cine,
)

__all__ = [
    "ARRAY_SUFFIXES",
    "ASSUMED_PERIOD_MS",
    "LAYOUT",
    "Stored",
    "cine_of",
    "read_array",
    "read_array_cine",
]
