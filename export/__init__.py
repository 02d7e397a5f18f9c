"""Export: PyTorch -> ONNX -> verified bundle -> Triton repository.

    recipe.py      what an exportable model brings: module, example inputs, ModelSpec
    operators.py   our ops as ONNX nodes, each with its standard-operator body
    graph.py       the torch module as one ONNX graph
    parity.py      torch against a runtime, in the output's unit
    bundle.py      all of it in order, written whole or not at all
    triton.py      a Triton model repository from bundles

Importing this package imports neither torch nor onnx; the names below load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cineflow.export.bundle import export_bundle
    from cineflow.export.recipe import Recipe, builtin_recipes, load_recipe
    from cineflow.export.triton import write_repository

__all__ = ["Recipe", "builtin_recipes", "export_bundle", "load_recipe", "write_repository"]

_HOMES = {
    "Recipe": "recipe",
    "builtin_recipes": "recipe",
    "export_bundle": "bundle",
    "load_recipe": "recipe",
    "write_repository": "triton",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
