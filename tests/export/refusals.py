"""That bad input is refused in words, and with something that the reader can do about it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cineflow_client import FrameRejected


def require_refused(run: Callable[[], object], said: str, advice: str) -> None:
    """Fail unless the client or the server refuses what `run` sends.

    Args:
        run: Sends a frame, or makes a call.
        said: Pattern in the message.
        advice: Words in the remedy.
    """
    with pytest.raises(FrameRejected, match=said) as refused:
        run()
    assert advice in refused.value.remedy, refused.value.remedy
