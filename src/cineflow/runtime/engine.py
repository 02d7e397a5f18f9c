"""Engine: one way to run a bundle, whatever executes it.

`open_engine` picks the runtime, and `choose_engine` says which and why; `engine_report` lists every
runtime this version knows, for `cineflow doctor`. The runtimes themselves are in `runtimes.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from cineflow.errors import CineflowError, EngineError
from cineflow.runtime.bundle import Bundle

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """A model that is loaded and ready.

    Attributes:
        name: Runtime and device ("onnxruntime").
        model: Which model exactly: `Bundle.served_name`, which holds the hash of the graph.
        kernels: In words, what runs our own ops (kernels or the bodies in the graph).
    """

    name: str
    model: str
    kernels: str

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of the graph by name, for every input by name; see the ModelSpec."""
        ...


@dataclass(frozen=True)
class EngineStatus:
    """What is known of one runtime on this machine.

    Attributes:
        name: Runtime and device ("onnxruntime-cuda").
        version: Version of its library; empty where it is not installed.
        available: Whether an engine can be opened.
        reason: Why it is available or not, in one sentence.
        remedy: What makes it available; empty where nothing is missing.
        chosen: Whether `open_engine` would take it.
        reference: Whether it opens no bundle, but is what others are compared with.
    """

    name: str
    version: str
    available: bool
    reason: str
    remedy: str = ""
    chosen: bool = False
    reference: bool = False


def open_engine(
    bundle: Bundle,
    threads: int | None = None,
    *,
    runtime: str = "auto",
    precision: str | None = None,
) -> Engine:
    """Open `bundle` in a runtime.

    Args:
        bundle: The model.
        threads: CPU threads inside one call; None means the runtime's default.
        runtime: A name of `engine_report()`, or "auto" for the best one here. Where that one fails
            to open the bundle, the next takes its place and a warning is logged with the reason.
        precision: "fp16" for an engine that was built in half precision from a bundle in single;
            None means the bundle's own, and no engine of another is ever taken for it.

    Raises:
        EngineError: The runtime is unknown or not available here, or the model does not load.
    """
    from cineflow.runtime.runtimes import RUNTIMES

    if runtime == "auto":
        return _open_best(bundle, threads, precision)
    if runtime not in RUNTIMES:
        raise EngineError(
            f"a runtime of {sorted(RUNTIMES)}", repr(runtime), "`cineflow doctor` shows what works"
        )
    found = RUNTIMES[runtime].status(bundle, precision)
    if not found.available:
        raise EngineError(f"the runtime {runtime}", found.reason, found.remedy)
    return RUNTIMES[runtime].open(bundle, threads, precision)


def choose_engine(bundle: Bundle | None = None) -> EngineStatus:
    """The runtime that `open_engine` takes here, with the reason.

    Args:
        bundle: The model; None asks for any model, as if the store held an engine of it.

    Raises:
        EngineError: None is available.
    """
    for status in engine_report(bundle):
        if status.chosen:
            return status
    raise _none_available()


def engine_report(bundle: Bundle | None = None, precision: str | None = None) -> list[EngineStatus]:
    """Every runtime, best first; the first available one is chosen. See `open_engine`."""
    from cineflow.runtime.runtimes import RUNTIMES

    report = [runtime.status(bundle, precision) for runtime in RUNTIMES.values()]
    best = next((status for status in report if status.available), None)
    return [replace(status, chosen=status is best) for status in report]


def _open_best(bundle: Bundle, threads: int | None, precision: str | None) -> Engine:
    from cineflow.runtime.runtimes import RUNTIMES

    refusals: list[CineflowError] = []
    for status in engine_report(bundle, precision):
        if not status.available:
            continue
        try:
            engine = RUNTIMES[status.name].open(bundle, threads, precision)
        except CineflowError as error:
            _log.warning("%s does not open %s: %s", status.name, bundle.served_name, error)
            refusals.append(error)
        else:
            return engine
    raise refusals[0] if refusals else _none_available(precision)


def _none_available(precision: str | None = None) -> EngineError:
    if precision is None:
        return EngineError("one runtime", "none is installed", "`pip install onnxruntime`")
    return EngineError(
        f"a runtime that runs this bundle in {precision} here",
        "none",
        f"Export it with --precision {precision}, or `cineflow engine build --precision "
        f"{precision}` for the card in this machine",
    )
