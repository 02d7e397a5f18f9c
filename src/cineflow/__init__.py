"""cineflow: cardiac-motion models from a PyTorch file to a scanner, in real time."""

from __future__ import annotations

from typing import Any

__version__: str

#: Subpackages that `import cineflow` makes reachable. Each is imported at its first use.
_ROOMS = (
    "cine",
    "errors",
    "export",
    "models",
    "motion",
    "ops",
    "phantom",
    "reference",
    "report",
    "runtime",
    "serving",
    "spec",
)


def __getattr__(name: str) -> Any:
    """A subpackage or the version, when it is first asked for: either takes time to load."""
    if name in _ROOMS:
        from importlib import import_module

        return import_module(f"cineflow.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("cineflow")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS, "__version__"})
