"""Memory of the default tracker in 3-D in torch, in f32 values per voxel next to its two volumes.

    python -m benchmarks.accuracy.volume_memory [SIDE ...]

Each size runs in a process of its own, in one thread, with an allocator that gives freed memory
back at once. The figure is how far the peak of the resident memory rises over that of a run on
small volumes.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import torch

from benchmarks.repeat import repeat_line
from cineflow.models.lucas_kanade_3d import LucasKanade3d

#: glibc then maps memory of 64 KiB and more by itself, and unmaps it where it is freed.
_GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
_SMALL, _SIDES = 16, ("96", "128")


def values_per_voxel(side: int) -> float:
    """The figure, for volumes of `side` voxels along each axis. Once per process."""
    torch.set_num_threads(1)
    net = LucasKanade3d().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        net(*torch.rand(2, 1, 1, _SMALL, _SMALL, _SMALL, generator=generator))  # loads libraries
        pair = 255 * torch.rand(2, 1, 1, side, side, side, generator=generator)
        before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        net(*pair)
    rise_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    return 1024 * rise_kb / (4 * side**3)


def main(arguments: list[str]) -> None:
    """Print a line for each size."""
    if arguments[:1] == ["--one"]:
        side = int(arguments[1])
        print(f"{side}^3 voxels: {values_per_voxel(side):.1f} values per voxel")
        return
    for each in arguments or _SIDES:
        command = [sys.executable, "-m", "benchmarks.accuracy.volume_memory", "--one", each]
        subprocess.run(command, env={**os.environ, **_GIVES_BACK}, check=True)
    print(repeat_line())


if __name__ == "__main__":
    main(sys.argv[1:])
