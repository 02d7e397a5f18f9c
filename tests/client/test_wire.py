"""What a server writes into an answer becomes the client's own typed error, whole."""

from __future__ import annotations

import pytest

from cineflow.errors import EngineError, FrameError
from cineflow.serving.backend import error_text
from cineflow.serving.errors import StreamGoneError
from cineflow_client import (
    CineflowClientError,
    FrameRejected,
    ServerDied,
    ServerRefused,
    StreamExpired,
)
from cineflow_client.wire import error_from_message

AWKWARD = ("a frame; got it", "none. Start\na new one.", 'Say "µm": {"got": 1}; got more.')


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
    assert type(error_from_message(said, "model")) is ServerDied


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
