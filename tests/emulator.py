"""Programs of another processor, run on this one."""

from __future__ import annotations

import shutil


def emulator_of(processor: str) -> str | None:
    """QEMU's user emulator of a processor, of Debian's qemu-user or qemu-user-static; or None."""
    return shutil.which(f"qemu-{processor}") or shutil.which(f"qemu-{processor}-static")
