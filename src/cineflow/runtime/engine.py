"""What an engine is, and what is known of a runtime on this machine.

The runtimes are in `runtimes.py`; `selection.py` chooses one and opens a bundle in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Engine(Protocol):
    """A model that is loaded and ready.

    Attributes:
        name: Runtime and device ("onnxruntime").
        model: `Bundle.served_name` of the model, which contains the hash of the graph.
        kernels: What runs our own ops, in words (kernels, or the bodies in the graph).
    """

    name: str
    model: str
    kernels: str

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One run of the graph, without scaling or checks of values; those are a stream's.

        Args:
            inputs: Every input by name, in the dtype and shape of the ModelSpec; a state s as
                `s_in`.

        Returns:
            Every output by name; a state s as `s_out`.

        Raises:
            EngineError: The runtime refuses an input, or fails.
        """
        ...


class WritesInto(Protocol):
    """An engine that can write outputs to memory that it is given, so that nobody copies them."""

    def run_into(
        self, inputs: Mapping[str, np.ndarray], places: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """As `Engine.run`.

        Args:
            inputs: See there.
            places: Memory for some outputs by name, contiguous, of their dtype and shape. They are
                then these arrays.

        Raises:
            EngineError: See there; or an output has another shape.
        """
        ...


@dataclass(frozen=True)
class EngineStatus:
    """What is known of one runtime on this machine.

    Attributes:
        name: Runtime and device ("onnxruntime-cuda").
        version: Version of its library; empty if it is not installed.
        available: Whether it can open an engine.
        reason: Why it is available or not, in one sentence.
        remedy: What makes it available; empty if nothing is missing.
        chosen: Whether `open_engine` would take it.
        reference: Whether it opens no bundles and only serves as the reference of comparisons.
    """

    name: str
    version: str
    available: bool
    reason: str
    remedy: str = ""
    chosen: bool = False
    reference: bool = False
