"""Both ends of a direct connection, without a server around them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from cineflow.serving import TritonServer
from cineflow.serving.direct import DirectRequest, Door, Respond
from cineflow_client import Client, StreamClosed
from cineflow_client.direct import Direct
from cineflow_client.ring import SharedRing
from cineflow_client.wire import Answer, Step

FRAME = np.arange(12, dtype=np.uint8).reshape(3, 4)
STEP = Step(FRAME, 3, None, 1.5, 0, {})


class Model:
    """Gives the frame back, once it may."""

    def __init__(self) -> None:
        self.may = threading.Semaphore(0)
        self.seen: list[Mapping[str, np.ndarray]] = []
        self.ended: list[int] = []
        self.door = Door(lambda sequence: sequence == 7, self._compute, self.ended.append)

    def _compute(self, request: DirectRequest, respond: Respond) -> None:
        names = ("frame", "frame_index", "beat", "time_ms")
        arrays = {name: array for name in names if (array := request.input(name)) is not None}
        self.seen.append({name: array.copy() for name, array in arrays.items()})
        self.may.acquire()
        respond({"same": arrays["frame"].astype(np.float32), "small": np.arange(2)})


class Taker:
    """Keeps what comes, in its order."""

    def __init__(self) -> None:
        self.came: list[tuple[str, dict[str, np.ndarray]]] = []
        self.reasons: list[str] = []

    def deliver(self, answer: Answer, session: Any) -> None:
        self.came.append((answer.request_id, answer.read(0)))

    def direct_ended(self, session: Any, reason: str) -> None:
        self.reasons.append(reason)


@pytest.fixture
def model() -> Iterator[Model]:
    made = Model()
    yield made
    for _ in range(9):
        made.may.release()
    made.door.close()


@pytest.fixture
def ring() -> Iterator[SharedRing]:
    made = SharedRing(2, {"frame": 48, "same": 48}, lambda name, size: None)
    yield made
    made.close()


@pytest.fixture
def direct(model: Model, ring: SharedRing) -> Iterator[Direct]:
    made = Direct(model.door.name, "the session", 7, ring)
    yield made
    made.close()
    made.release()


def send(direct: Direct, ring: SharedRing, request_id: str, *, leads: bool = True) -> None:
    ring.put_frame(0, FRAME)
    direct.send(request_id, STEP, ["same", "small"], {}, leads=leads)


def test_who_waits_reads(model: Model, direct: Direct, ring: SharedRing) -> None:
    taker = Taker()
    send(direct, ring, "1")
    model.may.release()
    direct.lead(lambda: taker, "1", lambda: bool(taker.came), 5.0)
    ((request_id, arrays),) = taker.came
    assert request_id == "1"
    np.testing.assert_array_equal(arrays["same"], FRAME)  # from the ring
    np.testing.assert_array_equal(arrays["small"], [0, 1])  # from the message
    (seen,) = model.seen
    np.testing.assert_array_equal(seen["frame"], FRAME)
    assert (seen["frame_index"].tolist(), seen["time_ms"].tolist()) == ([3], [1.5])
    assert "beat" not in seen


def test_a_wait_ends_in_time_and_a_thread_reads_the_rest(
    model: Model, direct: Direct, ring: SharedRing
) -> None:
    taker = Taker()
    thread = threading.Thread(target=direct.follow, args=(lambda: taker,))
    thread.start()
    send(direct, ring, "1")
    began = time.monotonic()
    direct.lead(lambda: taker, "1", lambda: False, 0.1)
    assert 0.1 <= time.monotonic() - began < 5
    model.may.release()
    until = time.monotonic() + 10
    while not taker.came and time.monotonic() < until:
        time.sleep(0.01)
    assert [one for one, _ in taker.came] == ["1"]
    direct.close()
    thread.join(10)
    assert not thread.is_alive()


def test_an_interrupted_delivery_is_made_again(
    model: Model, direct: Direct, ring: SharedRing
) -> None:
    class Interrupted(Taker):
        def deliver(self, answer: Answer, session: Any) -> None:
            raise KeyboardInterrupt

    send(direct, ring, "1")
    model.may.release()
    with pytest.raises(KeyboardInterrupt):
        direct.lead(Interrupted, "1", lambda: False, 5.0)
    taker = Taker()
    thread = threading.Thread(target=direct.follow, args=(lambda: taker,))
    thread.start()
    until = time.monotonic() + 10
    while not taker.came and time.monotonic() < until:
        time.sleep(0.01)
    assert [one for one, _ in taker.came] == ["1"]
    direct.close()
    thread.join(10)


def test_a_model_that_is_unloaded_names_no_reason(
    model: Model, direct: Direct, ring: SharedRing
) -> None:
    """The frame that it computes has its result; the one after was not computed."""
    taker = Taker()
    send(direct, ring, "1")
    send(direct, ring, "2")
    while not model.seen:
        time.sleep(0.01)
    closing = threading.Thread(target=model.door.close)
    closing.start()
    time.sleep(0.1)
    model.may.release()
    direct.lead(lambda: taker, "2", lambda: False, 10.0)
    closing.join(10)
    assert [one for one, _ in taker.came] == ["1"]
    assert taker.reasons == [""]
    assert direct.retire() == ["2"]
    assert len(model.seen) == 1


def test_a_stream_that_expired_goes_back_to_grpc(
    model: Model, direct: Direct, ring: SharedRing
) -> None:
    """The model keeps nothing for it, also if its client never says another word."""
    model.door.send_back(7)
    until = time.monotonic() + 10
    while any(one.name == "cineflow-direct" for one in threading.enumerate()):
        assert time.monotonic() < until
        time.sleep(0.01)
    taker = Taker()
    send(direct, ring, "1")
    direct.lead(lambda: taker, "1", lambda: False, 10.0)
    assert taker.reasons == [""]
    assert direct.retire() == ["1"]
    assert not model.seen


def test_a_process_that_ends_is_a_reason(model: Model, direct: Direct, ring: SharedRing) -> None:
    taker = Taker()
    send(direct, ring, "1")
    model.door.end(7)
    direct.lead(lambda: taker, "1", lambda: False, 10.0)
    assert taker.came == []
    assert taker.reasons == ["its direct connection has ended"]


def test_the_end_comes_after_the_frames(model: Model, direct: Direct, ring: SharedRing) -> None:
    taker = Taker()
    thread = threading.Thread(target=direct.follow, args=(lambda: taker,))
    thread.start()
    send(direct, ring, "1", leads=False)
    ending = threading.Thread(target=direct.end, args=(30.0,))
    ending.start()
    ending.join(0.3)
    assert ending.is_alive(), "the end by the call would overtake the frame"
    model.may.release()
    ending.join(10)
    assert not ending.is_alive()
    until = time.monotonic() + 10
    while not model.ended and time.monotonic() < until:
        time.sleep(0.01)
    assert model.ended == [7]
    assert [one for one, _ in taker.came] == ["1"]
    direct.close()
    thread.join(10)
    assert taker.reasons == []


def test_a_question_that_the_end_overtakes(
    server: TritonServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is about a sequence that is no more, and says nothing about the stream."""
    frame = np.zeros((64, 80), np.uint8)
    with Client(server.url) as client:
        stream = client.stream("lucas_kanade", "shm")
        stream.push(frame)
        session = stream._resumer.session
        assert session.direct is not None
        end = session.direct.end

        def end_and_ask(wait_s: float) -> None:
            end(wait_s)
            time.sleep(0.3)
            session.keep_alive()

        monkeypatch.setattr(session.direct, "end", end_and_ask)
        stream.close()
        with pytest.raises(StreamClosed):
            stream.push(frame)
