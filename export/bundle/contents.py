"""The files of a bundle and its manifest, written into a staged directory."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from cineflow.errors import BundleError
from cineflow.export.bundle.staging import placed
from cineflow.export.check.parity import Parity
from cineflow.export.graph.model import inline, operator_counts
from cineflow.export.graph.split import split_at_ops, write_segments
from cineflow.runtime.bundle import (
    MANIFEST_FILE,
    MANIFEST_FORMAT,
    MODEL_FILE,
    Bundle,
    file_sha256,
)
from cineflow.runtime.engine import Engine
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine, op_library_path, open_segments
from cineflow.runtime.segments import SEGMENTS_DIR
from cineflow.spec import FeedKind, ModelSpec

#: The graph with every function inlined; written on request.
INLINED_FILE = "model-inlined.onnx"

#: What `cineflow verify` adds to a bundle.
REPORT_JSON, REPORT_HTML = "report.json", "report.html"

#: Packages whose version decides what a bundle contains.
_VERSIONED = ("cineflow", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")


@contextlib.contextmanager
def staged_directory(out_dir: Path) -> Iterator[Path]:
    """A scratch directory next to `out_dir` that replaces it on success and is removed otherwise.

    Raises:
        BundleError: `out_dir` cannot be written, or has other content than a bundle.
    """
    out_dir = out_dir.resolve()  # a link stays a link
    if out_dir.exists() and not _replaceable(out_dir):
        raise BundleError(
            "a new directory, an empty one or an older bundle",
            f"{out_dir} with other content",
            "Choose another --out",
        )
    try:
        with placed(out_dir) as stage:
            yield stage
    except OSError as error:
        raise BundleError(
            f"to write {out_dir}", str(error), "Free space or choose another --out"
        ) from error


def _replaceable(directory: Path) -> bool:
    """Whether nothing would be lost: an empty directory, or a bundle without other files."""
    if not directory.is_dir():
        return False
    found = {str(f.relative_to(directory)) for f in directory.rglob("*") if not f.is_dir()}
    try:
        manifest = json.loads((directory / MANIFEST_FILE).read_text(encoding="utf-8"))
        known = set(manifest["files"])
        ours = manifest["format"] == MANIFEST_FORMAT and MODEL_FILE in known
    except (OSError, ValueError, LookupError, TypeError):
        return not any(directory.iterdir())
    return ours and found <= known | {MANIFEST_FILE, REPORT_JSON, REPORT_HTML}


def engines_for(bundle: Bundle) -> list[Engine]:
    """ONNX Runtime with the bodies, with our kernels where they are built, and in segments."""
    engines = whole_engines(bundle)
    if has_segments(bundle):
        engines.append(open_segments(bundle))
    return engines


def whole_engines(bundle: Bundle) -> list[Engine]:
    """ONNX Runtime with the bodies, and with our kernels where they are built."""
    engines: list[Engine] = [OnnxRuntimeEngine(bundle, use_op_library=False)]
    if op_library_path():
        engines.append(OnnxRuntimeEngine(bundle))
    return engines


def has_segments(bundle: Bundle) -> bool:
    return (bundle.path / SEGMENTS_DIR).is_dir()


def write_bundle(
    directory: Path,
    model: onnx.ModelProto,
    spec: ModelSpec,
    origin: Mapping[str, Any],
    precision: str,
    *,
    inlined: bool = False,
    split_ops: bool = False,
) -> None:
    """Write the graph, its other forms, and a manifest without figures into a staged directory."""
    models = {MODEL_FILE: model} | ({INLINED_FILE: inline(model)} if inlined else {})
    for name, content in models.items():
        (directory / name).write_bytes(content.SerializeToString(deterministic=True))
    if split_ops:
        write_segments(split_at_ops(model), directory)
    write_manifest(directory, model, spec, origin, precision, rows=[])


def write_manifest(
    directory: Path,
    model: onnx.ModelProto,
    spec: ModelSpec,
    origin: Mapping[str, Any],
    precision: str,
    rows: Sequence[Parity],
    batch_axis: str = "",
) -> None:
    """Write the manifest of the model files in a staged directory.

    `batch_axis` is the axis along which calls can run together; "" without one.
    """
    manifest = {
        "format": MANIFEST_FORMAT,
        "spec": json.loads(spec.to_json()),
        "origin": origin,
        "precision": precision,
        "files": {
            str(file.relative_to(directory)): file_entry(file)
            for file in sorted(directory.rglob("*"))
            if file.is_file() and file.name != MANIFEST_FILE
        },
        "opsets": {opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        "operators": operator_counts(model),
        "versions": _versions(),
        "parity": [row.to_dict() for row in rows],
    } | ({"batch_axis": batch_axis} if spec.feed.kind == FeedKind.CALL else {})
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_text(directory / MANIFEST_FILE, text)


def file_entry(file: Path) -> dict[str, Any]:
    """The manifest's entry of one file."""
    return {"sha256": file_sha256(file), "bytes": file.stat().st_size}


def write_text(file: Path, text: str) -> None:
    """Write a file and flush it to disk, so that a rename afterwards is safe."""
    with file.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _versions() -> dict[str, str]:
    found = {}
    for package in _VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
