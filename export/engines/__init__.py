"""TensorRT engines, built ahead of time into the engine store.

build.py     a bundle's engines for several cards
builder.py   one engine from one graph
flavours.py  TensorRT and TensorRT-RTX: what is installed and what it supports
profile.py   the sizes that an engine is built for
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cineflow.export._face import lazily

if TYPE_CHECKING:
    from cineflow.export.engines.build import build_engines
    from cineflow.export.engines.builder import EngineBuild, parse_errors
    from cineflow.export.engines.flavours import import_flavour
    from cineflow.export.engines.profile import complete_profile, default_profile, parse_profile

__all__ = [
    "EngineBuild",
    "build_engines",
    "complete_profile",
    "default_profile",
    "import_flavour",
    "parse_errors",
    "parse_profile",
]

__getattr__ = lazily(
    __name__,
    {
        "EngineBuild": "builder",
        "build_engines": "build",
        "complete_profile": "profile",
        "default_profile": "profile",
        "import_flavour": "flavours",
        "parse_errors": "builder",
        "parse_profile": "profile",
    },
)
