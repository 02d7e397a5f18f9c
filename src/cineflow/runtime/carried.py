"""What a model carries from frame to frame, kept where its engine computes.

A model with a state gives `<name>_out`, and takes it as `<name>_in` with its next run. On a card,
fetching it and sending it back with every frame is two copies of something that nobody reads. So an
engine may keep it: the stream holds a `Carried`, and its arrays come to host memory only when
somebody reads them, which is when the state of the stream leaves the process.

A `Carried` is a value. A run makes a new one and leaves the old one as it was. So a frame that is
refused changes nothing, and a state that was taken from a stream stays what it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from cineflow.ops.held import Card


class Carried(Mapping[str, np.ndarray]):
    """State tensors by name, in the memory of the engine that made them.

    Args:
        owner: The engine; another one reads the arrays.
        values: The engine's own tensors by state name; never written to again.
        fetch: Copies one of them to host memory.
    """

    def __init__(
        self, owner: object, values: Mapping[str, Any], fetch: Callable[[Any], np.ndarray]
    ) -> None:
        self._owner = owner
        self._values = dict(values)
        self._fetch = fetch
        self._arrays: dict[str, np.ndarray] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> np.ndarray:
        """The state `name` as an array. It is fetched once."""
        value = self._values[name]
        with self._lock:
            if name not in self._arrays:
                self._arrays[name] = self._fetch(value)
            return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, or what leaves the process, is a dictionary of arrays."""
        return dict, (dict(self),)

    def held_by(self, engine: object) -> Mapping[str, Any] | None:
        """The tensors themselves, for the engine that made them; None for any other."""
        return self._values if engine is self._owner else None


class LeavesOutputs(Protocol):
    """An engine that can leave outputs where it computes, for our kernels to go on with.

    Attributes:
        card: Where it computes; None where our kernels cannot run there.
        takes_held: Whether inputs may be held on `card`; otherwise they are in host memory.
    """

    card: Card | None
    takes_held: bool

    def run_leaving(
        self,
        inputs: Mapping[str, Any],
        carried: Mapping[str, np.ndarray],
        left: Sequence[str],
    ) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
        """As `KeepsState.run_keeping`, also for a model without a state.

        Args:
            inputs: See there; also arrays that are held on `card` if it `takes_held`.
            carried: See there.
            left: Names of outputs that stay on `card`, each a `cineflow.ops.held.Held`.

        Raises:
            EngineError: See there; or a value of an output that stays is not finite.
        """
        ...


@runtime_checkable
class KeepsState(Protocol):
    """An engine that keeps what a model carries in its own memory."""

    def run_keeping(
        self, inputs: Mapping[str, np.ndarray], carried: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], Carried]:
        """One run of a model with a state.

        Args:
            inputs: The inputs of the spec by name.
            carried: The state before the run by name: arrays, or what a run has returned.

        Returns:
            The outputs of the spec by name, and the state after the run.

        Raises:
            ArgumentError: An input or a state does not fit the spec.
            EngineError: The runtime fails, or a state would have a value that is not finite.
        """
        ...
