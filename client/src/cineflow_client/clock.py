"""The clock of the server, as far as the frames of a session tell."""

from __future__ import annotations

from cineflow_client.served import Times, changed

#: Two monotonic clocks run apart by this at most, seconds in a second: what NTP may correct.
_DRIFT = 1e-3


class ServerClock:
    """Bounds of the server's clock less the client's.

    A frame is sent before it is computed, and received after that. So each one bounds the offset
    from both sides, and the fastest ones bound it best. Older bounds grow wider, because clocks
    drift. On one machine the offset is within those bounds as well, and it is 0.
    """

    def __init__(self) -> None:
        self._low, self._high = float("-inf"), float("inf")
        self._at = 0.0

    def placed(
        self, server: Times, captured_ms: float | None, sent_s: float, received_s: float
    ) -> Times:
        """The times of one frame.

        Args:
            server: What the server said of it.
            captured_ms: As the application gave it.
            sent_s: When it was handed over, on the client's clock; `received_s` likewise.
        """
        apart_s = _DRIFT * max(received_s - self._at, 0.0)
        low, high = server.computed_s - received_s, server.started_s - sent_s
        self._low, self._high = max(self._low - apart_s, low), min(self._high + apart_s, high)
        if self._low > self._high:  # a clock was set, or the server is another one
            self._low, self._high = low, high
        self._at = received_s
        return changed(
            server,
            captured_ms=captured_ms,
            sent_s=sent_s,
            received_s=received_s,
            offset_s=0.5 * (self._low + self._high),
            offset_error_s=0.5 * (self._high - self._low),
        )
