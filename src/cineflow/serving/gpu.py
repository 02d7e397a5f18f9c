"""The card that a server's models run on, and how much of its memory they may take."""

from __future__ import annotations

import shutil
import subprocess
from typing import NamedTuple

from cineflow.runtime.engines.providers import MEMORY_VARIABLE
from cineflow.serving.errors import GpuError

#: Set where the models must run on a card.
CARD_VARIABLE = "CINEFLOW_ON_CARD"

_QUERY = ("--query-gpu=index,uuid,name,memory.free", "--format=csv,noheader,nounits")
_TIMEOUT_S = 20.0


class Card(NamedTuple):
    """An NVIDIA card of this machine.

    Attributes:
        number: Its number, as the driver counts.
        uuid: Its name for CUDA, whatever order CUDA counts in.
        name: Its product's name.
        free_mib: Memory that nobody has, MiB.
    """

    number: int
    uuid: str
    name: str
    free_mib: int


def gpu_environment(gpu: int | None, memory_mib: int | None, models: int = 1) -> dict[str, str]:
    """The environment of a server whose models run on one card.

    Args:
        gpu: The card's number; None: the first one, if `memory_mib` is given.
        memory_mib: MiB that each model may take at most; they must be free now, for all models.
            None: no limit.
        models: How many there are.

    Returns:
        Variables; none if neither is given.

    Raises:
        GpuError: There is no such card, or it has too little free memory.
    """
    if gpu is None and memory_mib is None:
        return {}
    cards = {card.number: card for card in _cards()}
    card = cards.get(gpu or 0)
    if card is None:
        raise GpuError(
            f"the card {gpu}",
            f"the cards {sorted(cards)}",
            "`nvidia-smi` lists them; correct --gpu.",
        )
    found = {"CUDA_VISIBLE_DEVICES": card.uuid, CARD_VARIABLE: "1"}
    if memory_mib is not None:
        needed = memory_mib * models
        if card.free_mib < needed:
            each = f", {memory_mib} MiB for each of {models} models" if models > 1 else ""
            raise GpuError(
                f"{needed} MiB of free memory on card {card.number} ({card.name}){each}",
                f"{card.free_mib} MiB",
                "End what takes it (`nvidia-smi`), or lower --gpu-memory.",
            )
        found[MEMORY_VARIABLE] = str(memory_mib)
    return found


def read_cards(text: str) -> list[Card]:
    """The cards in the output of nvidia-smi.

    Raises:
        ValueError: It has another form.
    """
    cards = []
    for line in text.splitlines():
        number, uuid, name, free = (part.strip() for part in line.split(","))
        cards.append(Card(int(number), uuid, name, int(free)))
    return cards


def _cards() -> list[Card]:
    wanted, remedy = "an NVIDIA card", "Leave out --gpu and --gpu-memory: the CPU is used then."
    program = shutil.which("nvidia-smi")
    if program is None:
        raise GpuError(wanted, "none: nvidia-smi, which comes with the driver, is missing", remedy)
    try:
        done = subprocess.run(
            [program, *_QUERY], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        cards = read_cards(done.stdout) if done.returncode == 0 else []
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise GpuError(wanted, f"nvidia-smi does not say: {error}", remedy) from error
    if not cards:
        raise GpuError(wanted, f"none: {(done.stderr or done.stdout).strip()}", remedy)
    return cards
