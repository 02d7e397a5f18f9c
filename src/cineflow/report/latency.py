"""The latency of a paced stream, as the report reads it."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Latency(Protocol):
    """The figures of a stream. `cineflow_client.LatencySummary` is this type, and defines them.

    This room may not import the client, so it names the attributes that it reads.
    """

    @property
    def each_ms(self) -> np.ndarray: ...

    @property
    def frame_period_ms(self) -> float | None: ...

    @property
    def p50_ms(self) -> float: ...

    @property
    def p95_ms(self) -> float: ...

    @property
    def p99_ms(self) -> float: ...

    @property
    def max_ms(self) -> float: ...

    @property
    def missed_deadlines(self) -> int: ...
