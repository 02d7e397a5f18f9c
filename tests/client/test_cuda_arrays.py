"""Frames on a card: a library with the driver's interface stands for it.

Only the library can read the memory of that card. Work on a stream is done when somebody waits for
the stream. So a copy that did not wait for its producer, or that nobody waited for, shows in the
values.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cineflow_client.cuda_driver
from benchmarks.gpu import arrays
from cineflow.serving import TritonServer
from cineflow_client import CardUnavailable, Client, FrameRejected
from cineflow_client.card_array import CardArray
from cineflow_client.cuda_arrays import array_of
from cineflow_client.frames import checked_arrays
from cineflow_client.ring import SharedRing
from cineflow_client.session import Session
from tests.client.test_policies import Stopped
from tests.stand_ins.cuda_driver import STREAM, Card, InterfaceArray, TorchLike, build

ROOT = Path(__file__).resolve().parents[2]
IMAGE = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = build(tmp_path_factory.mktemp("cuda"))
    if built is None:
        pytest.skip("no C compiler")
    return built


@pytest.fixture
def card(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    monkeypatch.setattr(cineflow_client.cuda_driver, "LIBRARY", str(library))
    monkeypatch.setattr(cineflow_client.cuda_driver, "_driver", None)
    made = Card(library)
    yield made
    assert made.contexts() == 0
    made.free()


def read(value: Any) -> np.ndarray:
    array = array_of(value)
    assert isinstance(array, CardArray)
    return array.copy()


@pytest.mark.parametrize("kind", [0, 1, 3])
@pytest.mark.parametrize("gap", [0, 5])
@pytest.mark.parametrize("dtype", ["u1", "f4", "i8"])
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (1, 4), (3, 1), (2, 1, 3, 4)])
def test_an_array_on_a_card_is_read(
    card: Card, shape: tuple[int, ...], dtype: str, gap: int, kind: int
) -> None:
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    np.testing.assert_array_equal(read(card.array(values, kind=kind, gap=gap)), values)
    assert card.number("waited_for").value == STREAM
    assert card.number("copied_bytes").value == values.nbytes
    if not gap:
        assert card.number("copies").value == 1
    assert card.number("retained").value == (kind == 1)  # only for memory of no context


def test_an_array_with_slices_apart_is_read(card: Card) -> None:
    volume = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    whole = card.array(volume).__cuda_array_interface__
    backwards = {"shape": (2, 2, 3), "strides": (-12, 3, 1), "data": (whole["data"][0] + 18, False)}
    np.testing.assert_array_equal(read(InterfaceArray(whole | backwards)), volume[::-2])


def test_who_does_not_name_a_stream(card: Card) -> None:
    """Before version 3 nobody says what to wait for; from there on None says that nothing is."""
    np.testing.assert_array_equal(read(card.array(IMAGE, version=2, stream=None)), IMAGE)
    assert not read(card.array(IMAGE, stream=None)).any()


def test_dlpack_orders_the_work_of_its_producer(card: Card) -> None:
    image = TorchLike(card, IMAGE.astype(np.float32))
    np.testing.assert_array_equal(read(image), IMAGE)
    assert card.number("waited_for").value == 1
    offset = TorchLike(card, IMAGE, byte_offset=4, shape=(np.ctypeslib.ctypes.c_int64 * 2)(2, 4))
    np.testing.assert_array_equal(read(offset), IMAGE[1:])
    gone = weakref.ref(image)
    del image
    gc.collect()
    assert gone() is None


class OnHost:
    """As torch has it for a tensor in host memory."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    @property
    def __cuda_array_interface__(self) -> Any:
        raise AttributeError("not on a card")

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return IMAGE


@pytest.mark.parametrize("value", [IMAGE, IMAGE.tolist(), OnHost(), np.ma.masked_array(IMAGE)])
def test_what_is_in_host_memory_needs_no_driver(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cineflow_client.cuda_driver, "driver", None)
    found = array_of(value)
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, IMAGE)


def interface(**said: Any) -> Callable[[Card], Any]:
    return lambda card: card.array(IMAGE, **said)


class Refuses:
    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    @property
    def __cuda_array_interface__(self) -> Any:
        raise RuntimeError("it needs a gradient")

    def __dlpack__(self, *, stream: int) -> Any:
        raise BufferError("use tensor.detach()")


class Other(Refuses):
    def __dlpack__(self, *, stream: int) -> Any:
        return object()


class Metal(Other):
    def __dlpack_device__(self) -> tuple[int, int]:
        return 8, 0


