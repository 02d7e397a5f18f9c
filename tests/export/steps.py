"""The steps of a bundle that is cut at our ops."""

from __future__ import annotations

from collections import Counter

from cineflow.runtime import Bundle
from cineflow.runtime.segments import read_steps


def step_counts(bundle: Bundle) -> Counter[str]:
    """Number of engines ("segment") and of each op."""
    return Counter(step.op or "segment" for step in read_steps(bundle))
