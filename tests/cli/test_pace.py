"""Frames wait for their time, and the command's own work is not held against the model."""

from __future__ import annotations

import pytest

from cineflow.cli.pace import Pace


class Clock:
    """Time that passes only where a test says so, s."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace([0.0, 50.0, 100.0, 150.0], clock.now, clock.sleep)


def test_a_frame_waits_for_its_time(pace: Pace, clock: Clock) -> None:
    assert pace.wait(0) == 0
    clock.sleep(0.02)
    assert pace.wait(1) == 0
    assert clock.at == pytest.approx(100.05)


def test_a_slow_result_makes_the_next_frames_late(pace: Pace, clock: Clock) -> None:
    pace.wait(0)
    clock.sleep(0.12)
    assert pace.wait(1) == pytest.approx(70.0)
    assert pace.wait(2) == pytest.approx(20.0)
    assert pace.wait(3) == 0


def test_own_work_within_the_pause_changes_nothing(pace: Pace, clock: Clock) -> None:
    pace.wait(0)
    with pace.own_work(0):
        clock.sleep(0.03)
    assert pace.wait(1) == 0
    assert clock.at == pytest.approx(100.05)


def test_own_work_beyond_the_next_time_is_not_late(pace: Pace, clock: Clock) -> None:
    pace.wait(0)
    clock.sleep(0.02)
    with pace.own_work(0):
        clock.sleep(0.08)
    assert pace.wait(1) == pytest.approx(0.0, abs=1e-6)
    clock.sleep(0.07)  # a slow result: 20 ms over
    with pace.own_work(1):
        clock.sleep(0.03)
    assert pace.wait(2) == pytest.approx(20.0), "its own share counts"
    with pace.own_work(3):
        clock.sleep(1.0)  # after the last frame
