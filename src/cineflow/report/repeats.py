"""Frames that are exact copies of the frame before them, as many clips hold."""

from __future__ import annotations

from collections.abc import Sequence

#: More numbers than these would hide the sentence that they belong to.
_MOST_NAMED = 12


def repeat_notes(repeats: Sequence[int]) -> tuple[str, ...]:
    """A note for a report that names the frames in `repeats`; empty without any.

    Args:
        repeats: Indices of the frames whose `Result.repeat` is true.
    """
    if not repeats:
        return ()
    named = ", ".join(map(str, repeats[:_MOST_NAMED]))
    more = f" and {len(repeats) - _MOST_NAMED} more" if len(repeats) > _MOST_NAMED else ""
    which = f"frame {named} repeats" if len(repeats) == 1 else f"frames {named}{more} repeat"
    return (
        f"{which} the frame before exactly: zero motion, quality 1 and error 0 there say nothing "
        "about the tracking",
    )
