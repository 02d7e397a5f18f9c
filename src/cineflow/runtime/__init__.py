"""Running bundles: the engines, and the stream that keeps state from frame to frame."""

from __future__ import annotations

from cineflow.runtime.bundle import Bundle, builtin_bundles
from cineflow.runtime.engine import Engine, EngineStatus
from cineflow.runtime.selection import choose_engine, engine_report, open_engine

__all__ = [
    "Bundle",
    "Engine",
    "EngineStatus",
    "builtin_bundles",
    "choose_engine",
    "engine_report",
    "open_engine",
]
