"""What an object says about text burned into its pixels: BurnedInAnnotation (0028,0301)."""

from __future__ import annotations

from pydicom.dataset import Dataset


def burned_in(header: Dataset) -> str:
    """A sentence for the provenance of a report."""
    value = str(header.get("BurnedInAnnotation") or "").strip().upper()
    if value == "YES":
        return "The file says that identity is burned into its pixels (BurnedInAnnotation YES)."
    if value == "NO":
        return "The file says that no identity is burned into its pixels (BurnedInAnnotation NO)."
    return "The file does not say whether identity is burned into its pixels (BurnedInAnnotation)."
