"""Choosing a runtime on this machine, and opening a bundle in it."""

from __future__ import annotations

import functools
import logging
from dataclasses import replace

from cineflow.errors import CineflowError, EngineError
from cineflow.runtime.bundle import Bundle
from cineflow.runtime.engine import Engine, EngineStatus
from cineflow.runtime.runtimes import RUNTIMES

_log = logging.getLogger(__name__)


def open_engine(
    bundle: Bundle,
    threads: int | None = None,
    *,
    runtime: str = "auto",
    precision: str | None = None,
    on_card: bool = False,
) -> Engine:
    """Open `bundle` in a runtime: `open_engine(bundle).run({"previous": ..., "current": ...})`.

    Args:
        bundle: The model.
        threads: CPU threads inside one call; None means the runtime's default.
        runtime: A name of `engine_report()`, or "auto" for the best one here. If that one fails to
            open the bundle, the next one is tried and a warning is logged with the reason.
        precision: "fp16" for an engine that was built in half precision from a bundle in single
            precision. None means the bundle's own. An engine of another precision is never taken.
        on_card: "auto" takes a runtime on an NVIDIA card, and never the CPU.

    Raises:
        EngineError: The runtime is unknown or not available here, or the model does not load.
    """
    if runtime == "auto":
        return _open_best(bundle, threads, precision, on_card)
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
        bundle: The model. None asks about any model, as if the store held an engine of it.

    Raises:
        EngineError: No runtime is available.
    """
    for status in engine_report(bundle):
        if status.chosen:
            return status
    raise _none_available()


def engine_report(bundle: Bundle | None = None, precision: str | None = None) -> list[EngineStatus]:
    """Every runtime, best first; the first available one is chosen. See `open_engine`."""
    report = [runtime.status(bundle, precision) for runtime in RUNTIMES.values()]
    best = next((status for status in report if status.available), None)
    return [replace(status, chosen=status is best) for status in report]


def describe_engine(engine: Engine) -> str:
    """An open engine's runtime with the version of its library ("onnxruntime 1.31.0")."""
    return f"{engine.name} {_library_version(engine.name)}".strip()


@functools.cache
def _library_version(runtime: str) -> str:
    return RUNTIMES[runtime].status(None, None).version if runtime in RUNTIMES else ""


def _open_best(bundle: Bundle, threads: int | None, precision: str | None, on_card: bool) -> Engine:
    refusals: list[CineflowError] = []
    asked = [
        status
        for status in engine_report(bundle, precision)
        if RUNTIMES[status.name].on_card or not on_card
    ]
    for status in asked:
        if not status.available:
            continue
        try:
            engine = RUNTIMES[status.name].open(bundle, threads, precision)
        except CineflowError as error:
            _log.warning("%s does not open %s: %s", status.name, bundle.served_name, error)
            refusals.append(error)
        else:
            return engine
    if refusals:
        raise refusals[0]
    raise _none_on_card(bundle, asked) if on_card else _none_available(precision)


def _none_on_card(bundle: Bundle, asked: list[EngineStatus]) -> EngineError:
    last = asked[-1]  # ONNX Runtime, which needs no engine to be built
    return EngineError(
        f"a runtime that runs {bundle.served_name} on an NVIDIA card",
        "; ".join(f"{status.name}: {status.reason}" for status in asked),
        f"{last.name}: {last.remedy}; or leave out --gpu and --gpu-memory: the CPU is used then",
    )


def _none_available(precision: str | None = None) -> EngineError:
    if precision is None:
        return EngineError("an installed runtime", "none", "`pip install onnxruntime`")
    return EngineError(
        f"a runtime that runs this bundle in {precision} here",
        "none",
        f"Export it with --precision {precision}, or `cineflow engine build --precision "
        f"{precision}` for the card in this machine",
    )
