"""Our own metrics of a served model, on Triton's port.

Each change of a metric is a message to the server's process (80 us), so a frame only counts in
memory, and a thread passes the sums on once a second. Triton's histograms take one value at a time;
ours are counters with the names and labels that Prometheus gives to histograms.
"""

from __future__ import annotations

import bisect
import itertools
import math
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from cineflow.served import ROUND_TRIP, Result

_LONGEST_US = 3_600_000_000

_FLUSH_S = 1.0
#: Upper ends of the buckets.
_SECONDS = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03333, 0.05, 0.1, 0.2, 0.5, 1.0, math.inf)
_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0, math.inf)

#: Name -> what it says. "histogram" ones have _bucket, _sum and _count.
HISTOGRAMS: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "cineflow_frame_seconds": ("Time of a frame, or of a batch of calls, in the model", _SECONDS),
    "cineflow_round_trip_seconds": ("Time of a frame from push to result, by its client", _SECONDS),
    "cineflow_quality": ("Quality of the motion of a frame, 0..1", _SHARES),
}
COUNTERS: Mapping[str, str] = {
    "cineflow_frames_total": "Frames and calls: computed, rejected, dropped (gaps between "
    "indices), late (after the budget that the stream declared)",
    "cineflow_streams_total": "Streams by event: started, resumed (of the started ones, after a "
    "loss), refused (no place), ended, gone (its client), expired (idle)",
}
GAUGES: Mapping[str, str] = {"cineflow_live_streams": "Streams that are live now"}

_Key = tuple[str, tuple[tuple[str, str], ...]]


class ModelMetrics:
    """The metrics of one model.

    Args:
        pb: Triton's module; None, or one without metrics, keeps none.
        model: The served name, a label of each metric.
        live: Gives the number of live streams.
    """

    def __init__(self, pb: Any, model: str, live: Callable[[], int]) -> None:
        self._model = model
        self._live = live
        self._lock = threading.Lock()
        self._sums: defaultdict[_Key, float] = defaultdict(float)
        self._seen = _nothing_seen()
        self._closed = threading.Event()
        self._families: dict[str, Any] = {}
        self._metrics: dict[_Key, Any] = {}
        family = getattr(pb, "MetricFamily", None)
        if family is None:  # Triton before 23.05
            return
        for name, says in COUNTERS.items():
            self._families[name] = family(name=name, description=says, kind=family.COUNTER)
        for name, (says, _) in HISTOGRAMS.items():
            for part in ("_bucket", "_sum", "_count"):
                self._families[name + part] = family(
                    name=name + part, description=says, kind=family.COUNTER
                )
        for name, says in GAUGES.items():
            self._families[name] = family(name=name, description=says, kind=family.GAUGE)
        self._start_at_zero()
        threading.Thread(target=self._flush_on, name="cineflow-metrics", daemon=True).start()

    def stream(self, event: str) -> None:
        """A stream started, ended, or was refused; see `StreamTable`."""
        self.count("cineflow_streams_total", event=event)

    def frame(self, took_s: float, parameters: Mapping[str, Any] = MappingProxyType({})) -> None:
        """A request of a stream, or a batch of calls, was handled.

        Args:
            took_s: Seconds that it took here.
            parameters: Those of the request. A client says with a frame how long its last one took.
        """
        took_us = parameters.get(ROUND_TRIP)
        if isinstance(took_us, int) and 0 < took_us < _LONGEST_US:
            self.observe("cineflow_round_trip_seconds", 1e-6 * took_us)
        self.observe("cineflow_frame_seconds", took_s)

    def computed(self, result: Result | None = None) -> None:
        """A frame was computed, with its result, or a call."""
        self.count("cineflow_frames_total", result="computed")
        if result is None:
            return
        if dropped := max(result.current - result.previous - 1, 0):
            self.count("cineflow_frames_total", dropped, result="dropped")
        if result.quality is not None:
            self.observe("cineflow_quality", result.quality)

    def late(self, frames: int) -> None:
        """Results came after the budget of their stream."""
        self.count("cineflow_frames_total", frames, result="late")

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        with self._lock:
            self._sums[self._key(name, labels)] += amount

    def observe(self, name: str, value: float) -> None:
        """Add a value to a histogram."""
        _, ends = HISTOGRAMS[name]
        with self._lock:
            counts, total = self._seen[name]
            counts[bisect.bisect_left(ends, value)] += 1
            self._seen[name] = counts, total + value

    def close(self) -> None:
        """Stop. Nothing more is passed on: a server that was killed would never take it."""
        self._closed.set()

    def flush(self) -> None:
        """Pass the sums on to the server."""
        with self._lock:
            sums, self._sums = self._sums, defaultdict(float)
            seen, self._seen = self._seen, _nothing_seen()
        for name, (counts, total) in seen.items():
            up_to = list(itertools.accumulate(counts))  # a bucket also counts what is below it
            for end, count in zip(HISTOGRAMS[name][1], up_to, strict=True):
                sums[self._key(f"{name}_bucket", {"le": _number(end)})] = count
            sums[self._key(f"{name}_sum", {})] = total
            sums[self._key(f"{name}_count", {})] = up_to[-1]
        for key, amount in sums.items():
            if amount:
                self._metric(key).increment(amount)
        self._metric(self._key("cineflow_live_streams", {})).set(self._live())

    def _flush_on(self) -> None:
        server = os.getppid()
        while not self._closed.wait(_FLUSH_S):
            if os.getppid() != server:  # it was killed, and would never reply
                return
            self.flush()

    def _start_at_zero(self) -> None:
        """Every series exists from the start: a rate cannot be read off one that has just come."""
        for result in ("computed", "rejected", "dropped", "late"):
            self._metric(self._key("cineflow_frames_total", {"result": result}))
        for event in ("started", "resumed", "refused", "ended", "gone", "expired"):
            self._metric(self._key("cineflow_streams_total", {"event": event}))
        for name, (_, ends) in HISTOGRAMS.items():
            for end in ends:
                self._metric(self._key(f"{name}_bucket", {"le": _number(end)}))
            self._metric(self._key(f"{name}_sum", {}))
            self._metric(self._key(f"{name}_count", {}))

    def _metric(self, key: _Key) -> Any:
        if key not in self._metrics:
            name, labels = key
            self._metrics[key] = self._families[name].Metric(labels=dict(labels))
        return self._metrics[key]

    def _key(self, name: str, labels: Mapping[str, str]) -> _Key:
        return name, tuple(sorted({"model": self._model, **labels}.items()))


def _nothing_seen() -> dict[str, tuple[list[int], float]]:
    """Values in each bucket alone, and their sum, by histogram."""
    return {name: ([0] * len(ends), 0.0) for name, (_, ends) in HISTOGRAMS.items()}


def _number(end: float) -> str:
    return "+Inf" if math.isinf(end) else f"{end:g}"
