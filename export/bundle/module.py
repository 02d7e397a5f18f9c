"""The torch module of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cineflow.errors import ExportError
from cineflow.export.bundle.weights import load_weights
from cineflow.export.recipe import ANYTHING, Recipe

if TYPE_CHECKING:
    import torch


def build_module(recipe: Recipe, weights: str | Path | None = None) -> torch.nn.Module:
    """The recipe's module in eval mode, without gradients, with `weights` loaded.

    Raises:
        ExportError: `build()` fails or does not return a module, or the checkpoint does not fit it.
    """
    import torch

    try:
        module = recipe.build()
    except ANYTHING as error:
        raise ExportError(
            f"build() of {recipe.origin} to make the module",
            f"{type(error).__name__}: {error}",
            "Try it alone: python -c 'import RECIPE; RECIPE.build()'",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise ExportError(
            f"build() of {recipe.origin} to return a torch.nn.Module",
            type(module).__name__,
            "Return the network itself; weights come from --weights or from build()",
        )
    if weights is not None:
        load_into(module, weights, recipe)
    return module.eval().requires_grad_(False)


def load_into(module: torch.nn.Module, weights: str | Path, recipe: Recipe) -> tuple[str, ...]:
    """Load a checkpoint into a recipe's module.

    Returns:
        The parts that the checkpoint lacks (`Recipe.may_lack`).

    Raises:
        ExportError: It does not fit.
    """
    return load_weights(module, weights, recipe.own_keys, recipe.may_lack)
