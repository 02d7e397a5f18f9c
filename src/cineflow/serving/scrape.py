"""Reading a server's metrics: values, and quantiles of its histograms."""

from __future__ import annotations

import math
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

from cineflow.errors import ServerError

_LINE = re.compile(r"(\w+)(?:\{([^}]*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Scrape:
    """The metrics of one moment.

    Attributes:
        at_s: When they were read, s.
        values: Each value by its name and its labels, sorted.
    """

    at_s: float
    values: Mapping[str, Mapping[Labels, float]] = field(repr=False)

    @classmethod
    def of(cls, text: str, at_s: float) -> Scrape:
        """The metrics of a page in Prometheus' form."""
        values: dict[str, dict[Labels, float]] = {}
        for line in text.splitlines():
            if found := _LINE.fullmatch(line):
                name, labels, value = found.groups()
                key = tuple(sorted(_LABEL.findall(labels or "")))
                values.setdefault(name, {})[key] = float(value)
        return cls(at_s, values)

    def models(self) -> list[str]:
        """The served names that have streams or calls."""
        found = {dict(one).get("model", "") for one in self.values.get("cineflow_live_streams", {})}
        return sorted(found - {""})

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over everything that has these labels."""
        wanted = set(labels.items())
        each = self.values.get(name, {})
        return sum(value for key, value in each.items() if wanted <= set(key))

    def quantile(self, name: str, share: float, before: Scrape | None, **labels: str) -> float:
        """A quantile of a histogram, interpolated within its bucket as Prometheus does.

        Args:
            name: Of the histogram, without `_bucket`.
            share: Which one, 0..1.
            before: Counts what came after it; None: everything.
            labels: Of the histogram.

        Returns:
            NaN without any value; the last finite end for what is above it.
        """
        wanted = set(labels.items())
        ends: dict[float, float] = {}
        for key, value in self.values.get(f"{name}_bucket", {}).items():
            if wanted <= set(key):
                old = 0.0 if before is None else before.values.get(f"{name}_bucket", {}).get(key, 0)
                ends[float(dict(key)["le"].replace("+Inf", "inf"))] = max(value - old, 0.0)
        ordered = sorted(ends.items())
        if not ordered or not ordered[-1][1]:
            return math.nan
        rank = share * ordered[-1][1]
        low, below = 0.0, 0.0
        for end, count in ordered:
            if count >= rank and count > below:
                inside = (rank - below) / (count - below)
                return low if math.isinf(end) else low + inside * (end - low)
            low, below = end, count
        return low


def read_metrics(url: str, at_s: float, timeout_s: float = 5.0) -> Scrape:
    """The metrics of a server now.

    Args:
        url: Of its metrics ("http://127.0.0.1:8002/metrics").
        at_s: The present time, s.
        timeout_s: Seconds until it must have replied.

    Raises:
        ServerError: No server replies there, or what replies has no metrics.
    """
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as response:
            found = Scrape.of(response.read().decode(), at_s)
    except (OSError, ValueError) as error:
        raise ServerError(
            f"a server's metrics at {url}",
            str(error.reason if isinstance(error, urllib.error.URLError) else error),
            "`cineflow serve` prints their address.",
        ) from error
    if "cineflow_live_streams" not in found.values:
        raise ServerError(
            f"the metrics of a cineflow server at {url}",
            f"a page with {len(found.values)} other metrics",
            "`cineflow serve` prints their address.",
        )
    return found
