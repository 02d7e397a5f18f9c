"""Where a bundle comes from: its recipe and its checkpoint, by name and content.

The exporter writes both into the manifest as `origin`. The verifier uses them to find the torch
module again, or to say what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cineflow.errors import BundleError, ExportError
from cineflow.export.recipe import Recipe
from cineflow.runtime.bundle import Bundle, file_sha256

#: Digits of a SHA-256 in messages.
SHOWN_DIGITS = 12


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
        return f"{self.file.name} (SHA-256 {self.sha256[:SHOWN_DIGITS]})"


def manifest_entry(recipe: Recipe | None, weights: Checkpoint | None) -> dict[str, Any]:
    """`origin` of a manifest; without a recipe if the graph came as a file."""
    made_by: dict[str, Any] | None = None
    if recipe is not None:
        made_by = {"name": recipe.name, "built_in": recipe.built_in, "sha256": recipe.sha256}
        if recipe.variant:
            made_by["variant"] = recipe.variant
    return {
        "recipe": made_by,
        "weights": None
        if weights is None
        else {"name": weights.file.name, "sha256": weights.sha256},
    }


def read_origin(bundle: Bundle) -> tuple[Mapping[str, Any] | None, Mapping[str, str] | None]:
    """Recipe and checkpoint of the manifest, as `manifest_entry` wrote them.

    Raises:
        BundleError: The manifest's `origin` is not what an export writes.
    """
    origin = bundle.manifest.get("origin") or {"recipe": None, "weights": None}
    wanted: dict[str, dict[str, type]] = {
        "recipe": {"name": str, "built_in": bool, "sha256": str},
        "weights": {"name": str, "sha256": str},
    }
    try:
        for part, kinds in wanted.items():
            if origin[part] is None:
                continue
            found = {key: type(value) for key, value in origin[part].items()}
            if found not in (kinds, {**kinds, "variant": str}):
                raise KeyError(part)
        return origin["recipe"], origin["weights"]
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"an origin in the manifest of {bundle.path}: the recipe and the checkpoint",
            repr(origin)[:200],
            "Export it again: `cineflow export NAME --out DIR`",
        ) from error
