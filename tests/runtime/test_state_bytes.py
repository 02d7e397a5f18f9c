"""A stream's state as bytes: they come over the wire, so nothing in them is trusted."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from cineflow.errors import SpecError
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.engine import Engine
from cineflow.runtime.state import StreamState
from cineflow.runtime.state_bytes import state_from_bytes, state_to_bytes
from cineflow.runtime.stream import Stream

_START = len(b"cineflow state 1") + 8


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load("lucas_kanade")


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return open_engine(bundle)


@pytest.fixture(scope="module")
def state(bundle: Bundle, engine: Engine, moving_frames: np.ndarray) -> StreamState:
    stream = Stream(engine, bundle.spec, spacing_mm=(0.5, 0.25))
    for k, frame in enumerate(moving_frames[:5]):
        stream.push(frame, time_ms=20.0 * k)
    kept = stream.state()
    assert kept is not None
    return kept


def same(one: object, other: object) -> bool:
    """Whether two states are the same, bit for bit."""
    return state_to_bytes(one) == state_to_bytes(other)  # type: ignore[arg-type]


def test_the_way_there_and_back(state: StreamState) -> None:
    back = state_from_bytes(state_to_bytes(state))
    assert same(back, state)
    assert back.feed.last.dtype == np.float32
    assert np.array_equal(back.feed.last, state.feed.last)
    assert back.track is not None
    assert state.track is not None
    assert back.track.intervals == state.track.intervals
    assert back.spacing_mm == (0.5, 0.25)


def test_whole_grey_levels_travel_in_8_bits_and_others_do_not(state: StreamState) -> None:
    """Also where only a late row has a fraction, and where values are out of 8 bits' range."""
    size = state.feed.last.size
    whole = len(state_to_bytes(state))
    for row, value in ((-1, 0.5), (0, 0.5), (0, -1.0), (0, 256.0), (-1, 300.0), (0, 1e30)):
        last = state.feed.last.copy()
        last[row, 0] = value
        data = state_to_bytes(replace(state, feed=replace(state.feed, last=last, last_grey=None)))
        assert len(data) - whole == pytest.approx(3 * size, abs=2)
        assert np.array_equal(state_from_bytes(data).feed.last, last)


def test_bytes_that_end_anywhere_are_refused(state: StreamState) -> None:
    data = state_to_bytes(state)
    for length in [*range(_START + 40), *range(_START + 40, len(data), 9973), len(data) - 1]:
        with pytest.raises(SpecError, match="the bytes of a stream's state"):
            state_from_bytes(data[:length])
    with pytest.raises(SpecError, match="1 bytes too many"):
        state_from_bytes(data + b"\0")


def with_header(data: bytes, change: object) -> bytes:
    """The bytes with a header that `change` was called with."""
    (length,) = struct.unpack("<Q", data[_START - 8 : _START])
    header = json.loads(data[_START : _START + length])
    header = change(header) or header  # type: ignore[operator]
    text = json.dumps(header).encode()
    return data[: _START - 8] + struct.pack("<Q", len(text)) + text + data[_START + length :]


CHANGES = {
    "an array of type": lambda h: h["arrays"][0].__setitem__(0, "|O"),
    "an array of shape": lambda h: h["arrays"][0].__setitem__(1, [-1, 4]),
    "bytes of arrays, which end within": lambda h: h["arrays"][0].__setitem__(1, [10**9, 10**9]),
    "no array 99": lambda h: h["state"]["feed"].__setitem__("last", 99),
    "no array None": lambda h: h["state"]["feed"].__setitem__("last", None),
    "no array True": lambda h: h["state"]["feed"].__setitem__("last", True),
    "state.index: 'a'": lambda h: h["state"].__setitem__("index", "a"),
    "state.index: True": lambda h: h["state"].__setitem__("index", True),
    "state.index: 1.5": lambda h: h["state"].__setitem__("index", 1.5),
    "state.ran: 1": lambda h: h["state"].__setitem__("ran", 1),
    "state.time_ms: nan": lambda h: h["state"].__setitem__("time_ms", float("nan")),
    "7 is not a valid Cause": lambda h: h["state"]["track"]["beat"].__setitem__("cause", 7),
    r"state: the fields .*'more'": lambda h: h["state"].__setitem__("more", 1),
    "state.track: the fields": lambda h: h["state"].__setitem__("track", {}),
    "state.feed: ": lambda h: h["state"].__setitem__("feed", [1]),
    "state.given: ": lambda h: h["state"].__setitem__("given", []),
    "KeyError": lambda h: {"state": h["state"]},
    "TypeError": lambda _: [1],
}


@pytest.mark.parametrize("reason", CHANGES)
def test_a_header_that_says_something_else_is_refused(state: StreamState, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        state_from_bytes(with_header(state_to_bytes(state), CHANGES[reason]))


@pytest.mark.parametrize("seed", range(20))
def test_bytes_that_were_changed_are_refused_or_are_a_state(
    bundle: Bundle, engine: Engine, state: StreamState, moving_frames: np.ndarray, seed: int
) -> None:
    """Never another error: neither in reading them, nor in the stream that would go on."""
    rng = np.random.default_rng(seed)
    data = np.frombuffer(bytearray(state_to_bytes(state)), np.uint8)
    for _ in range(20):
        changed = data.copy()
        reach = len(data) if rng.random() < 0.2 else 2500  # most of them in the header
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(reach)] = rng.integers(256)
        try:
            stream = Stream(engine, bundle.spec, state_from_bytes(changed.tobytes()))
        except SpecError:
            continue
        kept = stream.state()
        assert kept is not None
        if kept.index < 2**60 and (kept.time_ms or 0) < 1e5:
            stream.push(moving_frames[5], time_ms=None if kept.time_ms is None else 1e5)
