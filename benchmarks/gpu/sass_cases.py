"""The cases and devices of `sass.py`: what a kernel's machine code is applied to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Device:
    """A GPU, from its data sheet; latency and bandwidth of the cache from published measurements.

    Attributes:
        architecture: As nvcc names it.
        multiprocessors: How many.
        clock_ghz: Under load.
        memory_gb_s: Of the memory.
        cache_gb_s: Of the L2 cache.
        cache_bytes: Size of the L2 cache.
        warps: That a multiprocessor holds, at most.
        blocks: Likewise.
        shared_bytes: Of a multiprocessor.
        latency: Cycles of a load from the L2 cache.
        products_per_cycle: Multiply-adds of f16 matrices with f32 sums, of a multiprocessor; on the
            H200 by the instructions of a warp, which reach about half of its data sheet's.
    """

    architecture: str
    multiprocessors: int
    clock_ghz: float
    memory_gb_s: float
    cache_gb_s: float
    cache_bytes: int
    warps: int
    blocks: int
    shared_bytes: int
    latency: int
    products_per_cycle: int


DEVICES = {
    "A2000": Device("sm_86", 26, 1.2, 288, 900, 3 << 20, 48, 16, 100 << 10, 220, 512),
    "H200": Device("sm_90", 132, 1.8, 4800, 7000, 50 << 20, 64, 32, 228 << 10, 270, 1024),
    "RTX PRO 4000": Device("sm_120", 70, 2.4, 672, 3500, 48 << 20, 48, 24, 100 << 10, 260, 512),
}


@dataclass(frozen=True)
class Case:
    """One op at one size.

    Attributes:
        name: Op and size.
        source: File of the kernel.
        kernel: A regular expression that is found in its mangled name only.
        bytes: To move: every input and output once.
        blocks, threads, shared_bytes: Of the launch.
        thread_outputs: Of each thread; in a correlation its multiply-adds.
        result_bytes: Of an output; 0 where the work loop stores nothing, and multiply-adds count.
        passes: Cycles of the memory pipe for one load of a warp.
        fill_elements: Elements of the tiles in shared memory that a thread loads in all.
        chain: Loads of a thread in series, before the work loop.
        overlap: Trips that are in flight at once.
        nested_trips: Of a loop inside the work loop.
        also: Multiply-adds of a thread in the loop with the most loads after the work loop, where
            the kernel has two.
    """

    name: str
    source: str
    kernel: str
    bytes: int
    blocks: int
    threads: int
    thread_outputs: float
    result_bytes: int = 4
    shared_bytes: int = 0
    passes: float = 2.0
    fill_elements: float = 0.0
    chain: int = 2
    overlap: float = 1.0
    nested_trips: int = 0
    also: float = 0.0

    def outputs_of(self, work: Any) -> float:
        """Outputs of one trip through the work loop."""
        if self.result_bytes == 0:
            return float(work.multiply_adds)
        return float(work.stored_bytes / self.result_bytes)


def _blocks(*sides: tuple[int, int]) -> int:
    """Blocks that cover `(length, step)` along each axis."""
    blocks = 1
    for length, step in sides:
        blocks *= -(-length // step)
    return blocks


def _planes(n: int, c: int, h: int, w: int, item: int, slab: int, kernel: str) -> Case:
    """Warp of planar maps. `slab`: channels of a thread."""
    return Case(
        f"warp {n}x{c}x{h}^2 {'f32' if item == 4 else 'f16'} planar", "warp", kernel,
        n * h * w * (2 * c * item + 8), n * _blocks((w, 32), (h, 8), (c, slab)), 256,
        min(slab, c), item,
    )  # fmt: skip


def _vectors(n: int, c: int, side: int, item: int, kernel: str) -> Case:
    """Warp of channels-last maps, 8 threads per pixel at most."""
    lanes = 1
    while lanes < 8 and lanes * 2 <= c * item // 16:
        lanes *= 2
    return Case(
        f"warp {n}x{c}x{side}^2 {'f32' if item == 4 else 'f16'} channels last", "warp", kernel,
        n * side * side * (2 * c * item + 8), n * _blocks((side * side, 256 // lanes)), 256,
        c / lanes, item, passes=4.0,
    )  # fmt: skip


def _correlation(
    c: int, side: int, item: int, kernel: str, tile_y: int, shift_rows: int, warped: bool = False
) -> Case:
    """Radius 4. The tile is 32 x `tile_y` pixels, and its part of f2 with the displacements."""
    threads = 8 * tile_y * shift_rows
    pixels, neighbours = 32 * tile_y, 40 * (tile_y + shift_rows - 1)
    chunks = -(-c // 8)
    op = "warp_correlation" if warped else "correlation"
    return Case(
        f"{op} C{c} {side}^2 {'f32' if item == 4 else 'f16'}", "correlation", kernel,
        side * side * (2 * c * item + 81 * item + (8 if warped else 0)),
        _blocks((side, 32), (side, tile_y), (9, shift_rows)), threads, 36 * c, 0,
        4 * 8 * (pixels + neighbours) + (32 * neighbours if warped else 0),
        fill_elements=(pixels + (4 if warped else 1) * neighbours) / threads * chunks,
        chain=chunks, overlap=8.0,
    )  # fmt: skip


def _lucas_kanade_step(side: int, cell: int, taps: int) -> list[Case]:
    """One image, a row for each kernel. Its window has `taps` cells along an axis. Outputs are
    multiply-adds: 8 per pixel in the sums of a cell, and one per tap and plane in a window."""
    cells, threads = side // cell, 128
    columns = threads + 64  # with the widest window's reach on both sides
    blocks, plane = _blocks((cells, threads), (cells, 1)), 4 * cells * cells

    def case(
        what: str, kernel: str, planes: int, outputs: float, shared: int = 0, also: float = 0.0
    ) -> Case:
        size = planes * plane + (8 * side * side if kernel == "gather_cells" else 0)
        return Case(
            f"lucas_kanade_step {side}^2: {what}", "lucas_kanade_step", kernel, size, blocks,
            threads, outputs, 0, shared * columns * 4, also=also,
        )  # fmt: skip

    return [
        case("sums of the cells", "gather_cells", 8, 8 * cell * cell),
        case("weights, sums along x", "weigh_cells", 13, 30, 5, 5 * taps),
        case("first solution", "solve_cells", 12, 5 * taps),
        case("second solution", "solve_again", 18, 5 * taps, 2, 2 * taps),
        case("one refinement", "refine_cells", 17, 2 * taps, 2, 2 * taps),
    ]


def _pair_blocks(side: int) -> list[Case]:
    """u8 frames, a row for each kernel that reads them. Outputs are multiply-adds, 8 per pixel."""
    size, blocks = side * side * 10, side // 16
    return [
        Case(f"pair_blocks {side}^2: rows", "pair_blocks", "sum_pair_row", size, side, 128,
             8 * side / 128, 0, 128 * 12),
        Case(f"pair_blocks {side}^2: blocks", "pair_blocks", "sum_pair_blocks", size, blocks**2,
             256, 8 * 2, 0, 11768),
    ]  # fmt: skip


_KIND = {4: "f32", 2: "f16"}


def _fast_correlation(c: int, side: int, device: Device, item: int) -> Case:
    """Radius 4, divided as `divide` in correlation_tiles.cu or correlation_tensor.cu does it."""
    tensor = item == 2
    unit = 2 if tensor else 1  # packs of 4 pixels that belong together
    most = 8
    across = -(-side // (4 * unit)) * unit
    tiles_x = -(-across // most)
    quads = -(-across // unit // tiles_x) * unit
    best, least = (0, 0, 0), 0
    for pairs, parts in ((2, 1), (1, 1), (1, 2)) if tensor else ((4, 1), (2, 1), (1, 1), (1, 2)):
        rows = 10 // parts
        copied = (rows + 2 * (pairs - 1)) * (quads + 2) + 2 * pairs * quads
        blocks = _blocks((across, quads), (side, 2 * pairs)) * parts
        warps = quads // 2 * pairs * rows // 5
        work = 4 * warps * 6 if tensor else 5 * quads * rows * pairs
        cost = -(-blocks // device.multiprocessors) * (work + 2 * copied)
        if not best[0] or cost < least:
            best, least = (pairs, rows, blocks), cost
    pairs, rows, blocks = best
    neighbours = rows + 2 * (pairs - 1)
    copied = neighbours * (quads + 2) + 2 * pairs * quads
    size = side * side * item * (2 * c + 81)
    name = f"correlation C{c} {side}^2 {_KIND[item]}"
    if tensor:
        warps = quads // 2 * pairs * rows // 5
        packs = neighbours * (quads + 2) + 2 * pairs * quads
        packs += 2 if packs % 4 == 0 else 0
        stages = min(3, (48 << 10) // (16 * packs * 8))
        results = (9 if rows == 10 else rows + 1) * 9 * 2 * pairs * quads * 4 * item
        return Case(
            name, "correlation_tensor", r"correlate_tensorINS_4HalfES\d_Li4E", size, blocks,
            32 * warps, 5 * 2 * 64 * c / 16, 0, max(stages * 16 * packs * 8, results), passes=2.0,
            chain=1, overlap=8.0, nested_trips=-(-16 // (32 * warps // copied)),
        )  # fmt: skip
    packs = neighbours * (quads + (2 if quads == 8 else 8)) + 2 * pairs * quads
    group = quads * rows * pairs
    enough = 128 if blocks > device.multiprocessors else 256
    chosen, least = (0, 0), 0
    for groups in range(1, 384 // group + 1):
        able = groups * group // copied * 2
        each = 2 if c % 2 == 0 and able >= 2 * groups else 1
        if 3 * groups * each * packs * 16 > 48 << 10 or able < groups * each:
            continue
        cost = -(-c // (groups * each)) * each * max(groups * group, enough)
        if not chosen[0] or cost < least:
            chosen, least = (groups, each), cost
    groups, each = chosen
    added = 4 * group * groups if groups > 1 else 0
    return Case(
        name, "correlation_tiles", rf"correlate_tilesILi4ELi{each}E", size, blocks, groups * group,
        72 * c / groups, 0, 16 * max(3 * groups * each * packs, added), passes=4.0, chain=1,
        overlap=8.0,
    )  # fmt: skip


def cases_of(device: Device) -> list[Case]:
    """The cases of a device: how a correlation is divided depends on its multiprocessors."""
    fast = [
        _fast_correlation(c, side, device, item)
        for c, side, item in ((64, 56, 4), (128, 112, 4), (64, 56, 2), (128, 112, 2))
    ]
    return [*CASES, *fast]


_F32, _F16 = "warp_planesIffE", r"warp_planesINS_4HalfES\d_E"
CASES = (
    _planes(1, 1, 224, 224, 4, 1, _F32),
    _planes(1, 32, 56, 56, 4, 2, _F32),
    _planes(1, 32, 56, 56, 2, 2, _F16),
    _planes(8, 64, 112, 112, 4, 8, _F32),
    _vectors(1, 32, 56, 4, "warp_vectorsIfE"),
    _vectors(8, 64, 112, 2, "warp_vectorsINS_4HalfEE"),
    Case("compose_flow 224^2", "compose_flow", "composeENS", 224 * 224 * 24,
         _blocks((224 * 224, 256)), 256, 2),
    Case("polar 25 of 160^2 to 192x128", "polar", r"resampleIff\w+ToPolar",
         25 * 4 * (160 * 160 + 192 * 128), _blocks((128, 32), (192, 8), (25, 8)), 256, 8,
         passes=6.6),
    Case("polar back 25 of 192x128 to 160^2", "polar", r"resampleIff\w+ToCartesianILb1E",
         25 * 4 * (160 * 160 + 192 * 128), _blocks((160, 32), (160, 8), (25, 8)), 256, 8,
         passes=6.6),
    Case("scan_convert 1024x192 u8 to 800x600", "scan_convert", r"resampleIhf\w+ToLines",
         192 * 1024 + 800 * 600 * 4, _blocks((800, 32), (600, 8)), 256, 1, passes=4.0),
    Case("scan_convert 1024x192 u8 to 800x600 u8", "scan_convert", r"resampleIhh\w+ToLines",
         192 * 1024 + 800 * 600, _blocks((800, 32), (600, 8)), 256, 1, 1, passes=4.0),
    Case("scan_convert 64x64x256 u8 to 128^3", "scan_convert_volume", r"convert_volumesIhfE",
         64 * 64 * 256 + 128**3 * 4, _blocks((128, 32), (128 * 128, 4)), 128, 1, passes=4.0),
    Case("warp 1x16x48^3 f32", "sample_volume", "warp_volumesIffE",
         48**3 * (2 * 16 * 4 + 12), _blocks((48, 32), (48 * 48, 4), (16, 8)), 128, 8),
    Case("compose_flow 64^3", "sample_volume", "compose_volumes", 64**3 * 36,
         _blocks((64, 32), (64 * 64, 4)), 128, 3),
    _correlation(128, 110, 4, "correlateIfLi9ELb0E", 4, 3),
    _correlation(64, 56, 4, "correlateIfLi9ELb1E", 4, 3, warped=True),
    _correlation(64, 112, 4, "correlateIfLi9ELb1E", 4, 3, warped=True),
    Case("correlation C16 24^3 r2", "correlation_volume", "correlate_volumesIfLb0E",
         24**3 * 4 * (32 + 125), _blocks((24, 32), (24 * 24, 4)) * 25, 128, 5 * 16, 0, passes=1.0),
    *_lucas_kanade_step(256, 4, 19),
    *_pair_blocks(256),
)  # fmt: skip
