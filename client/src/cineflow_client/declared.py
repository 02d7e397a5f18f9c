"""What a stream declares at its start: its rate, its budget, and the trace that it belongs to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cineflow_client.errors import CineflowClientError
from cineflow_client.served import BUDGET, PERIOD, TRACEPARENT

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_MOST_FPS, _LONGEST_BUDGET_MS = 10_000.0, 3_600_000.0


@dataclass(frozen=True)
class Declared:
    """What goes with the first frame of a stream, for the server to know.

    Attributes:
        rate: Frames per second that will come; None: nothing is declared.
        budget_ms: Time from `push` or `submit` to the result that a frame may take.
        traceparent: The trace that the stream belongs to, as W3C writes it; "" for none.

    Raises:
        CineflowClientError: One of `rate` and `budget_ms` without the other, a value that is not a
            positive number, or another form of `traceparent`.
    """

    rate: float | None = None
    budget_ms: float | None = None
    traceparent: str = ""

    def __post_init__(self) -> None:
        if (self.rate is None) != (self.budget_ms is None):
            raise CineflowClientError(
                "a rate with a budget_ms, or neither",
                f"rate={self.rate!r}, budget_ms={self.budget_ms!r}",
                "A scanner at 30 frames/s that shows each result before the next frame has "
                "rate=30, budget_ms=33.",
            )
        for name, value, most in (
            ("rate", self.rate, _MOST_FPS),
            ("budget_ms", self.budget_ms, _LONGEST_BUDGET_MS),
        ):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and math.isfinite(value) and 0 < value <= most):
                raise CineflowClientError(f"a {name} above 0 and up to {most:g}", repr(value))
        if self.traceparent and not _TRACEPARENT.fullmatch(self.traceparent):
            raise CineflowClientError(
                "a traceparent as W3C Trace Context writes it (00-<32 digits>-<16 digits>-01)",
                repr(self.traceparent),
                "OpenTelemetry's TraceContextTextMapPropagator writes it.",
            )

    @property
    def parameters(self) -> Mapping[str, int | str]:
        """The parameters of the first request."""
        found: dict[str, int | str] = {}
        if self.rate is not None and self.budget_ms is not None:
            found[PERIOD] = max(1, round(1e6 / self.rate))
            found[BUDGET] = max(1, round(1e3 * self.budget_ms))
        if self.traceparent:
            found[TRACEPARENT] = self.traceparent
        return found

    def late(self, latency_ms: float) -> bool:
        """Whether a result came after its budget."""
        return self.budget_ms is not None and latency_ms > self.budget_ms
