"""Whether the card of a model runs slower than it could, because of heat or power.

A slow card breaks nothing: frames take longer, and the deadlines of the streams say so. This says
why. The driver's library (NVML) knows the reasons for which the clocks of a card are low.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

_LIBRARY = "libnvidia-ml.so.1"
#: Bits of NVML's "clocks event reasons" that slow a card down while it has work.
_REASONS = {
    0x04: "power limit",
    0x08: "hardware slowdown",
    0x20: "heat, by the driver",
    0x40: "heat, by the hardware",
    0x80: "power brake",
}
#: Names of the function, the newer one first (driver 535).
_FUNCTIONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
_LOOK_S = 1.0

Reasons = tuple[str, ...]


def clock_reasons(uuid: str, library: str = _LIBRARY) -> Callable[[], Reasons] | None:
    """A function that says why a card is slow now; it returns () for a card that is not.

    Args:
        uuid: The card ("GPU-...").
        library: NVML.

    Returns:
        None where NVML is missing or does not know the card.
    """
    try:
        nvml = ctypes.CDLL(library)
        card = ctypes.c_void_p()
        nvml.nvmlDeviceGetHandleByUUID.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
        found = (
            nvml.nvmlInit_v2() == 0
            and nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(card)) == 0
        )
        ask = next(getattr(nvml, name) for name in _FUNCTIONS if hasattr(nvml, name))
    except (OSError, AttributeError, StopIteration):
        return None
    if not found:
        return None
    ask.argtypes = (ctypes.c_void_p, ctypes.c_void_p)

    def reasons() -> Reasons:
        bits = ctypes.c_ulonglong()
        if ask(card, ctypes.byref(bits)) != 0:
            return ()
        return tuple(name for bit, name in _REASONS.items() if bits.value & bit)

    return reasons


class SlowingWatch:
    """Looks at a card once a second.

    Args:
        reasons: Says why the card is slow now; None looks at nothing.
        tell: Called when the reasons change, with the new ones; () means that it is fast again.
        look_s: Seconds between two looks.
    """

    def __init__(
        self,
        reasons: Callable[[], Reasons] | None,
        tell: Callable[[Reasons], None],
        look_s: float = _LOOK_S,
    ) -> None:
        self._tell = tell
        self._look_s = look_s
        self._closed = threading.Event()
        if reasons is not None:
            target = threading.Thread(target=self._look_on, args=(reasons,), daemon=True)
            target.name = "cineflow-slowing"
            target.start()

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()

    def _look_on(self, reasons: Callable[[], Reasons]) -> None:
        last: Reasons = ()
        while not self._closed.wait(self._look_s):
            if (now := reasons()) != last:
                last = now
                self._tell(now)
