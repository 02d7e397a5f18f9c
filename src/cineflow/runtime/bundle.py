"""Bundle: one directory that holds a verified model, ready to run.

    DIR/model.onnx       the graph, every cineflow op as a node with a standard-operator body
    DIR/manifest.json    the ModelSpec, file hashes, versions and the parity figures of the export

The exporter writes bundles. This module reads them, and refuses a bundle whose files differ from
its manifest. It needs neither torch nor onnx.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cineflow.errors import BundleError, SpecError
from cineflow.spec import ModelSpec, TensorSpec

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"

#: Version of the manifest's layout. Readers refuse every other version.
MANIFEST_FORMAT = 1

#: Bundles that ship inside the package, by model name.
BUILTIN_DIR = Path(__file__).resolve().parent.parent / "bundles"

_REEXPORT = "Export it again: `cineflow export NAME --out DIR`"


@dataclass(frozen=True)
class Bundle:
    """A model on disk whose content matches its manifest.

    Attributes:
        path: The directory.
        spec: What the model takes and gives.
        hash: SHA-256 of `model.onnx`, hexadecimal.
        manifest: The whole manifest, as read.
    """

    path: Path
    spec: ModelSpec
    hash: str
    manifest: Mapping[str, Any]

    @classmethod
    def load(cls, source: str | Path) -> Bundle:
        """Open a bundle by directory, or by the name of a built-in one.

        Args:
            source: A directory with `manifest.json`, or a name of `builtin_bundles()`. A string
                that is both means the built-in bundle; write `./NAME` for the directory.

        Raises:
            BundleError: There is no bundle, or a file of it is missing, damaged or changed.
        """
        path = _locate(source)
        manifest = _read_manifest(path)
        try:
            spec = ModelSpec.from_json(json.dumps(manifest["spec"]))
            expected = _hashes(manifest)[MODEL_FILE]
        except (KeyError, TypeError, AttributeError, SpecError) as error:
            raise BundleError(
                f"{path / MANIFEST_FILE} with a spec and the SHA-256 hash of each file",
                f"{type(error).__name__}: {error}",
                _REEXPORT,
            ) from error
        actual = file_sha256(path / MODEL_FILE)
        if actual != expected:
            raise BundleError(
                f"{MODEL_FILE} with SHA-256 {expected[:12]}..., as its manifest says",
                f"{actual[:12]}... in {path}",
                _REEXPORT,
            )
        return cls(path=path, spec=spec, hash=actual, manifest=manifest)

    @property
    def onnx_path(self) -> Path:
        """The graph."""
        return self.path / MODEL_FILE

    @property
    def hash8(self) -> str:
        """The first eight digits of the hash, which tell the versions of a model apart."""
        return self.hash[:8]

    def graph_hashes(self) -> frozenset[str]:
        """SHA-256 of every graph that engines of this bundle are built from, segments included."""
        files = self.manifest["files"].items()
        return frozenset(str(entry["sha256"]) for name, entry in files if name.endswith(".onnx"))

    @property
    def served_name(self) -> str:
        """Name under which a server offers exactly this content ("lucas_kanade-1a2b3c4d")."""
        return f"{self.spec.name}-{self.hash8}"

    @property
    def precision(self) -> str:
        """Storage type of the features inside the graph ("fp32" or "fp16")."""
        return str(self.manifest.get("precision", "fp32"))

    @property
    def batch_axis(self) -> str:
        """First axis along which calls can run together: the export has shown that they do not
        change each other. Older bundles did not say; theirs is called `batch`."""
        return str(self.manifest.get("batch_axis", "batch"))


def builtin_bundles() -> tuple[str, ...]:
    """Names of the bundles inside the package, sorted."""
    return tuple(sorted(entry.parent.name for entry in BUILTIN_DIR.glob(f"*/{MANIFEST_FILE}")))


def graph_inputs(spec: ModelSpec) -> tuple[TensorSpec, ...]:
    """Inputs of the graph in order: the spec's inputs, then each state as `<name>_in`."""
    return spec.inputs + tuple(replace(s, name=f"{s.name}_in") for s in spec.states)


def graph_outputs(spec: ModelSpec) -> tuple[TensorSpec, ...]:
    """Outputs of the graph in order: the spec's outputs, then each state as `<name>_out`."""
    return spec.outputs + tuple(replace(s, name=f"{s.name}_out") for s in spec.states)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
        BundleError: The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise BundleError(f"a readable {path}", str(error), _REEXPORT) from error
    return digest.hexdigest()


def _locate(source: str | Path) -> Path:
    if isinstance(source, str) and source in builtin_bundles():
        return BUILTIN_DIR / source
    path = Path(source)
    if not (path / MANIFEST_FILE).is_file():
        raise BundleError(
            f"a bundle directory or one of the built-in bundles {', '.join(builtin_bundles())}",
            f"{str(source)!r}" + ("" if path.exists() else " (no such path)"),
            "A bundle is written by `cineflow export NAME --out DIR`",
        )
    return path.resolve()


def _hashes(manifest: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each file of a manifest; `TypeError` and the like where an entry has none."""
    hashes = {}
    for name, entry in manifest["files"].items():
        digest = entry["sha256"]
        if not isinstance(digest, str):
            raise TypeError(f"{name}: {entry!r}")
        hashes[name] = digest
    return hashes


def _read_manifest(path: Path) -> Mapping[str, Any]:
    file = path / MANIFEST_FILE
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"a readable {file}", str(error), _REEXPORT) from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != MANIFEST_FORMAT:
        raise BundleError(f"a manifest of format {MANIFEST_FORMAT}", repr(found), _REEXPORT)
    return dict(manifest)