BAD: dict[str, tuple[Callable[[Card], Any], str]] = {
    "null": (interface(data=(0, False)), "null pointer"),
    "null by DLPack": (lambda card: TorchLike(card, IMAGE, data=None), "null pointer"),
    "no dict": (interface(shape=IMAGE), "describes itself"),
    "not a dict at all": (lambda card: _with_interface(7), "describes itself"),
    "None": (lambda card: _with_interface({"version": None, "shape": ()}), "describes itself"),
    "no shape": (interface(shape=None), "describes itself"),
    "floats": (interface(shape=(3.0, 4.0)), "describes itself"),
    "negative": (interface(shape=(-3, 4)), "sizes"),
    "many axes": (interface(shape=(1,) * 33), "sizes"),
    "no type": (interface(typestr="what"), "describes itself"),
    "objects": (interface(typestr="|O"), "byte order"),
    "bytes turned": (interface(typestr=">f4"), "byte order"),
    "mask": (interface(mask=1), "mask"),
    "stream 0": (interface(stream=0), "stream that is not 0"),
    "a stream of words": (interface(stream="a"), "describes itself"),
    "transposed": (interface(shape=(4, 3), strides=(1, 4)), "side by side"),
    "every second pixel": (interface(shape=(3, 2), strides=(4, 2)), "side by side"),
    "rows that overlap": (interface(strides=(2, 1)), "side by side"),
    "strides of another rank": (interface(strides=(1,)), "2 axes with 1"),
    "beyond its memory": (interface(shape=(3, 5)), "does not know"),
    "beyond all memory": (interface(shape=(1 << 40, 1 << 40)), "shape or its strides"),
    "before its memory": (interface(shape=(2, 3, 4), strides=(-12, 4, 1)), "does not know"),
    "host memory": (lambda card: card.array(IMAGE, kind=2), "host memory"),
    "memory that CUDA never saw": (interface(data=(IMAGE.ctypes.data, False)), "does not know"),
    "needs a gradient": (lambda card: Refuses(), "detach"),
    "no capsule": (lambda card: Other(), "describes itself"),
    "another kind of card": (lambda card: Metal(), "another kind"),
    "bfloat16": (lambda card: TorchLike(card, IMAGE, code=4, bits=16), "type that NumPy has"),
    "vectors": (lambda card: TorchLike(card, IMAGE, lanes=4), "type that NumPy has"),
    "no rank": (lambda card: TorchLike(card, IMAGE, ndim=-1), "-1 axes"),
}


def _with_interface(said: Any) -> InterfaceArray:
    return InterfaceArray(said)


@pytest.mark.parametrize("name", BAD)
def test_an_array_that_cannot_be_read_is_refused(card: Card, name: str) -> None:
    make, words = BAD[name]
    with pytest.raises(FrameRejected, match=words) as refused:
        read(make(card))
    assert refused.value.remedy
    assert card.number("copies").value == 0


def test_a_card_that_does_not_work(card: Card) -> None:
    with pytest.raises(CardUnavailable, match="context on card 1"):
        read(card.array(IMAGE, kind=4))
    for status in ("wait_status", "copy_status"):
        card.number(status).value = 700
        with pytest.raises(CardUnavailable, match="ILLEGAL_ADDRESS"):
            read(card.array(IMAGE))
        card.number(status).value = 0
        np.testing.assert_array_equal(read(card.array(IMAGE)), IMAGE)


def test_an_array_on_two_cards(card: Card) -> None:
    ends = [card.allocate(12), card.allocate(12, kind=4)]
    stride = max(ends) - min(ends)
    with pytest.raises(FrameRejected, match="begins on card"):
        read(card.array(IMAGE, shape=(2, 4), strides=(stride, 1), data=(min(ends), False)))


def test_no_driver(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cineflow_client.cuda_driver, "LIBRARY", "libno-such-driver.so.1")
    with pytest.raises(CardUnavailable, match="no-such-driver"):
        read(card.array(IMAGE))


def test_no_card(card: Card) -> None:
    card.number("init_status").value = 100
    with pytest.raises(CardUnavailable, match="CUDA_ERROR_NO_DEVICE"):
        read(card.array(IMAGE))


FORKS = """
import os, sys
import cineflow_client.cuda_driver as cuda
from tests.client.test_cuda_arrays import IMAGE, read
from tests.stand_ins.cuda_driver import Card
cuda.LIBRARY = sys.argv[1]
image = Card(sys.argv[1]).array(IMAGE)
print(read(image).sum(), flush=True)
if os.fork() == 0:
    try:
        read(image)
    except Exception as error:
        print(type(error).__name__, error.got.replace(str(os.getppid()), "its parent"), flush=True)
    os._exit(0)
os.wait()
"""


