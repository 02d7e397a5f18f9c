"""Both ends of a direct connection, without a server around them."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from cineflow.runtime.feed import FeedState
from cineflow.runtime.state import StreamState
from cineflow.runtime.state_bytes import state_to_bytes
from cineflow.serving import TritonServer
from cineflow.serving.direct import DirectRequest, Door
from cineflow.serving.direct_replies import Respond
from cineflow_client import Client, StreamClosed
from cineflow_client.direct import Direct
from cineflow_client.ring import SharedRing
from cineflow_client.served import Messages, changed, packed
from cineflow_client.wire import Answer, Step

FRAME = np.arange(12, dtype=np.uint8).reshape(3, 4)
STEP = Step(FRAME, 3, None, 1.5, 0, {})


def state_of(side: int) -> StreamState:
    return StreamState("a model", 3, FeedState(last=np.full((side, side), 0.5, np.float32)))


class Model:
    """Gives the frame back, once it may."""

    def __init__(self) -> None:
        self.may = threading.Semaphore(0)
        self.more: dict[str, np.ndarray] = {}  # further outputs
        self.state: StreamState | None = None
        self.seen: list[Mapping[str, np.ndarray]] = []
        self.ended: list[int] = []
        self.door = Door(lambda sequence: sequence == 7, self._compute, self.ended.append)

    def _compute(self, request: DirectRequest, respond: Respond) -> None:
        names = ("frame", "frame_index", "beat", "time_ms")
        arrays = {name: array for name in names if (array := request.input(name)) is not None}
        self.seen.append({name: array.copy() for name, array in arrays.items()})
        self.may.acquire()
        made = {"same": arrays["frame"].astype(np.float32), "small": np.arange(2)} | self.more
        respond(made, self.state)


class Taker:
    """Keeps what comes, in its order."""

    def __init__(self) -> None:
        self.came: list[tuple[str, dict[str, np.ndarray]]] = []
        self.states: list[tuple[str, bytes]] = []
        self.reasons: list[str] = []

    def deliver(self, answer: Answer, session: Any) -> None:
        if answer.state is not None:
            self.states.append((answer.request_id, answer.state()))
            return
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


def test_large_outputs_come_in_the_message(model: Model, direct: Direct, ring: SharedRing) -> None:
    """Each array can be written to, and a small one does not keep the memory of a large one."""
    taker = Taker()
    more = {"state": np.arange(1_000_003) % 251, "half": np.arange(70_000, dtype=np.float16)}
    more = {"state": more["state"].astype(np.uint8), "half": more["half"].reshape(7, -1)}
    more |= {"none": np.zeros((0, 3)), "turned": np.arange(12.0).reshape(3, 4).T}
    model.more = more
    for count in range(1, 4):
        ring.put_frame(0, FRAME)
        direct.send(str(count), STEP, ["small", *more], {}, leads=True)
        model.may.release()
        direct.lead(lambda: taker, str(count), lambda n=count: len(taker.came) == n, 5.0)
    for _, arrays in taker.came:
        for name, wanted in (more | {"small": np.arange(2)}).items():
            assert arrays[name].dtype == wanted.dtype
            np.testing.assert_array_equal(arrays[name], wanted)
            arrays[name][...] = 1
        owners = {name: array.base is None for name, array in arrays.items()}
        assert owners == {"small": True, "state": False, "half": True, "none": True, "turned": True}


def test_a_state_comes_after_its_result(model: Model) -> None:
    """In the ring where it has room, and else in the message, as a second one at the same time."""
    largest = state_to_bytes(state_of(30))
    ring = SharedRing(2, {"frame": 48, "same": 48}, lambda name, size: None, len(largest))
    direct, taker = Direct(model.door.name, "the session", 7, ring), Taker()
    inside: list[bool] = []
    read = direct._state

    def noted(header: dict[str, Any], payload: Any) -> Any:
        inside.append(header["state"][1])
        return read(header, payload)

    direct._state = noted  # type: ignore[method-assign]
    try:
        for count, side in enumerate((30, 20, 31)):
            model.state = state_of(side)
            for slot in range(2):
                ring.put_frame(slot, FRAME + slot)
                step = changed(STEP, frame=FRAME + slot, slot=slot)
                direct.send(f"{count}-{slot}", step, ["small"], {}, leads=True, asks_state=True)
            for slot in range(2):
                model.may.release()
                number = 2 * count + slot
                direct.lead(
                    lambda: taker, f"{count}-{slot}", lambda n=number: len(taker.came) > n, 5.0
                )
                assert len(taker.states) == number  # the result did not wait for it
            send(direct, ring, f"{count}", leads=False)
            model.may.release()
            direct.lead(lambda: taker, f"{count}", lambda: not direct._unanswered, 5.0)
            del taker.came[-1]
            wanted = state_to_bytes(model.state)
            assert taker.states[-2:] == [(f"{count}-0", wanted), (f"{count}-1", wanted)]
            assert inside[-2:] == [side <= 30, False]
    finally:
        direct.close()
        direct.release()
        ring.close()


@pytest.mark.parametrize(
    "said", [[4801, True], [-1, True], [9, False], [7, False], ["1", True], [1], None]
)
def test_a_state_that_is_not_whole_loses_the_connection(said: Any) -> None:
    taker = Taker()
    ring = SharedRing(2, {"frame": 48}, lambda name, size: None, 4800)
    name = f"cineflow-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen(1)
        said_first = packed({"ready": True}) + packed({"id": "1", "state": said}, 8) + bytes(8)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)  # else the client may find it closed
                connection.sendall(said_first)

        server = threading.Thread(target=serve)
        server.start()
        direct = Direct(name, "the session", 7, ring)
        server.join()
    direct.send("1", STEP, ["same"], {}, leads=True, asks_state=True)
    direct.lead(lambda: taker, "1", lambda: False, 5.0)
    assert (len(taker.reasons), taker.states, direct.ended) == (1, [], True)
    direct.release()
    ring.close()


def test_a_large_payload_may_pause(ring: SharedRing) -> None:
    """Whoever waits for it gives up in time, and the next one reads the rest."""
    here, there = socket.socketpair()
    with here, there:
        messages = Messages(here)
        array = np.arange(300_000, dtype=np.uint8)
        whole = packed({"id": "1"}, array.nbytes) + array.tobytes() + packed({"id": "2"})
        for start, end in ((0, 5), (5, 30), (30, 70_000), (70_000, 200_000)):
            there.sendall(whole[start:end])
            assert messages.next(0.0) is None
            assert messages.next(0.01) is None
        there.sendall(whole[200_000:])
        header, payload = messages.next(5.0) or ({}, b"")
        assert header == {"id": "1"}
        np.testing.assert_array_equal(np.frombuffer(payload, np.uint8), array)
        assert messages.next(5.0) == ({"id": "2"}, b"")
        there.sendall(whole[:100_000])
        there.close()
        with pytest.raises(EOFError):
            messages.next(5.0)


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


def test_a_state_replaces_the_frames_before_it(server: TritonServer) -> None:
    """It comes after its result, when the next frame has already left."""
    frames = np.random.default_rng(0).integers(0, 256, (50, 64, 80)).astype(np.uint8)
    with Client(server.url) as client, client.stream("lucas_kanade", "shm") as stream:
        kept = []
        for frame in frames:
            stream.push(frame)
            kept.append(len(stream._resumer._history.to_send_again()))
        assert stream.direct
        assert kept[:17] == [*range(1, 17), 1]
        assert max(kept) == 16
