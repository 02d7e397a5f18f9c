"""`python -m benchmarks.ops`: times of every op, its peers and the machine's limits.

Prints a table and the command that repeats it, and writes all figures to build/bench/ops.json.
With `--isa avx2` or `--isa baseline` the peers, and the matrix product that measures the machine's
limit, are held to that instruction set too (`instruction_sets.py`). With `--taken 1` one of the
processors is another program's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.ops import instruction_sets, machine
from benchmarks.ops.cases import all_cases
from benchmarks.processor import processor
from benchmarks.repeat import repeat_command
from cineflow import _C


def measure(threads: int, seconds: float, only: str, held: str | None) -> list[dict[str, Any]]:
    """Times every case whose name contains `only`, with `threads` threads.

    The peers are already held to the instruction set `held`.
    """
    rows = []
    for make in all_cases(threads):
        machine.set_threads(threads)
        case = make()
        if only not in case.name:
            continue
        sets = {
            name: instruction_sets.set_of(name, call, held) for name, call in case.peers.items()
        }
        calls = {"cineflow": case.ours, **case.peers}
        candidates = {name: machine.Candidate(call, threads) for name, call in calls.items()}
        if threads > 1:  # in turns with the others, so that a slow moment affects both
            candidates["one thread"] = machine.Candidate(case.ours, 1)
        times = machine.take_turns(candidates, seconds)
        ours = times.pop("cineflow")
        alone = times.pop("one thread", None)
        best = min(times, key=lambda name: times[name].median)
        roof = machine.roof_us(case.bytes_moved, case.flops, threads)
        rows.append(
            {
                "case": case.name,
                "threads": threads,
                "us": ours.median,
                "shortest_us": ours.shortest,
                "peers_us": {name: peer.median for name, peer in times.items()},
                "peers_shortest_us": {name: peer.shortest for name, peer in times.items()},
                "best_peer": best,
                "peers_sets": sets,
                "times_faster": times[best].median / ours.median,
                "times_faster_at_best": min(peer.shortest for peer in times.values())
                / ours.shortest,
                "wanted_times_faster": case.wanted,
                "roof_us": roof,
                "times_roof": ours.median / roof,
                "bytes": case.bytes_moved,
                "flops": case.flops,
                "largest_difference": case.error,
                "notes": case.notes,
            }
        )
        if alone is not None:
            rows[-1] |= gains(ours, alone, case.bytes_moved, threads)
    return rows


def gains(
    ours: machine.Times, alone: machine.Times, bytes_moved: int, threads: int
) -> dict[str, float]:
    """Speed-up by several threads, ours and the machine's own."""
    copy, multiply = machine.reachable_gain(bytes_moved, threads)
    return {
        "times_one_thread": alone.median / ours.median,
        "times_one_thread_at_best": alone.shortest / ours.shortest,
        "machine_copies_times_one_thread": copy,
        "machine_multiplies_times_one_thread": multiply,
    }


#: The widest first.
SETS = ("avx512", "avx2", "baseline")
TIMES = ("case", "threads", "µs", "best peer", "its set", "µs")
RATIOS = ("faster", "at best", "wanted", "× roof", "MB")
GAINS = ("× 1 thread, at best", "copy, FMA")


def show(rows: list[dict[str, Any]], taken: int, console: Console) -> None:
    """Prints the table: medians, and under "at best" the ratio of the shortest times.

    "Its set" is the instruction set that the peer is held to, or "any": it takes what it likes.
    The last two columns are the speed-up by threads: ours and the machine's own.
    """
    others = f", {taken} taken by other programs" if taken else ""
    table = Table(title=f"{processor()}{others}, {_C.instruction_set()}")
    for name in TIMES + RATIOS + GAINS:
        table.add_column(name, justify="left" if name in ("case", "best peer") else "right")
    for row in rows:
        wanted = row["wanted_times_faster"]
        gained = ("", "")
        if "times_one_thread" in row:
            copy = row["machine_copies_times_one_thread"]
            multiply = row["machine_multiplies_times_one_thread"]
            gain = f"{row['times_one_thread']:.2f}×, {row['times_one_thread_at_best']:.2f}×"
            gained = (gain, f"{copy:.1f}×, {multiply:.1f}×")
        table.add_row(
            row["case"],
            str(row["threads"]),
            f"{row['us']:.1f}",
            row["best_peer"],
            row["peers_sets"][row["best_peer"]],
            f"{row['peers_us'][row['best_peer']]:.1f}",
            f"{row['times_faster']:.2f}×",
            f"{row['times_faster_at_best']:.2f}×",
            f"{wanted:.2g}×" if wanted else "",
            f"{row['times_roof']:.1f}",
            f"{row['bytes'] / 1e6:.2f}",
            *gained,
        )
    console.print(table)
    for note in sorted({note for row in rows for note in row["notes"]}):
        console.print(f"note: {note}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ops", description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=1.0, help="per case and thread count")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument(
        "--isa",
        choices=SETS,
        help="instruction set of the CPU kernels and, as far as they can be held, of the peers;"
        " the widest of this machine by default",
    )
    parser.add_argument(
        "--taken",
        type=int,
        default=0,
        metavar="N",
        help="processors on which other programs compute",
    )
    parser.add_argument("--json", type=Path, default=Path("build/bench/ops.json"))
    options = parser.parse_args()
    widest = next(name for name in SETS if _C.set_instruction_set(name))
    if options.isa is not None and not _C.set_instruction_set(options.isa):
        parser.error(f"this machine has no {options.isa}; it has {widest}")
    held = _C.instruction_set() if _C.instruction_set() != widest else None
    instruction_sets.hold(held)
    with machine.processors_taken(options.taken):
        rows = [
            row
            for threads in options.threads
            for row in measure(threads, options.seconds, options.only, held)
        ]
    libraries = instruction_sets.reported()
    show(rows, options.taken, Console(width=200))
    print(instruction_sets.sentence(held, libraries))
    repeat = repeat_command()
    if options.isa is None:
        repeat += f" --isa {_C.instruction_set()}"
    print(f"repeat: {repeat}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "processor": processor(),
        "instruction_set": _C.instruction_set(),
        "processors_taken": options.taken,
        "libraries": libraries,
        "repeat": repeat,
        "peak_gflops": {count: machine.peak_gflops(count) for count in options.threads},
        "rows": rows,
    }
    options.json.write_text(json.dumps(report, indent=2))
    print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
