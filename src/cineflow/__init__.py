"""cineflow: cardiac-motion models from a PyTorch file to a scanner, in real time."""

from importlib.metadata import version as _version

__version__ = _version("cineflow")
