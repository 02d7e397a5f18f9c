"""Where a bundle comes from: its recipe and its checkpoint, by name and content.

The exporter writes both into the manifest as `origin`, and by them the verifier finds the torch
module again, or says what it needs to find it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cineflow.errors import BundleError, ExportError
from cineflow.export.recipe import Recipe, load_recipe
from cineflow.runtime.bundle import Bundle, file_sha256

#: Digits of a SHA-256 that people read.
_SHOWN = 12


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights.

    Attributes:
        file: The file.
        sha256: Of its content, hexadecimal.
    """

    file: Path
    sha256: str

    @classmethod
    def read(cls, file: str | Path) -> Checkpoint:
        """Open a checkpoint.

        Raises:
            ExportError: The file cannot be read.
        """
        try:
            return cls(Path(file), file_sha256(Path(file)))
        except BundleError as error:
            raise ExportError(
                f"the checkpoint {file}", error.got, "Correct the path given as --weights"
            ) from error

    def __str__(self) -> str:
        return f"{self.file.name} (SHA-256 {self.sha256[:_SHOWN]})"


@dataclass(frozen=True)
class Reference:
    """The torch module that a bundle can be compared with, or why there is none.

    Attributes:
        recipe: Makes the module.
        weights: Its checkpoint; None keeps what `build()` makes.
        missing: What torch could not be asked for, and what to give; "" where it can be asked.
        said: The recipe in words.
    """

    recipe: Recipe | None = None
    weights: Path | None = None
    missing: str = ""
    said: str = ""


def manifest_entry(recipe: Recipe | None, weights: Checkpoint | None) -> dict[str, Any]:
    """`origin` of a manifest; no recipe where the graph came as a file."""
    return {
        "recipe": None
        if recipe is None
        else {"name": recipe.name, "built_in": recipe.built_in, "sha256": recipe.sha256},
        "weights": None
        if weights is None
        else {"name": weights.file.name, "sha256": weights.sha256},
    }


def reference(
    bundle: Bundle, recipe: Recipe | str | Path | None, weights: str | Path | None
) -> Reference:
    """The torch module behind `bundle`.

    Args:
        bundle: What its manifest says is found again without help where it is built in.
        recipe: Given by the user; a file that the bundle was exported from, or its equal.
        weights: Given by the user; the very file that the bundle was exported with.

    Raises:
        BundleError: The manifest's `origin` is none that an export writes.
        ExportError: The recipe cannot be loaded or is another model's, or `weights` is not the
            checkpoint of the export.
    """
    known, checkpoint = _origin(bundle)
    given = None if weights is None else Checkpoint.read(weights)
    if given is not None and known is not None:
        _require_same(given, checkpoint)
    if recipe is None and known is not None and known["built_in"]:
        recipe = known["name"]
    if recipe is None:
        return Reference(missing=_no_recipe(known))
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    if recipe.spec.name != bundle.spec.name:
        raise ExportError(
            f"the recipe of {bundle.spec.name}",
            f"{recipe.origin}, that of {recipe.spec.name}",
            "Give the file that the bundle was exported from as --recipe",
        )
    if checkpoint is not None and given is None:
        return Reference(
            missing=f"torch was not asked: give --weights FILE, the checkpoint {_shown(checkpoint)}"
        )
    changed = known is not None and known["sha256"] != recipe.sha256
    said = recipe.name + (", changed since the export" if changed else "")
    return Reference(recipe, given.file if given else None, said=said)


def _origin(bundle: Bundle) -> tuple[Mapping[str, Any] | None, Mapping[str, str] | None]:
    """Recipe and checkpoint of the manifest, as `manifest_entry` wrote them."""
    origin = bundle.manifest.get("origin") or {"recipe": None, "weights": None}
    wanted = {
        "recipe": {"name": str, "built_in": bool, "sha256": str},
        "weights": {"name": str, "sha256": str},
    }
    try:
        for part, kinds in wanted.items():
            if origin[part] is not None and {k: type(v) for k, v in origin[part].items()} != kinds:
                raise KeyError(part)
        return origin["recipe"], origin["weights"]
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"an origin in the manifest of {bundle.path}: the recipe and the checkpoint",
            repr(origin)[:200],
            "Export it again: `cineflow export NAME --out DIR`",
        ) from error


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
        return "torch was not asked: no recipe is behind this bundle, only a graph"
    which = known["name"]
    if known["sha256"]:  # a Recipe object has none
        which += f", SHA-256 {known['sha256'][:_SHOWN]}"
    return f"torch was not asked: give --recipe FILE, the one it was exported from ({which})"


def _shown(known: Mapping[str, str]) -> str:
    return str(Checkpoint(Path(known["name"]), known["sha256"]))
