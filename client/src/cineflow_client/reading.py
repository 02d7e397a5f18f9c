"""The thread that hands the responses of a stream over, from one session after the other."""

from __future__ import annotations

import weakref
from typing import Protocol

import grpc

from cineflow_client.errors import ServerDied
from cineflow_client.session import Session
from cineflow_client.wire import Answer, answer_of


class Receiver(Protocol):
    """What takes the responses: a stream."""

    def deliver(self, answer: Answer, session: Session) -> None:
        """Take one answer."""

    def after(self, session: Session, reason: ServerDied) -> Session | None:
        """The next session after the call of one has ended; None where the stream ends with it."""


def read(stream_ref: weakref.ref[Receiver], session: Session | None) -> None:
    """Hand each response to its stream until that ends. It is not kept alive by this."""
    while session is not None:
        reason = _hand_over(stream_ref, session)
        stream = stream_ref()
        if stream is None:
            session.link.free_ring()
            return
        session = stream.after(session, reason)
        del stream


def _hand_over(stream_ref: weakref.ref[Receiver], session: Session) -> ServerDied:
    """Hand over the responses of a session until its call ends; returns why it did."""
    try:
        for response in session.link.responses:
            stream = stream_ref()
            if stream is None:
                break
            request_id = response.infer_response.id
            session.answered(request_id)
            starts = request_id == session.starter
            stream.deliver(answer_of(response, session.link.ring, starts=starts), session)
            del stream, response
        reason = "the server closed the stream"
    except grpc.RpcError as error:
        reason = f"{error.code().name}: {error.details()}"
    except Exception as error:  # also after a bug here, a caller must not wait for ever
        reason = f"{type(error).__name__}: {error}"
    return ServerDied(
        "a live connection to the server",
        reason,
        "Start the server again and open a new stream; displacement starts from a new reference "
        "frame.",
    )
