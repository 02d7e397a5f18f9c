"""The end of a model's process by its own will, for what cannot be cured from inside of it.

The supervisor starts the model again, and the streams go on from their last state.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import NoReturn

#: Exit statuses of a process that ended because a frame hung, or because its card was lost.
HUNG, CARD_LOST = 75, 76


def end_process(words: str, status: int, told: Callable[[], None]) -> NoReturn:
    """End this process now.

    Args:
        words: Why, for the server's log.
        status: Its exit status.
        told: Called first; what it raises is ignored.
    """
    with contextlib.suppress(Exception):
        told()
    print(words, file=sys.stderr, flush=True)
    os._exit(status)
