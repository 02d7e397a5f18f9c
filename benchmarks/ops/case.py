"""One line of the benchmark's table."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.ops.machine import Call


@dataclass
class Case:
    """One line of the table.

    Attributes:
        name: Op and size.
        ours: cineflow's call, which writes to a given output.
        peers: Other implementations with the same result, by name.
        bytes_moved: Least memory traffic: every input and output once.
        flops: Least arithmetic, 2 per multiply-add.
        error: Largest absolute difference from the first peer.
        wanted: The goal of the project: the best peer's time divided by ours. 0 stands for "faster
            than every peer".
        notes: What to know about the figures, such as a peer that is not installed.
    """

    name: str
    ours: Call
    peers: dict[str, Call]
    bytes_moved: int
    flops: int
    error: float
    wanted: float
    notes: list[str] = field(default_factory=list)
