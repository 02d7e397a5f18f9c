"""One line of the benchmark's table."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.ops.machine import Call


@dataclass
class Case:
    """One line of the table.

    Attributes:
        name: Op and size.
        ours: cineflow's call, into a given output.
        peers: Exact peers by name.
        bytes_moved: Compulsory traffic: every input and output once.
        flops: Compulsory arithmetic, 2 per multiply-add.
        error: Largest absolute difference from the first peer.
        wanted: What the project set out to reach, as the ratio of the best peer's time to ours;
            0: faster than every peer.
    """

    name: str
    ours: Call
    peers: dict[str, Call]
    bytes_moved: int
    flops: int
    error: float
    wanted: float
    notes: list[str] = field(default_factory=list)