def test_a_fork_of_a_process_that_used_cuda(library: Path) -> None:
    command = [sys.executable, "-c", FORKS, str(library)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    total, error = done.stdout.splitlines()
    assert int(total) == IMAGE.sum()
    assert error.startswith("CardUnavailable process ")
    assert error.endswith("a fork of process its parent, which used CUDA before")


def test_a_ring_whose_frame_was_refused_can_be_closed(card: Card) -> None:
    """The error is kept, and leads nobody to memory that is no longer mapped."""
    ring = SharedRing(1, {"frame": 12}, lambda name, size: None)
    array = array_of(card.array(IMAGE))
    card.number("copy_status").value = 700
    with pytest.raises(CardUnavailable) as kept:
        ring.put_frame(0, array)
    ring.close()
    trace, seen = kept.value.__traceback__, 0
    while trace is not None:
        seen += 1
        found = trace.tb_frame.f_locals.values()
        assert not any(isinstance(one, np.ndarray) for one in found)
        trace = trace.tb_next
    assert seen


def test_further_inputs_may_be_on_a_card(card: Card) -> None:
    inputs = [
        {"name": "cines", "shape": [2, 3, 4], "dtype": "float32", "unit": "grey level"},
        {"name": "points", "shape": [2, 2], "dtype": "float32", "unit": "px"},
    ]
    cines = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    points = cines[0, :2, :2]
    given = {"cines": card.array(cines, gap=4), "points": TorchLike(card, points)}
    got = checked_arrays("model", inputs, given, {})
    np.testing.assert_array_equal(got["cines"], cines)
    np.testing.assert_array_equal(got["points"], points)
    before = card.number("copies").value
    for name, value, words in (
        ("points", card.array(points.astype(np.float64)), "float64"),
        ("points", card.array(cines), r"\[2, 3, 4\]"),
    ):
        with pytest.raises(FrameRejected, match=words):
            checked_arrays("model", inputs[1:], {name: value}, {})
    assert card.number("copies").value == before
    with pytest.raises(FrameRejected, match="finite values"):
        checked_arrays(
            "model", inputs[1:], {"points": card.array(np.full_like(points, np.nan))}, {}
        )


def test_the_check_for_a_real_card(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """benchmarks/gpu_check.sh runs it with CuPy and torch."""
    monkeypatch.setattr(arrays, "REPEATS", 2)
    library = arrays.Library(
        "stand-in", contextlib.nullcontext, lambda values, gap, _: card.array(values, gap=gap)
    )
    assert len(arrays.measure(library)) == 8
    deaf = dataclasses.replace(library, make=lambda values, gap, _: card.array(values, stream=None))
    with pytest.raises(AssertionError, match="Mismatched"):
        arrays.measure(deaf)


# -- the real server -------------------------------------------------------------------------------


@pytest.fixture
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("transport", ["shm", "grpc"])
@pytest.mark.parametrize("resume_s", [30.0, 0.0])
def test_frames_on_a_card_give_the_same_results(
    client: Client,
    card: Card,
    moving_frames: np.ndarray,
    transport: Any,
    dtype: Any,
    resume_s: float,
) -> None:
    frames = moving_frames[:5].astype(dtype)
    with client.stream("lucas_kanade") as stream:
        wanted = [stream.push(frame) for frame in frames]
    makers: list[Callable[[np.ndarray], Any]] = [
        card.array,
        lambda frame: card.array(frame, gap=96),
        lambda frame: TorchLike(card, frame),
    ]
    with client.stream("lucas_kanade", transport, resume_s=resume_s) as stream:
        for count, frame in enumerate(frames):
            image = makers[count % 3](frame)
            alive = weakref.ref(image)
            sent = stream.submit(image)
            del image
            gc.collect()
            assert alive() is None  # its memory is the producer's again
            got = sent.result()
            for name in ("flow", "displacement"):
                np.testing.assert_array_equal(getattr(got, name), getattr(wanted[count], name))
        assert stream.transport == transport
        assert stream.direct == (transport == "shm")
    assert card.number("copied_bytes").value == frames.nbytes  # each once


def test_a_padded_frame_on_a_card(client: Client, card: Card, moving_frames: np.ndarray) -> None:
    frames = np.ascontiguousarray(moving_frames[:4, :120, :150])
    with client.stream("lucas_kanade") as stream:
        wanted = [stream.push(frame).flow for frame in frames]
    with client.stream("lucas_kanade") as stream:
        for frame, flow in zip(frames, wanted, strict=True):
            got = stream.push(card.array(frame)).flow
            assert (got is None) == (flow is None)
            if got is not None and flow is not None:
                np.testing.assert_array_equal(got, flow)


def test_a_refused_frame_on_a_card_leaves_the_stream_as_it_was(
    client: Client, card: Card, moving_frames: np.ndarray
) -> None:
    frames = moving_frames[:8].astype(np.float32)
    bad = frames[0].copy()
    bad[5, 7] = np.nan
    with client.stream("lucas_kanade", slots=1) as stream:
        with pytest.raises(FrameRejected, match="looks scaled"):
            stream.push(card.array(frames[0] / 255))
        stream.push(card.array(np.zeros_like(bad)))  # a black frame does not say how it is scaled
        assert stream._intake._dark
        with pytest.raises(FrameRejected, match="looks scaled"):
            stream.push(card.array(frames[0] / 255))
        for count, frame in enumerate(frames):
            assert stream.push(card.array(frame)).current == count + 1
            with pytest.raises(FrameRejected, match="x 7, y 5"):
                stream.push(card.array(bad))
            with pytest.raises(FrameRejected, match="uint8 or float32"):
                stream.push(card.array(frame.astype(np.float64)))
            with pytest.raises(FrameRejected, match="as the stream's frames before"):
                stream.push(card.array(frame[:64]))
            card.number("copy_status").value = 700
            with pytest.raises(CardUnavailable, match="ILLEGAL_ADDRESS"):
                stream.push(card.array(frame))
            card.number("copy_status").value = 0
        assert not stream._intake._dark
        assert stream.direct


def test_a_refused_frame_is_not_under_way(
    client: Client, card: Card, moving_frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that goes by the call keeps no later one from going directly."""
    monkeypatch.setattr(Session, "open_direct", lambda self, name: False)
    with client.stream("lucas_kanade") as stream:
        stream.push(card.array(moving_frames[0]))
        card.number("copy_status").value = 700
        with pytest.raises(CardUnavailable):
            stream.push(card.array(moving_frames[1]))
        assert stream._resumer.session._by_call == 0


def test_a_ring_that_is_given_up_meanwhile(
    client: Client, card: Card, moving_frames: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sent again of a frame is the frame, and not what its slot has of an earlier one."""
    send = Session.request

    def request(self: Session, *arguments: Any) -> Any:
        if self.started:
            self.give_up_ring("a test")
        return send(self, *arguments)

    monkeypatch.setattr(Session, "open_direct", lambda self, name: False)
    monkeypatch.setattr(Session, "request", request)
    with client.stream("lucas_kanade", slots=1) as stream:
        for frame in moving_frames[:2]:
            stream.push(card.array(frame))
        assert stream.transport == "grpc"
        kept = [sent.step.frame for sent in stream._resumer._history.to_send_again()]
        np.testing.assert_array_equal(kept, moving_frames[:2])


def test_a_frame_on_a_card_goes_by_the_call_after_all(
    client: Client, server: TritonServer, card: Card, moving_frames: np.ndarray
) -> None:
    """Nothing keeps it but its slot: the card's memory was given back."""
    with client.stream("lucas_kanade", resume_s=0) as stream:
        for frame in moving_frames[:2]:
            stream.push(card.array(frame))
        assert stream.direct
        session = stream._resumer.session
        with Stopped(server):
            sent = stream.submit(card.array(moving_frames[2]))
            session.give_up_ring("a test")
            stream._delivery.direct_ended(session, "")
        assert sent.result(5).current >= 2


def test_frames_on_a_card_through_every_face(
    client: Client, server: TritonServer, card: Card, moving_frames: np.ndarray
) -> None:
    frames = moving_frames[:4]

    async def follow(stream: Any) -> list[int]:
        return [(await stream.submit(card.array(frame))).current for frame in frames]

    with client.stream("lucas_kanade") as stream:
        assert asyncio.run(follow(stream)) == [0, 1, 2, 3]
    with client.stream("lucas_kanade") as stream:
        results = stream.track(card.array(frame) for frame in frames)
        assert [result.current for result in results] == [0, 1, 2, 3]
    with client.stream("lucas_kanade", policy="deadline", deadline_ms=9e4, slots=1) as stream:
        stream.push(card.array(frames[0]))
        with Stopped(server):
            waiting = [stream.submit(card.array(frame)) for frame in frames[1:]]
        assert [one.result().current for one in waiting] == [1, 2, 3]


@pytest.mark.parametrize("transport", ["shm", pytest.param("grpc", marks=pytest.mark.slow)])
def test_frames_on_a_card_survive_the_loss_of_their_stream(
    server: TritonServer, card: Card, moving_frames: np.ndarray, transport: Any
) -> None:
    """They are sent again from copies: what was on the card is overwritten by then."""
    frames = np.concatenate([moving_frames, moving_frames[::-1]])
    with Client(server.url) as client, client.stream("lucas_kanade") as stream:
        wanted = [stream.push(frame).displacement for frame in frames]
    with Client(server.url) as client, client.stream("lucas_kanade", transport) as stream:
        for count, frame in enumerate(frames):
            image = card.array(frame)
            got = stream.push(image).displacement
            np.testing.assert_array_equal(got, wanted[count])
            address = image.__cuda_array_interface__["data"][0]
            card.queue(address, np.zeros_like(frame))
            if count in (5, 20):
                stream._resumer.session.link.hang_up()
        assert stream.resumed == 2
