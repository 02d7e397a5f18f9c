"""`python -m benchmarks.ops`: every op beside its peers and the machine's limits.

Writes a table to the terminal and everything it holds to build/bench/ops.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.ops import machine
from benchmarks.ops.cases import all_cases
from cineflow import _C


def measure(threads: int, seconds: float, only: str) -> list[dict[str, Any]]:
    """Time every case whose name holds `only`, with `threads` threads."""
    rows = []
    for make in all_cases(threads):
        machine.set_threads(threads)
        case = make()
        if only not in case.name:
            continue
        times = machine.medians({"cineflow": case.ours, **case.peers}, seconds)
        ours = times.pop("cineflow")
        best = min(times, key=lambda name: times[name])
        roof = machine.roof_us(case.bytes_moved, case.flops, threads)
        rows.append(
            {
                "case": case.name,
                "threads": threads,
                "us": ours,
                "peers_us": times,
                "best_peer": best,
                "times_faster": times[best] / ours,
                "wanted_times_faster": case.wanted,
                "roof_us": roof,
                "times_roof": ours / roof,
                "bytes": case.bytes_moved,
                "flops": case.flops,
                "largest_difference": case.error,
                "notes": case.notes,
            }
        )
    return rows


def add_gains(rows: list[dict[str, Any]]) -> None:
    """To each row of several threads: how much faster it is than one thread, and the machine is."""
    alone = {row["case"]: row["us"] for row in rows if row["threads"] == 1}
    for row in rows:
        if row["threads"] > 1 and row["case"] in alone:
            copy, multiply = machine.reachable_gain(row["bytes"], row["threads"])
            row["times_one_thread"] = alone[row["case"]] / row["us"]
            row["machine_copies_times_one_thread"] = copy
            row["machine_multiplies_times_one_thread"] = multiply


COLUMNS = ("case", "threads", "µs", "best peer", "µs", "faster", "wanted", "× roof", "MB")
GAINS = ("× 1 thread", "copy, FMA")


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """The table of the rows. The last two columns: our gain by threads, and the machine's own."""
    table = Table(title=f"{machine.processor()}, {_C.instruction_set()}")
    for name in COLUMNS + GAINS:
        table.add_column(name, justify="left" if name in ("case", "best peer") else "right")
    for row in rows:
        wanted = row["wanted_times_faster"]
        gains = ("", "")
        if "times_one_thread" in row:
            copy = row["machine_copies_times_one_thread"]
            multiply = row["machine_multiplies_times_one_thread"]
            gains = (f"{row['times_one_thread']:.2f}×", f"{copy:.1f}×, {multiply:.1f}×")
        table.add_row(
            row["case"],
            str(row["threads"]),
            f"{row['us']:.1f}",
            row["best_peer"],
            f"{row['peers_us'][row['best_peer']]:.1f}",
            f"{row['times_faster']:.2f}×",
            f"{wanted:.1f}×" if wanted else "",
            f"{row['times_roof']:.1f}",
            f"{row['bytes'] / 1e6:.2f}",
            *gains,
        )
    console.print(table)
    for note in sorted({note for row in rows for note in row["notes"]}):
        console.print(f"note: {note}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ops", description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=1.0, help="per case and thread count")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--json", type=Path, default=Path("build/bench/ops.json"))
    options = parser.parse_args()
    rows = [
        row
        for threads in options.threads
        for row in measure(threads, options.seconds, options.only)
    ]
    add_gains(rows)
    show(rows, Console(width=180))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "processor": machine.processor(),
        "instruction_set": _C.instruction_set(),
        "peak_gflops": {count: machine.peak_gflops(count) for count in options.threads},
        "rows": rows,
    }
    options.json.write_text(json.dumps(report, indent=2))
    print(f"wrote {options.json}")


if __name__ == "__main__":
    main()
