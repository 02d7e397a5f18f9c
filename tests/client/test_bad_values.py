"""Values of a wrong type are refused before anything is sent, and the stream goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cineflow.serving import TritonServer
from cineflow_client import CineflowClientError, Client, FrameRejected
from cineflow_client.frames import checked_arrays

FRAME = np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8)

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "index in words": ({"index": "x"}, "a whole frame index"),
    "index with a fraction": ({"index": 1.7}, "a whole frame index"),
    "index of more than 64 bits": ({"index": 2**70}, "from 0 to"),
    "index after which none can follow": ({"index": 2**63 - 1}, "from 0 to"),
    "index below zero": ({"index": -1}, "from 0 to"),
    "index of True": ({"index": True}, "a whole frame index"),
    "beat in words": ({"beat": "no"}, "True, False or None"),
    "beat of 1": ({"beat": 1}, "True, False or None"),
    "time in words": ({"time_ms": "soon"}, "a finite time_ms"),
    "time without an end": ({"time_ms": float("inf")}, "a finite time_ms"),
    "time that no float holds": ({"time_ms": 10**400}, "a finite time_ms"),
}


@pytest.fixture(scope="module")
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.url) as opened:
        yield opened


@pytest.mark.parametrize("transport", ["shm", "grpc"])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_first_frame_with_it_does_not_end_the_stream(
    client: Client, transport: Any, kind: str
) -> None:
    values, message = REFUSED[kind]
    with client.stream("lucas_kanade", transport, slots=2) as stream:
        for _ in range(3):  # more often than there are slots
            with pytest.raises(FrameRejected, match=message):
                stream.push(FRAME, **values)
        assert stream.push(FRAME, 3, beat=False, time_ms=20).current == 3


def test_whatever_fails_before_a_frame_is_sent_keeps_its_slot_and_its_start(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError("no request")

    with client.stream("lucas_kanade", slots=1) as stream:
        with monkeypatch.context() as patch:
            patch.setattr("cineflow_client.session.frame_request", fails)
            for _ in range(2):
                with pytest.raises(RuntimeError, match="no request"):
                    stream.push(FRAME)
        assert stream.push(FRAME).current == 0


@pytest.mark.parametrize("spacing", ["ab", ("a", "b"), (0.5,), (0.5, -1.0), 0.5])
def test_a_spacing_that_is_not_one(client: Client, spacing: Any) -> None:
    with pytest.raises(CineflowClientError, match="2 positive numbers"):
        client.stream("lucas_kanade", spacing_mm=spacing)


def test_arrays_of_another_byte_order_keep_their_values(client: Client) -> None:
    """DICOM and NIfTI make such arrays; their bytes as they are would be other numbers."""
    tensor = {"name": "x", "dtype": "float32", "shape": [2], "unit": "1"}
    given = np.array([1.0, 2.0], ">f4")
    checked = checked_arrays("model", [tensor], {"x": given}, {})["x"]
    np.testing.assert_array_equal(np.frombuffer(checked.tobytes(), np.float32), [1, 2])
    results = []
    for dtype in ("<f4", ">f4"):
        with client.stream("lucas_kanade") as stream:
            stream.push(FRAME.astype(dtype))
            results.append(stream.push(np.roll(FRAME, 1, axis=1).astype(dtype)).flow)
    np.testing.assert_array_equal(*results)
