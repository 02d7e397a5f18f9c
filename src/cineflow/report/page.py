"""Shared by the pages: the template's environment, provenance, and a check of lengths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from cineflow.cine import Cine
from cineflow.errors import ArgumentError
from cineflow.report.curves import Measure
from cineflow.report.latency import Latency


@dataclass(frozen=True)
class Provenance:
    """What computed the results. The page shows every field.

    Attributes:
        model: Name of the model as it was served.
        weights: Origin of its weights ("none: training-free").
        engine: What executed it.
        server: Name and version of the server ("" if it ran in process).
        transport: How frames reached the model.
        software: Version of cineflow.
        bundle_hash: SHA-256 of the model's graph ("" where the name has to do).
        libraries: Versions of the libraries that the result depends on ("" for none).
    """

    model: str
    weights: str
    engine: str
    server: str
    transport: str
    software: str
    bundle_hash: str = ""
    libraries: str = ""

    @property
    def untrained(self) -> bool:
        """Whether the weights are random numbers, as `Weights.describe` says it."""
        return self.weights.startswith("seed ") and self.weights.endswith("(untrained)")


def require_lengths(cine: Cine, results: int, latency: Latency) -> float:
    """The clip's frame period in ms, if there is a result and a latency for each of its frames.

    Raises:
        ArgumentError: Clip, results and latency differ in length, or `latency` has no frame period.
    """
    if len({len(cine), results, latency.each_ms.size}) > 1:
        raise ArgumentError(
            f"a result and a latency for each of {len(cine)} frames",
            f"{results} results, {latency.each_ms.size} latencies",
        )
    if latency.frame_period_ms is None:
        raise ArgumentError("a latency against the clip's frame period", "an unpaced stream")
    return latency.frame_period_ms


def render(path: str | Path, template: str, **values: Any) -> Path:
    """Write a page from one of the templates.

    Returns:
        `path`, whose folder is created.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In pieces: the pictures of a page are most of it, and would be in memory twice more.
    _environment().get_template(template).stream(**values).dump(str(path), encoding="utf-8")
    return path


def figure(value: float) -> str:
    """A number to four digits; one of a few more digits before the point keeps all of those."""
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def with_interval(measure: Measure) -> str:
    """A figure with its interval, both to the interval's second digit, at most two decimals."""
    value, interval = measure.value, measure.interval
    if interval is None:
        return f"{value:.4g}"
    if interval == 0:  # of the frame that it was drawn in
        return f"{value:.3g}, as drawn"
    if not interval < np.inf:
        return f"{value:.3g} ± not known"
    digits = min(max(1 - int(np.floor(np.log10(interval))), 0), 2)
    return f"{value:.{digits}f} ± {interval:.{digits}f}"


@cache
def _environment() -> Environment:
    """Of all pages of a process: it keeps the templates that it has compiled."""
    environment = Environment(
        loader=PackageLoader("cineflow.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    environment.filters["with_interval"] = with_interval
    return environment
