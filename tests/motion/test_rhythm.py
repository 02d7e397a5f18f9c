"""Intervals between beats, judged as they arrive."""

from __future__ import annotations

import pytest

from cineflow.motion.rhythm import Intervals
from cineflow.served import Rhythm


def judged(times, *, milliseconds=True):
    """The rhythm of a beat at each of `times`, and the intervals after them."""
    intervals, found = Intervals(milliseconds=milliseconds), []
    for time in times:
        intervals, rhythm = intervals.begin(time)
        found.append(rhythm.name)
    return found, intervals


def test_a_regular_heart_is_known_after_three_beats():
    found, _ = judged([0, 800, 1610, 2400, 3190])
    assert found == ["UNKNOWN", "UNKNOWN", "UNKNOWN", "REGULAR", "REGULAR"]


@pytest.mark.parametrize("milliseconds", [True, False])
def test_ectopic_and_missed_beats(milliseconds):
    times = [0, 800, 1600, 2400, 2900, 3700, 5300]
    found, _ = judged(times, milliseconds=milliseconds)
    assert found[3:] == ["REGULAR", "EARLY", "REGULAR", "LATE"]


def test_implausible_rates_do_not_need_a_history():
    assert judged([0, 100])[0][1] == "EARLY"
    assert judged([0, 2100])[0][1] == "LATE"
    assert judged([0, 100], milliseconds=False)[0][1] == "UNKNOWN"


def test_a_new_rate_becomes_the_usual_one():
    times = [0.0]
    for interval in [1000.0] * 4 + [600.0] * 8:
        times.append(times[-1] + interval)
    assert judged(times)[0][5] == "EARLY"
    assert judged(times)[0][-1] == "REGULAR"


def test_a_beat_that_does_not_end():
    _, intervals = judged([0, 800, 1600])
    assert not intervals.overdue(2400)
    assert intervals.overdue(2600)


def test_a_first_beat_that_never_comes():
    waiting = Intervals(milliseconds=True, start=500.0)
    assert not waiting.overdue(2500.0)
    assert waiting.overdue(2501.0)
    # in frame numbers the length of a beat is unknown
    assert not Intervals(start=0.0).overdue(1e6)


def test_only_the_last_intervals_are_kept():
    _, intervals = judged(range(0, 80_000, 800))
    assert intervals.recent == (800.0,) * 8


def test_judging_leaves_the_old_intervals_alone():
    before = Intervals(last=0.0, recent=(800.0, 800.0), milliseconds=True)
    before.begin(800.0)
    assert (before.last, len(before.recent)) == (0.0, 2)
    assert before.begin(800.0)[1] is Rhythm.REGULAR
