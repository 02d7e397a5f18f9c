"""The exported networks, kept from one run to the next: an export takes longer than the figures."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

import cineflow
import cineflow.export
from cineflow.errors import BundleError
from cineflow.export import export_bundle, load_recipe
from cineflow.runtime.bundle import Bundle

FOLDER = Path("build/bench/bundles")

#: What an export depends on besides our own sources.
_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")

#: Rooms that an export may not use: a change of a page makes no bundle old.
_OTHER_ROOMS = ("cli", "filing", "report", "serving")

#: One input at each size: the tests compare torch and the runtimes on more.
_SEEDS = (0,)


def exported(
    name: str, variant: str, given: Mapping[str, int], say: Callable[[str], None]
) -> Bundle:
    """A network's bundle: one that an earlier run made of the same sources, or a new one.

    Args:
        name: Of the recipe.
        variant: Of it.
        given: Sizes of some axes, which are fixed.
        say: Called with each step of an export.
    """
    recipe = load_recipe(name, variant).with_sizes(given)
    text = json.dumps([variant, recipe.spec.to_json(), sorted(given.items()), sources()])
    stem = "-".join([recipe.spec.name, *map(str, given.values())])
    folder = FOLDER / f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    try:
        return Bundle.load(folder)
    except BundleError:
        pass  # not there, or not whole
    for older in FOLDER.glob(f"{stem}-{'[0-9a-f]' * 12}"):
        shutil.rmtree(older)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return export_bundle(recipe, folder, seeds=_SEEDS, progress=say)


@cache
def sources() -> str:
    """A hash of our Python sources that an export may use, and of the versions of the others."""
    digest = hashlib.sha256()
    for one in _PACKAGES:
        digest.update(f"{one} {version(one)}\n".encode())
    for package in (cineflow, cineflow.export):
        for root in map(Path, package.__path__):
            for file in sorted(root.rglob("*.py")):
                name = file.relative_to(root)
                if name.parts[0] not in _OTHER_ROOMS:
                    digest.update(f"{name}\n".encode())
                    digest.update(file.read_bytes())
    return digest.hexdigest()
