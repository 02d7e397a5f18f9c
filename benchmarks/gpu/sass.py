"""What the machine code of the CUDA kernels says, without a GPU.

    python -m benchmarks.gpu.sass [--write]

It compiles the kernels for every architecture in `sass_cases.DEVICES`, disassembles them, and
counts the instructions of the loop that does the work: loads, stores and multiply-adds per output.
From these, registers and shared memory come the occupancy and a modelled time for each case and
device. Code outside of that loop counts as if all of it ran once. The model is coarse, about
+-40 %: it is for comparing a kernel with what it was. --write replaces `sass.json`, with which a
slow test compares. Needs nvcc, and nvdisasm from CUDA or from the package nvidia-cuda-nvdisasm.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import re
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.gpu.sass_cases import DEVICES, Case, Device, cases_of
from benchmarks.gpu.steps import ROOT, MissingToolError, tool

TABLE = Path(__file__).with_name("sass.json")

_FUNCTION = re.compile(r"^\s*\.section\s+\.text\.(\w+),")
_LABEL = re.compile(r"^(\.L_x_\d+):")
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)\s*([^;]*);")
_REGISTERS = re.compile(r"Compiling entry function '(\w+)'.*?Used (\d+) registers", re.DOTALL)
_TARGET = re.compile(r"\(?(\.L_x_\d+)\)?")


@dataclass(frozen=True)
class Counts:
    """Instructions of one loop, or of a whole kernel.

    Attributes:
        instructions: All of them.
        loads: From global memory.
        stored_bytes: To global memory, per thread.
        stores: Instructions for them.
        shared: Loads and stores of shared memory.
        multiply_adds: Of f32, or of a matrix product.
        shared_cycles: That shared memory takes for a warp: one for each 4 bytes of a thread.
        products: Matrix products of a warp, of 16 x 8 x 16 multiply-adds.
    """

    instructions: int
    loads: int
    stored_bytes: int
    stores: int
    shared: int
    multiply_adds: int
    shared_cycles: int = 0
    products: int = 0


PRODUCT = 16 * 8 * 16  # multiply-adds


def count(operations: list[str]) -> Counts:
    stores = [one for one in operations if one.startswith("STG")]
    shared = [one for one in operations if one.startswith(("LDS", "STS"))]
    products = sum(one.startswith("HMMA.16816") for one in operations)
    return Counts(
        len(operations),
        # LDGSTS copies into shared memory; LDGDEPBAR only marks such copies.
        sum(one.startswith("LDG") and not one.startswith("LDGDEPBAR") for one in operations),
        sum(_bytes_of(one) for one in stores),
        len(stores),
        len(shared),
        sum(one.startswith("FFMA") for one in operations) + products * PRODUCT // 32,
        sum(_bytes_of(one) // 4 or 1 for one in shared),
        products,
    )


def _bytes_of(operation: str) -> int:
    """Width of a load or store: "STG.E.128" has 16 bytes, "LDSM.16.MT88.4" has four matrices."""
    if operation.startswith("LDSM"):
        return 4 * int(operation.rsplit(".", 1)[1])
    for suffix, width in (("128", 16), ("64", 8), ("U16", 2), ("S16", 2), ("U8", 1), ("S8", 1)):
        if suffix in operation.split("."):
            return width
    return 4


@dataclass(frozen=True)
class Kernel:
    """One instantiation. `loops` are the innermost ones, the one with most work first; `others` is
    everything outside of them, and `fill` the loop that fills shared memory, if there is one. Where
    the loop with the work has a loop inside it, `nested` is that one."""

    name: str
    registers: int
    others: Counts
    loops: tuple[Counts, ...]
    fill: Counts
    nested: Counts

    def work(self, case: Case) -> Counts:
        """The largest loop that is no larger than what a thread of the case does."""
        fitting = [one for one in self.loops if 0 < case.outputs_of(one) <= case.thread_outputs]
        return fitting[0] if fitting else self.loops[0]


def functions_in(listing: str) -> Iterator[tuple[str, list[str], list[tuple[int, int]]]]:
    """Name, operations and loops (first, last operation) of each kernel that nvdisasm lists."""
    name, operations, labels, loops = "", [], {}, []  # type: ignore[var-annotated]
    for line in [*listing.splitlines(), "\t.section\t.text.end,"]:
        if found := _FUNCTION.match(line):
            if name:
                yield name, operations, loops
            name, operations, labels, loops = found[1], [], {}, []
        elif found := _LABEL.match(line):
            labels[found[1]] = len(operations)
        elif found := _INSTRUCTION.match(line):
            if found[1].startswith("BRA") and (target := _TARGET.search(found[2])):
                start = labels.get(target[1])
                if start is not None and start < len(operations):
                    loops.append((start, len(operations)))
            # sm_90 has loads before some copies that never run, but take their turn.
            operations.append("NOP" if "@!PT" in line else found[1])


def innermost(loops: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [
        one for one in loops
        if not any(other != one and one[0] <= other[0] and other[1] <= one[1] for other in loops)
    ]  # fmt: skip


def kernels_in(listing: str, report: str, multiplies: bool) -> list[Kernel]:
    """The kernels of a file. `multiplies`: their work is the loop with most multiply-adds; that of
    the others is the one with most loads."""
    registers = {name: int(number) for name, number in _REGISTERS.findall(report)}
    kernels = []
    for name, operations, loops in functions_in(listing):
        if name not in registers:
            continue
        inner = innermost(loops)
        nested = count([])
        if multiplies:
            # The work may have a loop inside it that copies.
            working = innermost([
                (first, last) for first, last in loops
                if count(operations[first : last + 1]).multiply_adds
            ])  # fmt: skip
            inside = [
                one for one in inner if one not in working
                and any(first <= one[0] and one[1] <= last for first, last in working)
            ]  # fmt: skip
            inner = working + [one for one in inner if one not in working and one not in inside]
            if inside:
                nested = count(operations[inside[0][0] : inside[0][1] + 1])
        inner = inner or [(0, len(operations) - 1)]
        bodies = [count(operations[first : last + 1]) for first, last in inner]
        outside = [
            one for at, one in enumerate(operations)
            if not any(first <= at <= last for first, last in inner)
        ]  # fmt: skip
        if "EXIT" in outside:  # divisions in 64 bits follow the kernel as functions
            last_exit = len(outside) - outside[::-1].index("EXIT")
            outside = outside[:last_exit]
        ranked = sorted(
            bodies, key=lambda body: body.multiply_adds if multiplies else body.loads, reverse=True
        )
        fill = max(ranked[1:], key=lambda body: body.shared, default=count([]))
        kernels.append(Kernel(name, registers[name], count(outside), tuple(ranked), fill, nested))
    return kernels


@cache
def nvdisasm() -> str:
    """The program: of CUDA, or of the package nvidia-cuda-nvdisasm."""
    try:
        return tool("nvdisasm")
    except MissingToolError:
        package = importlib.util.find_spec("nvidia")
        for folder in (package.submodule_search_locations or []) if package is not None else []:
            for path in Path(folder).glob("*/bin/nvdisasm"):
                return str(path)
        raise


def compiled(source: str, architecture: str, folder: Path) -> list[Kernel]:
    cubin = folder / f"{source}-{architecture}.cubin"
    command = [
        tool("nvcc"), "-std=c++17", "-O3", f"-arch={architecture}", "-Xptxas", "-v", "-cubin",
        f"-I{ROOT}/csrc/core", f"-I{ROOT}/csrc/core/include",
        str(ROOT / f"csrc/core/cuda/{source}.cu"), "-o", str(cubin),
    ]  # fmt: skip
    report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    listing = subprocess.run(
        [nvdisasm(), "-c", str(cubin)], capture_output=True, text=True, check=True
    ).stdout
    return kernels_in(listing, report, multiplies=source.startswith("correlation"))


def resident_blocks(registers: int, case: Case, device: Device) -> int:
    """Blocks that a multiprocessor holds at once."""
    warps = -(-case.threads // 32)
    per_warp = -(-registers * 32 // 256) * 256
    limits = [device.warps // warps, device.blocks, 65536 // (per_warp * warps)]
    if case.shared_bytes:
        limits.append(device.shared_bytes // (case.shared_bytes + 1024))
    return min(limits)


def row(case: Case, device: Device, kernel: Kernel) -> dict[str, Any]:
    """The figures of a case on a device."""
    blocks = max(resident_blocks(kernel.registers, case, device), 1)
    warps = -(-case.threads // 32)
    work = kernel.work(case)
    outputs = case.outputs_of(work)
    # What is left is done outside of the loop, and counted there.
    trips = math.floor(case.thread_outputs / outputs + 1e-9)
    per_thread: float = kernel.others.instructions + trips * work.instructions
    shared: float = trips * work.shared_cycles
    # The loop inside the work was counted once.
    again = trips * max(case.nested_trips - 1, 0)
    per_thread += again * kernel.nested.instructions
    second = kernel.loops[1] if case.also else count([])
    also = case.also / second.multiply_adds if case.also else 0.0
    per_thread += also * second.instructions
    shared += also * second.shared_cycles
    if case.fill_elements and kernel.fill.shared:
        # One element of the tile is 8 channels, each a store to shared memory.
        cost = 8 * kernel.fill.instructions / kernel.fill.shared
        per_thread += case.fill_elements * cost
        shared += 8 * case.fill_elements
    loads = (trips * work.loads + again * kernel.nested.loads + also * second.loads) * case.passes
    loads += 8 * case.fill_elements
    busiest = -(-case.blocks // device.multiprocessors) * warps  # warps of one multiprocessor
    waves = -(-case.blocks // (device.multiprocessors * blocks))
    cycles = {
        "issue": busiest * per_thread / 4,
        "memory pipe": busiest * (loads + shared),
        "tensor cores": busiest * trips * work.products * PRODUCT / device.products_per_cycle,
        # Each trip waits for its loads once; other resident warps hide it.
        "latency": waves * (case.chain + trips) * device.latency / case.overlap,
    }
    times = {name: number / device.clock_ghz / 1e3 for name, number in cycles.items()}
    fits = case.bytes <= device.cache_bytes
    floor = case.bytes / (device.cache_gb_s if fits else device.memory_gb_s) / 1e3
    slowest = max(times, key=lambda name: times[name])
    return {
        "registers": kernel.registers,
        "occupancy": round(blocks * warps / device.warps, 2),
        "instructions_per_output": round(work.instructions / outputs, 2),
        "loads_per_output": round(work.loads / outputs, 3),
        "stores_per_output": round(work.stores / outputs, 3),
        "shared_per_output": round(work.shared / outputs, 3),
        "multiply_adds_per_output": round(work.multiply_adds / outputs, 2),
        "floor_us": round(floor, 2),
        "modelled_us": round(max(floor, times[slowest]), 2),
        "limited_by": slowest if times[slowest] > floor else "bytes",
    }


def table() -> dict[str, Any]:
    """The figures of all cases and devices, and the compiler that they are of."""
    cases = [(name, case) for name in DEVICES for case in cases_of(DEVICES[name])]
    sources = sorted({case.source for _, case in cases})
    architectures = sorted({device.architecture for device in DEVICES.values()})
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        pairs = [(source, one) for source in sources for one in architectures]
        found = dict(
            zip(
                pairs,
                pool.map(lambda one: compiled(one[0], one[1], Path(folder)), pairs),
                strict=True,
            )
        )
    rows = {}
    for name, case in cases:
        kernels = found[case.source, DEVICES[name].architecture]
        (kernel,) = [one for one in kernels if re.search(case.kernel, one.name)]
        rows[f"{case.name} on {name}"] = row(case, DEVICES[name], kernel)
    version = subprocess.run(
        [tool("nvcc"), "--version"], capture_output=True, text=True, check=True
    )
    release = re.search(r"V([\d.]+)", version.stdout)
    return {"nvcc": release[1] if release else "unknown", "rows": rows}


def show(rows: dict[str, dict[str, Any]]) -> None:
    titles = ("regs", "occ", "instr", "ld", "st", "shared", "fma", "floor us", "us", "limited by")
    print(f"{'':<52}" + "".join(f"{title:>9}" for title in titles))
    for name, figures in rows.items():
        print(f"{name:<52}" + "".join(f"{value!s:>9.9}" for value in figures.values()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.sass", description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace sass.json")
    options = parser.parse_args()
    found = table()
    show(found["rows"])
    if options.write:
        TABLE.write_text(json.dumps(found, indent=1) + "\n")
        print(f"wrote {TABLE}")


if __name__ == "__main__":
    main()
