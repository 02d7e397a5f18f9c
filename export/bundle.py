"""Export in order: recipe -> graph -> parity -> bundle, written whole or not at all."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cineflow.errors import BundleError, ExportError
from cineflow.export.origin import Checkpoint, manifest_entry
from cineflow.export.recipe import ANYTHING, Recipe, load_recipe, parity_sizes, trace_sizes
from cineflow.export.staging import placed
from cineflow.runtime.bundle import (
    MANIFEST_FILE,
    MANIFEST_FORMAT,
    MODEL_FILE,
    Bundle,
    file_sha256,
)
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine, op_library_path, open_segments
from cineflow.runtime.segments import SEGMENTS_DIR
from cineflow.spec import Weights

if TYPE_CHECKING:
    import onnx
    import torch

    from cineflow.export.parity import Parity
    from cineflow.runtime.engine import Engine
    from cineflow.spec import ModelSpec

PRECISIONS = ("fp32", "fp16")

#: The graph with every function inlined; written on request beside `model.onnx`.
INLINED_FILE = "model-inlined.onnx"

#: What `cineflow verify` adds to a bundle.
REPORT_JSON, REPORT_HTML = "report.json", "report.html"

#: Seeds of the parity inputs.
PARITY_SEEDS = (0, 1, 2)

#: Packages whose version decides what a bundle holds.
_VERSIONED = ("cineflow", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")

Progress = Callable[[str], None]


def export_bundle(
    recipe: Recipe | str | Path,
    out_dir: str | Path,
    *,
    weights: str | Path | None = None,
    precision: str = "fp32",
    sizes: Mapping[str, int] | None = None,
    inlined: bool = False,
    split_ops: bool = False,
    progress: Progress = lambda message: None,
) -> Bundle:
    """Export a recipe, prove it, and write the bundle.

    Args:
        recipe: A recipe, a built-in recipe's name, or a recipe file.
        out_dir: Directory to write; an older bundle there is replaced, anything else is refused.
        weights: Checkpoint for the module; None keeps what `build()` made.
        precision: "fp32", or "fp16" for features in half precision.
        sizes: Fix these dynamic axes, by name ("height", "width").
        inlined: Also write `model-inlined.onnx`, for tools that cannot read functions.
        split_ops: Also write the graph cut at our ops, for runtimes that take no plugins.
        progress: Called with one short sentence per step.

    Raises:
        ExportError: The module cannot be exported, its graph has an error of the lint, or a runtime
            differs from it by more than the tolerance of the spec.
        BundleError: `out_dir` cannot be written, or holds something that is no bundle.
        MissingDependencyError: torch, onnx or onnxscript is not installed.
    """
    from cineflow.export import graph, lint, parity
    from cineflow.export.precision import precision_of

    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    if precision not in PRECISIONS:
        raise ExportError(
            f"a precision of {', '.join(PRECISIONS)}",
            repr(precision),
            "fp16 keeps coordinates, flow and states in f32; there is no bf16 form",
        )
    parity.require_tolerances(recipe.spec)
    if sizes:
        recipe = recipe.with_sizes(sizes)
    checkpoint = None if weights is None else Checkpoint.read(weights)
    module = build_module(recipe, weights)
    spec = replace(recipe.spec, weights=_weights_of(recipe, checkpoint, module))
    origin = manifest_entry(recipe, checkpoint)
    out_dir = Path(out_dir).resolve()  # "." is another folder once the bundle has its place
    with staged_directory(out_dir) as stage:
        examples = recipe.examples(trace_sizes(spec), seed=0)
        parity.require_repeatable(module, spec, examples)
        progress(f"trace {spec.name}")
        model = graph.trace(module, spec, examples, precision)
        precision = precision_of(model)  # what was asked for, where there are features to store
        write_bundle(stage, model, spec, origin, precision, inlined=inlined, split_ops=split_ops)
        engines = engines_for(Bundle.load(stage))
        rows: list[Parity] = []
        for sizes in parity_sizes(spec):
            progress(f"compare torch with {engines[0].name} at {sizes or 'the fixed size'}")
            rows += parity.compare(module, engines, recipe, sizes, PARITY_SEEDS, precision)
        parity.require(rows, spec)
        lint.require_no_errors(f"the graph of {spec.name}", model)  # last: the others say why
        write_manifest(stage, model, spec, origin, precision, rows)
    progress(f"wrote {out_dir}")
    return Bundle.load(out_dir)


@contextlib.contextmanager
def staged_directory(out_dir: Path) -> Iterator[Path]:
    """A scratch directory beside `out_dir` that takes its place on success and vanishes otherwise.

    Raises:
        BundleError: The place cannot be written, or holds something that is no bundle.
    """
    out_dir = out_dir.resolve()  # a link stays one
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
    """Whether nothing would be lost: an empty directory, or a bundle with nothing beside it."""
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


def build_module(recipe: Recipe, weights: str | Path | None = None) -> torch.nn.Module:
    """The recipe's module in eval mode, without gradients, with `weights` loaded.

    Raises:
        ExportError: `build()` fails or returns no module, or the checkpoint does not fit it.
    """
    import torch

    from cineflow.export.weights import load_weights

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
        load_weights(module, weights)
    return module.eval().requires_grad_(False)


def _weights_of(recipe: Recipe, checkpoint: Checkpoint | None, module: torch.nn.Module) -> Weights:
    """Where the numbers in `module` come from; without a word of the recipe, nobody knows."""
    if checkpoint is not None:
        return Weights(str(checkpoint), "as its source states", trained=True)
    stated = recipe.spec.weights
    if stated.source == "none" and next(module.parameters(), None) is not None:
        return Weights("not stated by the recipe", "not stated")
    return stated


def engines_for(bundle: Bundle) -> Sequence[Engine]:
    """ONNX Runtime with the bodies, with our kernels where they are built, and in segments."""
    engines: list[Engine] = [OnnxRuntimeEngine(bundle, use_op_library=False)]
    if op_library_path():
        engines.append(OnnxRuntimeEngine(bundle))
    if (bundle.path / SEGMENTS_DIR).is_dir():
        engines.append(open_segments(bundle))
    return engines


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
    from cineflow.export import graph

    models = {MODEL_FILE: model} | ({INLINED_FILE: graph.inline(model)} if inlined else {})
    for name, content in models.items():
        (directory / name).write_bytes(content.SerializeToString(deterministic=True))
    if split_ops:
        from cineflow.export.segments import split, write_segments

        write_segments(split(model), directory)
    write_manifest(directory, model, spec, origin, precision, rows=[])


def write_manifest(
    directory: Path,
    model: onnx.ModelProto,
    spec: ModelSpec,
    origin: Mapping[str, Any],
    precision: str,
    rows: Sequence[Parity],
) -> None:
    """Write what is known of the model files in a staged directory."""
    from cineflow.export import graph

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
        "operators": graph.operator_counts(model),
        "versions": _versions(),
        "parity": [row.to_dict() for row in rows],
    }
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_text(directory / MANIFEST_FILE, text)


def file_entry(file: Path) -> dict[str, Any]:
    """What a manifest says of one file."""
    return {"sha256": file_sha256(file), "bytes": file.stat().st_size}


def write_text(file: Path, text: str) -> None:
    """Write a file whose last byte is on disk before anything is renamed."""
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
