"""Bundles: a model exported from a recipe, or imported from an ONNX file, whole or not at all.

export.py    recipe -> graph -> parity -> bundle
imported.py  somebody else's ONNX file and a spec -> bundle
spec_file.py a spec as YAML
draft.py     the first version of such a spec
foreign.py   a file's names, order and unnamed sizes as in its spec
warps.py     a file's GridSample as cineflow::Warp, where that is the same
contents.py  the files of a bundle and its manifest
module.py    the torch module of a recipe
probes.py    inputs with known results, for the engine that will serve
batching.py  whether calls can run together: rows that do not change each other
weights.py   a checkpoint into a module, with every disagreement named
origin.py    the recipe and checkpoint of a bundle, by name and content
staging.py   a folder that is written whole or not at all
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cineflow.export._face import lazily

if TYPE_CHECKING:
    from cineflow.export.bundle.contents import REPORT_HTML, staged_directory
    from cineflow.export.bundle.export import export_bundle
    from cineflow.export.bundle.imported import import_bundle, read_spec
    from cineflow.export.bundle.module import build_module
    from cineflow.export.bundle.staging import placed
    from cineflow.export.bundle.weights import load_weights

__all__ = [
    "REPORT_HTML",
    "build_module",
    "export_bundle",
    "import_bundle",
    "load_weights",
    "placed",
    "read_spec",
    "staged_directory",
]

__getattr__ = lazily(
    __name__,
    {
        "REPORT_HTML": "contents",
        "build_module": "module",
        "export_bundle": "export",
        "import_bundle": "imported",
        "load_weights": "weights",
        "placed": "staging",
        "read_spec": "imported",
        "staged_directory": "contents",
    },
)
