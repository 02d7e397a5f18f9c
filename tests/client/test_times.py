"""When a frame passed where, and whether it kept what its stream has declared."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import pytest

from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream as InProcess
from cineflow.serving import TritonServer
from cineflow_client import CineflowClientError, Client, Times
from cineflow_client.clock import ServerClock


@pytest.fixture
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


@pytest.mark.parametrize("transport", ["grpc", "shm"])
def test_a_result_says_when_its_frame_was_where(
    client: Client, moving_frames: np.ndarray, transport: str
) -> None:
    """Server and client share the machine's clock here, so all times are in one order."""
    with client.stream("lucas_kanade", transport) as stream:  # type: ignore[arg-type]
        for k, captured_ms in enumerate((7.0, 40.5)):
            before = time.perf_counter()
            times = stream.push(moving_frames[k], time_ms=captured_ms).times
            assert times is not None
            assert times.captured_ms == captured_ms
            order = (before, times.sent_s, times.started_s, times.computed_s, times.received_s)
            assert list(order) == sorted(order)
            assert times.received_s <= time.perf_counter()
            assert abs(times.offset_s) <= times.offset_error_s < 10.0
            assert 0 < times.compute_ms < 1e3 * (times.received_s - times.sent_s)
            assert times.travel_ms > 0


def test_without_a_capture_time_there_is_none(client: Client, moving_frames: np.ndarray) -> None:
    with client.stream("lucas_kanade") as stream:
        times = stream.push(moving_frames[0]).times
    assert times is not None
    assert times.captured_ms is None


def test_in_process_there_is_one_clock(moving_frames: np.ndarray) -> None:
    bundle = Bundle.load("lucas_kanade")
    before = time.perf_counter()
    times = InProcess(open_engine(bundle), bundle.spec).push(moving_frames[0], time_ms=3.0).times
    assert times is not None
    assert (times.captured_ms, times.offset_s, times.offset_error_s) == (3.0, 0.0, 0.0)
    order = (before, times.sent_s, times.started_s, times.computed_s, times.received_s)
    assert list(order) == sorted(order)
    assert times.received_s <= time.perf_counter()


def test_the_offset_of_another_machine_is_bounded_by_its_fastest_frames() -> None:
    clock, found = ServerClock(), []
    for k, way_s in enumerate((0.2, 0.003, 0.2, 0.2)):
        sent_s = 10.0 + k
        started_s = sent_s + way_s + 5000.0
        server = Times(None, started_s, started_s, started_s + 0.01, started_s + 0.01)
        found.append(clock.placed(server, None, sent_s, sent_s + 2 * way_s + 0.01))
    for times in found:
        assert abs(times.offset_s - 5000.0) <= times.offset_error_s + 1e-9
    assert found[0].offset_error_s == pytest.approx(0.2)
    assert found[1].offset_error_s == pytest.approx(0.003)
    assert 0.003 < found[3].offset_error_s < 0.01  # clocks drift, so an old bound grows wider
    there = Times(None, 1.0, 1.0, 1.1, 1.1)  # a server that was started again has another clock
    assert clock.placed(there, None, 20.0, 20.2).offset_s == pytest.approx(-19.05)


# -- deadlines -----------------------------------------------------------------------------------


def test_the_server_says_whether_a_rate_holds(client: Client, moving_frames: np.ndarray) -> None:
    """A stream that takes all of the model's time changes what the next one is told."""
    easy = {"rate": 1.0, "budget_ms": 5000.0}
    with client.stream("lucas_kanade", **easy) as stream:  # type: ignore[arg-type]
        first = stream.push(moving_frames[0]).deadline
        assert first is not None
        assert first.holds  # from the known results, before it has tracked a frame itself
        assert 0 < first.expected_ms < 5000
        assert 0 < first.load < 0.9
        with client.stream("lucas_kanade", rate=10_000, budget_ms=5000) as greedy:
            told = greedy.push(moving_frames[0]).deadline
            assert told is not None
            assert told.holds is False
            assert told.load > 0.9
            greedy.push(moving_frames[1])
            meanwhile = stream.push(moving_frames[1]).deadline
            assert meanwhile is not None
            assert meanwhile.holds is False
            assert meanwhile.expected_ms > 0
        after = stream.push(moving_frames[2]).deadline
        assert after is not None
        assert after.holds
        assert (after.late_frames, stream.late_frames) == (0, 0)


def test_late_results_are_counted(client: Client, moving_frames: np.ndarray) -> None:
    with client.stream("lucas_kanade", rate=30, budget_ms=0.01) as stream:
        for k, frame in enumerate(moving_frames[:4], 1):
            deadline = stream.push(frame).deadline
            assert deadline is not None
            assert not deadline.holds
            assert (deadline.late_frames, stream.late_frames) == (k, k)
    with client.stream("lucas_kanade") as stream:
        assert stream.push(moving_frames[0]).deadline is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate": 30},
        {"budget_ms": 33},
        {"rate": 0, "budget_ms": 33},
        {"rate": 30, "budget_ms": math.nan},
        {"rate": True, "budget_ms": 33},
        {"rate": "30", "budget_ms": 33},
        {"traceparent": "00-0-0-01"},
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
    ],
)
def test_what_cannot_be_declared(client: Client, wrong: dict[str, float]) -> None:
    with pytest.raises(CineflowClientError):
        client.stream("lucas_kanade", **wrong)  # type: ignore[arg-type]


# -- freezing, and another depth -----------------------------------------------------------------


def test_a_frozen_stream_keeps_its_place(
    small_server: TritonServer, moving_frames: np.ndarray
) -> None:
    """Longer than the second after which an idle one is dropped."""
    with Client(small_server.url) as client, client.stream("lucas_kanade", resume_s=0) as stream:
        stream.push(moving_frames[0])
        stream.freeze()
        stream.freeze()
        time.sleep(2.5)
        assert stream.push(moving_frames[1]).previous == 0
        stream.freeze()
        stream.unfreeze()
        assert stream.push(moving_frames[2]).previous == 1


def test_another_depth_begins_another_stream(client: Client, moving_frames: np.ndarray) -> None:
    settings = {"readings": ("strain",), "rate": 1, "budget_ms": 5000}
    with client.stream("lucas_kanade", spacing_mm=(0.3, 0.3), **settings) as stream:  # type: ignore[arg-type]
        stream.push(moving_frames[0])
        with stream.another(spacing_mm=(0.5, 0.5)) as deeper:
            assert deeper.sequence_id != stream.sequence_id
            result = deeper.push(np.ascontiguousarray(moving_frames[0][:64, :96]))
            assert (result.current, result.previous, result.unit) == (0, 0, "mm")
            assert result.strain is not None
            assert result.deadline is not None
