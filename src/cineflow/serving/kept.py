"""A request that outlives Triton's call: its inputs are copied, everything else is read once."""

from __future__ import annotations

from typing import Any

import numpy as np


class KeptRequest:
    """What the model asks of a request of Triton's, for a thread that computes it later.

    Args:
        request: A `pb_utils.InferenceRequest`. Its memory is its own during the call only.
    """

    def __init__(self, request: Any) -> None:
        self.arrays = {one.name(): np.from_dlpack(one).copy() for one in request.inputs()}
        self.sender = request.get_response_sender()
        self._parameters = request.parameters()
        self._correlation_id = request.correlation_id()
        self._flags = request.flags()
        self._wanted = request.requested_output_names()

    def parameters(self) -> str:
        """As Triton's: JSON."""
        return str(self._parameters)

    def correlation_id(self) -> int | str:
        """As Triton's: the sequence."""
        found: int | str = self._correlation_id
        return found

    def flags(self) -> int:
        """As Triton's: whether the sequence starts or ends."""
        return int(self._flags)

    def requested_output_names(self) -> list[str]:
        """As Triton's."""
        return list(self._wanted)
