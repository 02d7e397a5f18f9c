"""What the model asks of a request: one of Triton's, one that outlives Triton's call.

A frame that came directly is the third kind (direct.py).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from cineflow.runtime.readings import Room

SEQUENCE_START, SEQUENCE_END = 1, 2  # bits of InferenceRequest.flags()


class Request(Protocol):
    """A frame of a stream, or what begins or ends one.

    Attributes:
        room: Memory of the client that outputs may be written to, as `Stream.push` takes it.
    """

    room: Room | None

    def correlation_id(self) -> int | str:
        """The sequence."""

    def flags(self) -> int:
        """Whether the sequence starts or ends with it."""

    def requested_output_names(self) -> list[str]:
        """Names of the outputs that are wanted."""

    def input(self, name: str) -> np.ndarray | None:
        """An input by name; None where it is not there."""


class TritonRequest:
    """A request during Triton's call.

    Args:
        pb: Triton's module.
        request: A `pb_utils.InferenceRequest`.
    """

    room: Room | None = None

    def __init__(self, pb: Any, request: Any) -> None:
        self._pb = pb
        self._request = request

    def correlation_id(self) -> int | str:
        """As Triton's: the sequence."""
        found: int | str = self._request.correlation_id()
        return found

    def flags(self) -> int:
        """As Triton's: whether the sequence starts or ends."""
        return int(self._request.flags())

    def requested_output_names(self) -> list[str]:
        """As Triton's."""
        return list(self._request.requested_output_names())

    def input(self, name: str) -> np.ndarray | None:
        """A view of an input in the server's memory, which is valid only during this call."""
        tensor = self._pb.get_input_tensor_by_name(self._request, name)
        return None if tensor is None else np.from_dlpack(tensor)


class KeptRequest:
    """A request for a thread that computes it later. Its inputs are copied.

    Args:
        request: A `pb_utils.InferenceRequest`. Its memory is its own during the call only.

    Attributes:
        sender: Sends its response.
    """

    room: Room | None = None

    def __init__(self, request: Any) -> None:
        self.sender = request.get_response_sender()
        self._arrays = {one.name(): np.from_dlpack(one).copy() for one in request.inputs()}
        self._correlation_id: int | str = request.correlation_id()
        self._flags = int(request.flags())
        self._wanted: list[str] = list(request.requested_output_names())

    def correlation_id(self) -> int | str:
        """As Triton's: the sequence."""
        return self._correlation_id

    def flags(self) -> int:
        """As Triton's: whether the sequence starts or ends."""
        return self._flags

    def requested_output_names(self) -> list[str]:
        """As Triton's."""
        return self._wanted

    def input(self, name: str) -> np.ndarray | None:
        """An input by name; None where it is not there."""
        return self._arrays.get(name)
