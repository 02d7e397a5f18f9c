"""Latency figures: one definition for the demo, the benchmarks and scanner software."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow_client import CineflowClientError, LatencyLog


def test_figures_of_known_latencies():
    log = LatencyLog(frame_period_ms=np.float64(33.3))
    for latency in np.arange(1.0, 101.0):
        log.add(latency)
    summary = log.summary()
    assert summary.frames == len(log) == 100
    assert (summary.p50_ms, summary.max_ms) == (50.5, 100.0)
    assert summary.p95_ms == pytest.approx(95.05)
    assert summary.p99_ms == pytest.approx(99.01)
    assert summary.missed_deadlines == 67  # 34 ... 100
    assert type(summary.missed_deadlines) is int
    np.testing.assert_array_equal(summary.each_ms, np.arange(1.0, 101.0))


def test_one_stall_costs_every_frame_that_it_delays():
    log = LatencyLog(frame_period_ms=10)
    log.add(35)  # three more frames are ready before this result comes
    for waited in (25, 20, 15, 10, 5, 0):
        log.add(5, waited_ms=waited)
    assert log.summary().missed_deadlines == 1 + 4  # the last two are in time
    assert log.summary().max_ms == 35


def test_an_unpaced_stream_misses_nothing():
    log = LatencyLog()
    log.add(1e6)
    assert log.summary().missed_deadlines == 0
    assert log.summary().frame_period_ms is None


def test_a_summary_needs_a_frame():
    with pytest.raises(CineflowClientError, match="at least one"):
        LatencyLog().summary()


@pytest.mark.parametrize("period", [0, -1, float("nan")])
def test_a_period_that_is_not_positive(period):
    with pytest.raises(CineflowClientError, match="positive"):
        LatencyLog(period)
