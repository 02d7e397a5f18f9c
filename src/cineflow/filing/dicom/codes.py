"""Codes of measurements and places: DICOM's strain codes, the echo codes of TID 5200, AHA segments.

Source:
    DICOM PS3.16: CID 12304 (strain), CID 12201 and 12202 (left ventricle of TID 5200), CID 12305
    (wall segments).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept

#: (value, scheme, meaning) of Lagrangian strain at a time, by direction.
_STRAIN = {
    "longitudinal": ("130670", "DCM", "Longitudinal Lagrangian Strain"),
    "circumferential": ("130677", "DCM", "Circumferential Lagrangian Strain"),
    "radial": ("130675", "DCM", "Radial Lagrangian Strain"),
}
#: Of the largest strain in a beat, where DICOM has a code.
_PEAK = {"longitudinal": ("130671", "DCM", "Peak Longitudinal Lagrangian Strain")}

#: By the beginning of a measure's name: code, and unit in UCUM.
MEASURES = {
    "IVS at end-diastole": (
        ("18154-5", "LN", "Interventricular Septum Diastolic Thickness"),
        "mm",
    ),
    "LVID at end-diastole": (
        ("29436-3", "LN", "Left Ventricle Internal End Diastolic Dimension"),
        "mm",
    ),
    "LVPW at end-diastole": (
        ("18152-9", "LN", "Left Ventricle Posterior Wall Diastolic Thickness"),
        "mm",
    ),
    "LVID at end-systole": (
        ("29438-9", "LN", "Left Ventricle Internal Systolic Dimension"),
        "mm",
    ),
    "fractional shortening": (("18051-3", "LN", "Left Ventricular Fractional Shortening"), "%"),
    "ejection fraction, Teichholz": (
        ("77891-0", "LN", "Left ventricular ejection fraction (Teichholz) 2D"),
        "%",
    ),
    "LV mass": (("18087-7", "LN", "Left Ventricle Mass"), "g"),
}

_SEGMENTS = {
    1: ("264850008", "basal anterior"),
    2: ("396482007", "basal anteroseptal"),
    3: ("396646008", "basal inferoseptal"),
    4: ("264846001", "basal inferior"),
    5: ("396652009", "basal inferolateral"),
    6: ("396654005", "basal anterolateral"),
    7: ("264848000", "mid anterior"),
    8: ("396647004", "mid anteroseptal"),
    9: ("396649001", "mid inferoseptal"),
    10: ("264847005", "mid inferior"),
    11: ("396655006", "mid inferolateral"),
    12: ("396656007", "mid anterolateral"),
    13: ("264844003", "apical anterior"),
    14: ("264845002", "apical septal"),
    15: ("264849008", "apical inferior"),
    16: ("264853005", "apical lateral"),
}
#: Our own scheme, for what DICOM has no code for.
OWN = "99CINEFLOW"


def coded(value: str, scheme: str, meaning: str) -> CodedConcept:
    """A code as highdicom takes it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value, scheme, meaning)


def strain_code(direction: str, convention: str, *, peak: bool = False) -> CodedConcept:
    """The code of a strain; our own where DICOM has none."""
    known = (_PEAK if peak else _STRAIN).get(direction)
    if known is not None and convention == "lagrangian":
        return coded(*known)
    words = {"lagrangian": "Lagrangian", "green_lagrange": "Green-Lagrange", "natural": "natural"}
    name = f"{'Largest ' if peak else ''}{direction} {words[convention]} strain"
    short = f"{'P' if peak else ''}{direction[:4]}-{convention[:4]}".upper()
    return coded(short, OWN, name[:1].upper() + name[1:])


def site_code(segment: int) -> CodedConcept:
    """The code of an AHA segment, or of the whole left ventricle's myocardium (0)."""
    if segment == 17:
        return coded("128564006", "SCT", "Left ventricle apex")
    if segment not in _SEGMENTS:
        return coded("49848007", "SCT", "Left Ventricle Myocardium")
    value, name = _SEGMENTS[segment]
    return coded(value, "SCT", f"left ventricle {name} segment")


def unit_code(unit: str) -> CodedConcept:
    """The UCUM code of "mm", "%", "g", "px" or "1"."""
    if unit == "px":
        return coded("{pixels}", "UCUM", "pixels")
    if unit == "1":
        return coded("1", "UCUM", "no units")
    names = {"mm": "millimeter", "%": "percent", "g": "gram"}
    return coded(unit, "UCUM", names[unit])
