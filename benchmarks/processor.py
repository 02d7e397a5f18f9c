"""The machine that a speed figure belongs to."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def processor() -> str:
    """The processor's name, or its architecture if the name is not known."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def processor_and_cores() -> str:
    """ "AMD EPYC, 2 cores": the processor, and the cores that this process may use."""
    cores = len(os.sched_getaffinity(0))
    return f"{processor()}, {cores} core{'s' if cores > 1 else ''}"
