"""What becomes of frames that find no slot, and the ways in which results arrive."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.serving import TritonServer
from cineflow_client import (
    CineflowClientError,
    Client,
    FrameDropped,
    FrameRejected,
    Pending,
    Result,
    StreamBusy,
    StreamTimeout,
)


@pytest.fixture
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


class Stopped:
    """The server and the processes of its models stand still inside the block."""

    def __init__(self, server: TritonServer) -> None:
        assert server.pid is not None
        models = Path(f"/proc/{server.pid}/task").glob("*/children")
        self._pids = [server.pid, *(int(pid) for one in models for pid in one.read_text().split())]

    def __enter__(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGSTOP)
        while not all(map(_is_still, self._pids)):
            time.sleep(0.001)

    def __exit__(self, *_: object) -> None:
        for pid in reversed(self._pids):
            os.kill(pid, signal.SIGCONT)


def _is_still(pid: int) -> bool:
    """Whether all threads of a process stand still. The signal is there before they do."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(one.read_text().rpartition(")")[2].split()[0] == "T" for one in threads)


def outcome(sent: Pending) -> Result | None:
    """The result, or None for a frame that was dropped."""
    try:
        return sent.result()
    except FrameDropped:
        return None


@pytest.mark.parametrize("transport", ["shm", "grpc"])
def test_newest_first(
    client: Client, server: TritonServer, moving_frames: np.ndarray, transport: Any
) -> None:
    """Of eight frames that are sent while the server stands still, two are in flight; the last one
    waits, and those between are dropped and counted."""
    with client.stream("lucas_kanade", transport, slots=2, policy="newest") as stream:
        stream.push(moving_frames[0])
        frame = moving_frames[1].copy()
        with Stopped(server):
            sent = []
            for k in range(1, 9):
                frame[...] = moving_frames[k]  # the caller's array, again and again
                sent.append(stream.submit(frame))
            time.sleep(0.1)
        results = [outcome(one) for one in sent]
        assert [k for k, one in enumerate(results, 1) if one is not None] == [1, 2, 8]
        assert stream.dropped == 5
        last = results[-1]
        assert last is not None
        assert (last.previous, last.current, last.gap_frames) == (2, 8, 5)
        after = stream.push(moving_frames[9])
        assert (after.current, after.gap_frames) == (9, 0)
    with client.stream("lucas_kanade") as every:  # the right pixels were tracked
        for k in (0, 1, 2):
            every.push(moving_frames[k])
        np.testing.assert_array_equal(every.push(moving_frames[8]).flow, last.flow)


def test_dropped_past_a_deadline(
    client: Client, server: TritonServer, moving_frames: np.ndarray
) -> None:
    """Frames that are still in time when the server goes on leave in their order."""
    with client.stream("lucas_kanade", slots=1, policy="deadline", deadline_ms=1000.0) as stream:
        stream.push(moving_frames[0])
        with Stopped(server):
            early = [stream.submit(moving_frames[k]) for k in (1, 2, 3)]
            time.sleep(1.2)
            late = [stream.submit(moving_frames[k]) for k in (4, 5)]
        assert [outcome(one) is not None for one in early] == [True, False, False]
        first, second = (one.result() for one in late)
        assert (first.previous, first.current, first.gap_frames) == (1, 4, 2)
        assert (second.previous, second.current, second.gap_frames) == (4, 5, 0)
        assert stream.dropped == 2


def test_every_frame_is_refused_and_not_dropped(
    client: Client, server: TritonServer, moving_frames: np.ndarray
) -> None:
    with client.stream("lucas_kanade", slots=1) as stream:
        stream.push(moving_frames[0])
        with Stopped(server):
            sent = stream.submit(moving_frames[1])
            with pytest.raises(StreamBusy):
                stream.submit(moving_frames[2])
        assert sent.result().current == 1
        assert stream.dropped == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": "oldest"},
        {"policy": "deadline"},
        {"policy": "newest", "deadline_ms": 5.0},
        {"deadline_ms": 5.0},
        {"policy": "deadline", "deadline_ms": 0.0},
        {"policy": "deadline", "deadline_ms": float("nan")},
    ],
)
def test_a_policy_that_does_not_exist(client: Client, wrong: dict[str, Any]) -> None:
    with pytest.raises(CineflowClientError, match=r"policy|deadline_ms"):
        client.stream("lucas_kanade", **wrong)


