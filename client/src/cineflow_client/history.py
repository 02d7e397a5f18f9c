"""History: what a stream sends again when it is resumed."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cineflow_client.errors import CineflowClientError
from cineflow_client.served import Result
from cineflow_client.wire import Step

#: Frames from one state to the next. A state is as large as a dozen frames, so it does not come
#: with each; and the frames since the last one are kept, and are sent again.
STATE_EVERY = 16

#: Sessions that are lost with a frame until it is not sent again. One that is lost sooner than
#: `_APART_S` after the last one found the same server, while that was ending.
MOST_LOSSES = 2
_APART_S = 1.0


@dataclass
class Sent:
    """One frame that the last known state does not contain.

    Attributes:
        request_id: Of its request.
        step: What was sent; its frame is a copy.
        asked: Whether a state comes with its result, or after it.
        answered: Whether its result has come.
        losses: How many sessions were lost while the server had this frame to compute.
        lost_at: When the last of them was (`time.monotonic`).
    """

    request_id: str
    step: Step
    asked: bool
    answered: bool = False
    losses: int = 0
    lost_at: float = float("-inf")


class History:
    """The last state that the server sent, and every frame since.

    Args:
        state: The state that the stream begins with; None for a new one.
    """

    def __init__(self, state: bytes | None) -> None:
        self.state = state
        self._sent: dict[str, Sent] = {}  # in the order of sending
        self._since = 0

    def add(self, request_id: str, step: Step) -> bool:
        """Keep a frame that is about to be sent; returns whether to ask for the state with it."""
        self._since += 1
        asked = self._since >= STATE_EVERY
        if asked:
            self._since = 0
        self._sent[request_id] = Sent(request_id, step, asked)
        return asked

    def keep(self, request_id: str, step: Step) -> None:
        """Note what is sent again of a frame. One whose state has come already needs nothing."""
        sent = self._sent.get(request_id)
        if sent is not None:
            sent.step = step

    def step(self, request_id: str) -> Step | None:
        """What is sent again of a frame; None where nothing is."""
        sent = self._sent.get(request_id)
        return None if sent is None else sent.step

    def asks(self, request_id: str) -> bool:
        """Whether the state is asked for with a frame."""
        sent = self._sent.get(request_id)
        return sent is not None and sent.asked

    def settle(
        self, request_id: str, result: Result | None, error: CineflowClientError | None
    ) -> None:
        """Note the result of a frame, or that it was refused: it then changed nothing."""
        sent = self._sent.get(request_id)
        if sent is None:
            return
        sent.answered = True
        if error is not None:
            del self._sent[request_id]
            if sent.asked:
                self._since = STATE_EVERY
        elif result is not None and sent.asked and result.state is not None:
            self.keep_state(request_id, result.state)

    def keep_state(self, request_id: str, state: bytes) -> None:
        """Note the state after a frame. That one and those before need not be sent again."""
        if request_id not in self._sent:
            return
        self.state = state
        for older in list(self._sent):
            del self._sent[older]
            if older == request_id:
                break

    def leave_out_what_kills(self) -> str | None:
        """Note that a session was lost. Returns the request of a frame that is not sent again.

        It is the first one without a result, which the server was computing, if it has been lost
        with two sessions: a frame that takes the server down would do so for ever.
        """
        first = next((sent for sent in self._sent.values() if not sent.answered), None)
        if first is None:
            return None
        now = time.monotonic()
        if now - first.lost_at >= _APART_S:
            first.losses += 1
            first.lost_at = now
        if first.losses < MOST_LOSSES:
            return None
        del self._sent[first.request_id]
        if first.asked:
            self._since = STATE_EVERY
        return first.request_id

    def to_send_again(self) -> list[Sent]:
        """The frames that the state does not contain, in their order."""
        return list(self._sent.values())
