"""The note about frames that are copies of the frame before."""

from __future__ import annotations

from cineflow.report.repeats import repeat_notes


def test_the_note_names_the_frames() -> None:
    assert repeat_notes([]) == ()
    assert repeat_notes([4])[0].startswith("frame 4 repeats the frame before exactly")
    assert repeat_notes([4, 9])[0].startswith("frames 4, 9 repeat the frame before")
    assert " 11 and 8 more repeat" in repeat_notes(list(range(20)))[0]
