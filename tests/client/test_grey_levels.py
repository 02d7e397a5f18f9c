"""Frames in a wrong scale or type are refused, in process and by the client, first and later."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from cineflow.errors import FrameError
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream
from cineflow.serving import TritonServer
from cineflow_client import Client, FrameRejected

Push = Callable[[np.ndarray], object]
REFUSED = (FrameError, FrameRejected)

PICTURE = np.random.default_rng(0).integers(1, 256, (64, 80)).astype(np.uint8)
SCALED = PICTURE / np.float32(255)

#: A frame, and what its refusal says; None where it is taken.
FIRST = {
    "u8": (PICTURE, None),
    "f32": (PICTURE.astype(np.float32), None),
    "f32, big-endian": (PICTURE.astype(">f4"), None),
    "f32, black": (np.zeros((64, 80), np.float32), None),
    "f32, one grey level": (np.float32(PICTURE > 99) + 1, None),
    "f32 in 0..1": (SCALED, r"highest value is 1: it looks scaled.*Multiply float frames by 255"),
    "f32, a mask": (np.float32(PICTURE > 99), "looks scaled to 0..1"),
    "f32 above 255": (PICTURE * np.float32(2), r"from 0 to 255; got values from 2 to 510.*Scale"),
    "f32 below 0": (PICTURE - np.float32(9), "got values from -8 to 246"),
    "f32, NaN": (np.where(SCALED > 0.9, np.nan, PICTURE).astype(np.float32), "finite grey levels"),
    "f32, infinite": (np.where(SCALED > 0.9, np.inf, 9).astype(np.float32), "finite grey levels"),
    "u16": (PICTURE.astype(np.uint16) * 257, r"uint16.*white level, then multiplied by 255"),
    "i16": (PICTURE.astype(np.int16), r"int16.*white level"),
    "f64 in 0..1": (SCALED.astype(np.float64), r"float64.*Convert it to float32 and scale it to 0"),
    "f16": (PICTURE.astype(np.float16), r"float16.*Convert it to float32"),
    "bool": (PICTURE > 99, r"bool.*Convert it to float32 and scale it to 0..255"),
}
#: A later frame may be dark: the scale was seen before.
LATER = FIRST | {"f32 in 0..1": (SCALED, None), "f32, a mask": (FIRST["f32, a mask"][0], None)}


@pytest.fixture(scope="module")
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


@pytest.fixture(params=["in process", "shm", "grpc"])
def push(request: pytest.FixtureRequest, client: Client) -> Iterator[Push]:
    """A fresh stream, in process or served."""
    if request.param == "in process":
        bundle = Bundle.load("lucas_kanade")
        yield Stream(open_engine(bundle), bundle.spec).push
        return
    with client.stream("lucas_kanade", request.param) as stream:
        yield stream.push


@pytest.mark.parametrize("kind", FIRST)
def test_a_first_frame(push: Push, kind: str) -> None:
    check(push, *FIRST[kind])
    push(PICTURE)  # the stream goes on


@pytest.mark.parametrize("kind", LATER)
def test_a_later_frame(push: Push, kind: str) -> None:
    push(PICTURE)
    check(push, *LATER[kind])
    push(PICTURE)


def test_black_frames_do_not_show_their_scale(push: Push) -> None:
    for _ in range(2):
        push(np.zeros((64, 80), np.float32))
    check(push, *FIRST["f32 in 0..1"])
    push(PICTURE.astype(np.float32))
    push(SCALED)


def check(push: Push, frame: np.ndarray, refusal: str | None) -> None:
    if refusal is None:
        push(frame)
        return
    with pytest.raises(REFUSED, match=refusal):
        push(frame)
