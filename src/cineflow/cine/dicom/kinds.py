"""What an object is, if it is not a cine: a dose grid, a mask, a stack of slices, a report."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import UID

from cineflow.cine.dicom.header import stated_frames
from cineflow.cine.dicom.times import increments
from cineflow.cine.errors import NoPixelDataError, NotCineError, UnknownTypeError

_STORAGE = "1.2.840.10008.5.1.4.1.1"
ENHANCED_MR = {f"{_STORAGE}.4.{number}" for number in (1, 3, 4)}  # also colour and legacy

_NOT_CINES = {
    f"{_STORAGE}.481.2": "a dose grid (RT Dose)",
    f"{_STORAGE}.66.4": "masks (Segmentation)",
    f"{_STORAGE}.66.7": "masks (Label Map Segmentation)",
    f"{_STORAGE}.30": "a parametric map",
    f"{_STORAGE}.2": "slices of a CT stack",
    f"{_STORAGE}.2.1": "slices of a CT stack (Enhanced CT)",
    f"{_STORAGE}.2.2": "slices of a CT stack (Legacy Converted Enhanced CT)",
    f"{_STORAGE}.4.2": "MR spectra",
    f"{_STORAGE}.128": "slices of a PET stack",
    f"{_STORAGE}.128.1": "slices of a PET stack (Legacy Converted Enhanced PET)",
    f"{_STORAGE}.130": "slices of a PET stack (Enhanced PET)",
    f"{_STORAGE}.13.1.1": "slices of a volume (X-Ray 3D Angiographic)",
    f"{_STORAGE}.13.1.2": "slices of a volume (X-Ray 3D Craniofacial)",
    f"{_STORAGE}.13.1.3": "slices of a volume (Breast Tomosynthesis)",
    f"{_STORAGE}.77.1.5.4": "slices of a volume (Ophthalmic Tomography)",
    f"{_STORAGE}.77.1.6": "tiles of a microscope slide",
    f"{_STORAGE}.6.2": "a cine of volumes (Enhanced US Volume)",
}
# Vectors that a FrameIncrementPointer may name and that are not times.
_VECTORS = {
    0x00182001: "pages",
    0x00182002: "labels",
    0x00182005: "slice locations",
    0x00540010: "energy windows",
    0x00540020: "detectors",
    0x00540030: "phases of a nuclear acquisition",
    0x00540050: "rotations",
    0x00540060: "R-R intervals",
    0x00540070: "time slots",
    0x00540080: "slices",
    0x00540090: "angular views",
    0x00540100: "time slices",
    0x3004000C: "planes of a dose grid",
    0x00200032: "slice positions",
    0x00201041: "slice locations",
}
_TIMES = {0x00181063, 0x00181065}


def without_sector(header: Dataset) -> str:
    """That a picture has no scan sector, as a note for the user; "" if the pixels must say.

    They must where the file says that identity is burned into them, and for captured screens.
    """
    burned = str(header.get("BurnedInAnnotation") or "").strip().upper()
    captured_as = str(header.get("ConversionType") or "").strip().upper()
    if captured_as == "SYN" and burned == "NO":
        return "The picture is synthetic, and has no scan sector: all of it is kept."
    if str(header.get("Modality")) == "MR" and burned != "YES" and not captured_as:
        return "MR has no scan sector: the whole frame is kept, and text burned into it is visible."
    return ""


def require_cine(header: Dataset) -> None:
    """Refuse an object whose frames do not follow each other in time.

    Raises:
        NotCineError: The frames are slices, doses, masks, pages or the like.
        UnknownTypeError: The frames are volumes.
        NoPixelDataError: The object is of a class without a picture.
    """
    uid = str(header.get("SOPClassUID", ""))
    if uid in _NOT_CINES:
        error = UnknownTypeError if uid.endswith(".6.2") else NotCineError
        raise error(
            "a cine of images",
            _NOT_CINES[uid],
            "Its frames are not the times of a cine. Export one plane over time as a 2-D loop.",
        )
    tags = increments(header)
    if stated_frames(header) == 1 or _TIMES & set(tags):
        return
    for tag in tags:
        if tag in _VECTORS:
            raise NotCineError(
                "frames that follow each other in time",
                f"frames that step through {_VECTORS[tag]}",
                "The object is not a cine. Export the loop as an ultrasound or MR multi-frame.",
            )


def require_picture(header: Dataset) -> None:
    """Refuse an object without Rows or Columns, by its class.

    Raises:
        NoPixelDataError: The object has no picture.
    """
    if "Rows" in header or "Columns" in header:
        return
    name = UID(str(header.get("SOPClassUID", ""))).name.removesuffix(" Storage")
    known = name and not name.startswith("1.2.")
    raise NoPixelDataError(
        "a DICOM object with pixel data",
        f"an object without a picture ({name})" if known else "an object without a picture",
        "It is a report, a waveform, a plan or a header. Choose the clip instead.",
    )
