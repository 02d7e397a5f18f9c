"""The torch module behind a bundle, found by the origin in its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cineflow.errors import ExportError
from cineflow.export.bundle.origin import SHOWN_DIGITS, Checkpoint, read_origin
from cineflow.export.recipe import Recipe, load_recipe
from cineflow.runtime.bundle import Bundle


@dataclass(frozen=True)
class Reference:
    """The torch module that a bundle can be compared with, or why it is missing.

    Attributes:
        recipe: Makes the module.
        weights: Its checkpoint; None keeps what `build()` makes.
        missing: Why torch cannot be compared, and what to give; "" where it can.
        said: The recipe, for the report.
    """

    recipe: Recipe | None = None
    weights: Path | None = None
    missing: str = ""
    said: str = ""


def reference(
    bundle: Bundle, recipe: Recipe | str | Path | None, weights: str | Path | None
) -> Reference:
    """The torch module behind `bundle`.

    Args:
        bundle: Its manifest names the recipe; a built-in one is found without help.
        recipe: Given by the user: the file that the bundle was exported from, or an equal one.
        weights: Given by the user: the file that the bundle was exported with.

    Raises:
        BundleError: The manifest's `origin` is not what an export writes.
        ExportError: The recipe cannot be loaded or belongs to another model, or `weights` is not
            the checkpoint of the export.
    """
    known, checkpoint = read_origin(bundle)
    given = None if weights is None else Checkpoint.read(weights)
    if given is not None and known is not None:
        _require_same(given, checkpoint)
    if recipe is None and known is not None and known["built_in"]:
        recipe = known["name"]
    if recipe is None:
        return Reference(missing=_no_recipe(known))
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, (known or {}).get("variant", ""))
    if recipe.spec.name != bundle.spec.name:
        raise ExportError(
            f"the recipe of {bundle.spec.name}",
            f"{recipe.origin}, the recipe of {recipe.spec.name}",
            "Give the file that the bundle was exported from as --recipe",
        )
    if checkpoint is not None and given is None:
        return Reference(
            missing="torch was not compared: give --weights FILE, the checkpoint "
            + _shown(checkpoint)
        )
    changed = known is not None and known["sha256"] != recipe.sha256
    said = recipe.name + (", changed since the export" if changed else "")
    return Reference(recipe, given.file if given else None, said=said)


def _require_same(given: Checkpoint, known: Mapping[str, str] | None) -> None:
    """Raise `ExportError` unless `given` is the checkpoint that the manifest names."""
    if known is None:
        raise ExportError(
            "no checkpoint: the bundle was exported with the weights that build() makes",
            str(given),
            "Leave --weights out, or export again with it",
        )
    if given.sha256 != known["sha256"]:
        raise ExportError(
            f"the checkpoint {_shown(known)}, which the bundle was exported with",
            str(given),
            "Find that file, or export again with this one",
        )


def _no_recipe(known: Mapping[str, Any] | None) -> str:
    if known is None:
        return "torch was not compared: the bundle was imported from a graph, without a recipe"
    which = known["name"]
    if known["sha256"]:  # a Recipe object has no file
        which += f", SHA-256 {known['sha256'][:SHOWN_DIGITS]}"
    return f"torch was not compared: give --recipe FILE, the one it was exported from ({which})"


def _shown(known: Mapping[str, str]) -> str:
    return str(Checkpoint(Path(known["name"]), known["sha256"]))
