"""cineflow: cardiac-motion models from a PyTorch file to a scanner, in real time."""

from __future__ import annotations

__version__: str


def __getattr__(name: str) -> str:
    """The version, read when it is asked for: importing the reader takes its time."""
    if name == "__version__":
        from importlib.metadata import version

        return version("cineflow")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
