"""Export: PyTorch -> ONNX -> verified bundle -> engines and a Triton repository.

    recipe.py    what an exportable model brings: module, example inputs, ModelSpec
    recipes/     the built-in models
    ops/         our ops as ONNX nodes: one file and one row each
    graph/       the torch module as one ONNX graph: traced, in half precision, split, counted
    check/       what can be wrong with a graph: lint, targets, parity with torch
    bundle/      export and import in order, written whole or not at all
    engines/     TensorRT engines built ahead of time
    verify/      everything that can be proven about a bundle here, as one report
    triton/      a Triton model repository from bundles
    builtin.py   regenerates the bundles and the repository that are committed

Each room uses only rooms above it in this list. Importing this package imports neither torch nor
onnx; the names below load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cineflow.export._face import lazily

if TYPE_CHECKING:
    from cineflow.export.bundle import export_bundle
    from cineflow.export.recipe import Recipe, builtin_recipes, load_recipe
    from cineflow.export.triton import write_repository

__all__ = ["Recipe", "builtin_recipes", "export_bundle", "load_recipe", "write_repository"]

__getattr__ = lazily(
    __name__,
    {
        "Recipe": "recipe",
        "builtin_recipes": "recipe",
        "export_bundle": "bundle",
        "load_recipe": "recipe",
        "write_repository": "triton",
    },
)