def test_frames_that_wait_end_with_the_stream(
    client: Client, server: TritonServer, moving_frames: np.ndarray
) -> None:
    stream = client.stream("lucas_kanade", slots=1, policy="newest", resume_s=0)
    stream.push(moving_frames[0])
    with Stopped(server):
        sent = [stream.submit(moving_frames[k]) for k in (1, 2)]
        stream.fail(StreamTimeout("a test", "its end"))
    for one in sent:
        with pytest.raises(StreamTimeout):
            one.result()
    with pytest.raises(StreamTimeout):
        stream.submit(moving_frames[3])


def test_a_stream_from_a_state_wants_numbers_where_frames_may_be_dropped(
    client: Client, moving_frames: np.ndarray
) -> None:
    with client.stream("lucas_kanade", readings=("state",)) as stream:
        state = stream.push(moving_frames[0], index=7).state
    with client.stream("lucas_kanade", state=state, policy="newest") as stream:
        with pytest.raises(FrameRejected, match="Go on counting"):
            stream.push(moving_frames[1])
        assert stream.push(moving_frames[1], index=8).previous == 7


# -- how results arrive --------------------------------------------------------------------------


def test_results_are_awaited(client: Client, moving_frames: np.ndarray) -> None:
    """Two streams in one event loop, which goes on meanwhile."""

    async def follow() -> list[int]:
        with client.stream("lucas_kanade") as stream:
            found = []
            for frame in moving_frames[:4]:
                found.append((await stream.submit(frame)).current)
            with pytest.raises(FrameRejected):
                await stream.submit(moving_frames[4], index=1)
            done = stream.submit(moving_frames[4])
            done.result()
            found.append((await done).current)  # one that has arrived
            return found

    async def both() -> tuple[list[list[int]], int]:
        streams = asyncio.gather(follow(), follow())
        turns = 0
        while not streams.done():
            turns += 1
            await asyncio.sleep(0)
        return list(await streams), turns

    found, turns = asyncio.run(both())
    assert found == [[0, 1, 2, 3, 4]] * 2
    assert turns > 50  # one for each result, if waiting stopped the loop


def test_an_awaited_result_that_does_not_come(
    client: Client, server: TritonServer, moving_frames: np.ndarray
) -> None:
    async def wait() -> None:
        await stream.submit(moving_frames[1])

    stream = client.stream("lucas_kanade", timeout_s=0.3)
    stream.push(moving_frames[0])
    with Stopped(server), pytest.raises(StreamTimeout, match=r"within 0\.3 s"):
        asyncio.run(wait())


def test_results_call_back(
    client: Client,
    server: TritonServer,
    moving_frames: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the order of the frames; a callback that fails stops nothing and is not silent."""
    found: list[int] = []
    failures: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: failures.append(str(args.exc_value)))

    def note(sent: Pending) -> None:
        assert sent.done()
        found.append(sent.result().current)
        if len(found) == 2:
            raise RuntimeError("the caller's failure")

    with client.stream("lucas_kanade", slots=8) as stream:
        stream.push(moving_frames[0])
        with Stopped(server):
            sent = [stream.submit(frame) for frame in moving_frames[1:7]]
            for one in sent:
                one.add_done_callback(note)
        sent[-1].result()
        until = time.monotonic() + 5
        while len(found) < 6 and time.monotonic() < until:
            time.sleep(0.01)
        assert found == [1, 2, 3, 4, 5, 6]
        with pytest.raises(IndexError):
            sent[0].add_done_callback(lambda _: [][0])  # at once, by the caller's thread
    assert failures == ["the caller's failure"]


def test_results_by_iterator(client: Client, moving_frames: np.ndarray) -> None:
    taken: list[int] = []

    def source() -> Iterator[np.ndarray]:
        for k, frame in enumerate(moving_frames):
            taken.append(k)
            yield frame

    with client.stream("lucas_kanade", slots=3) as stream:
        for k, result in enumerate(stream.track(source())):
            assert result.current == k
            assert len(taken) <= k + 1 + 3  # no further ahead than there are slots
        assert len(taken) == len(moving_frames)


def test_a_program_with_asyncio_alone(server: TritonServer, tmp_path: Path) -> None:
    """An event loop that ends while frames are in flight leaves nothing that hangs."""

    async def leave() -> None:
        stream = Client(server.url).stream("lucas_kanade")
        asyncio.ensure_future(_awaiting(stream.submit(np.zeros((64, 80), np.uint8))))  # noqa: RUF006
        await asyncio.sleep(0)

    asyncio.run(leave())


async def _awaiting(sent: Pending) -> None:
    await sent
