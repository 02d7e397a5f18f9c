"""The messages: what a request holds, and how an error of the server becomes the client's own."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import EngineError, FrameError
from cineflow.serving.errors import StreamGoneError, error_text
from cineflow_client import (
    CineflowClientError,
    FrameRejected,
    ServerRefused,
    ServerStopping,
    StreamExpired,
)
from cineflow_client.ring import SharedRing
from cineflow_client.wire import Step, error_from_message, frame_request

AWKWARD = ("a frame; got it", "none. Start\na new one.", 'Say "µm": {"got": 1}; got more.')


def test_a_request_points_at_the_slot_and_writes_nothing() -> None:
    ring = SharedRing(2, {"frame": 256}, lambda name, size: None)
    step = Step(np.full((8, 8), 7, np.uint8), None, None, None, slot=1, arrays={})
    request = frame_request("model", 1, "0", step, ["flow"], ring, start=True)
    (tensor,) = request.inputs
    assert tensor.parameters["shared_memory_region"].string_param == ring.name
    assert tensor.parameters["shared_memory_offset"].int64_param == ring.offset(1, "frame")
    assert list(request.raw_input_contents) == []
    assert not any(ring._memory[:])
    ring.close()


@pytest.mark.parametrize("prefix", ["", "[request id: 7] ", "in ensemble 'lucas_kanade', "])
@pytest.mark.parametrize(
    ("raised", "seen"),
    [(FrameError, FrameRejected), (EngineError, ServerRefused), (StreamGoneError, StreamExpired)],
)
def test_an_error_of_the_server_arrives_with_its_remedy(prefix: str, raised, seen) -> None:
    error = error_from_message(prefix + error_text(raised(*AWKWARD)), "model")
    assert type(error) is seen
    assert (error.wanted, error.got, error.remedy) == AWKWARD


def test_a_server_that_stops_ends_the_stream() -> None:
    said = "Server is stopping, scheduler for model has stopped accepting new inference requests"
    assert type(error_from_message(said, "model")) is ServerStopping


@pytest.mark.parametrize(
    "message",
    [
        "FrameError: wanted a frame; got none. Start a new one.",
        'FrameError: {"wanted": 3}',
        "FrameError: {not JSON}",
        "Failed to process the request(s) for model 'x', message: ValueError: oops",
        "",
    ],
)
def test_a_message_of_another_form_stays_readable(message: str) -> None:
    error = error_from_message(message, "model")
    assert isinstance(error, CineflowClientError)
    assert message in str(error)
    assert error.remedy
