"""Export in order: recipe -> graph -> parity -> bundle, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cineflow.errors import ExportError
from cineflow.export.bundle.batching import batch_axis
from cineflow.export.bundle.contents import (
    engines_for,
    staged_directory,
    write_bundle,
    write_manifest,
)
from cineflow.export.bundle.module import build_module, load_into
from cineflow.export.bundle.origin import Checkpoint, manifest_entry
from cineflow.export.bundle.probes import MakeInputs, write_probes
from cineflow.export.check.lint import require_no_errors
from cineflow.export.check.module import require_repeatable
from cineflow.export.check.parity import Parity, compare, require, require_tolerances
from cineflow.export.check.streaming import stream_findings
from cineflow.export.graph.half import PRECISIONS, precision_of
from cineflow.export.graph.trace import trace_module
from cineflow.export.recipe import Recipe, load_recipe, parity_sizes, trace_sizes
from cineflow.runtime.bundle import Bundle
from cineflow.runtime.engines.torch import TorchEngine
from cineflow.spec import Weights

if TYPE_CHECKING:
    import torch

#: Seeds of the parity inputs.
PARITY_SEEDS = (0, 1, 2)

Progress = Callable[[str], None]


def export_bundle(
    recipe: Recipe | str | Path,
    out_dir: str | Path,
    *,
    variant: str = "",
    weights: str | Path | None = None,
    precision: str = "fp32",
    sizes: Mapping[str, int] | None = None,
    inlined: bool = False,
    split_ops: bool = False,
    seeds: Sequence[int] = PARITY_SEEDS,
    progress: Progress = lambda message: None,
) -> Bundle:
    """Export a recipe, compare it with torch, and write the bundle.

    Args:
        recipe: A recipe, a built-in recipe's name, or a recipe file.
        out_dir: Directory to write. An older bundle there is replaced; anything else is refused.
        variant: Of the recipe ("paper"), where `recipe` is a name or a file; "" means its first.
        weights: Checkpoint for the module; None keeps what `build()` made.
        precision: "fp32", or "fp16" for features in half precision.
        sizes: Fix these dynamic axes, by name ("height", "width").
        inlined: Also write `model-inlined.onnx`, for tools that cannot read functions.
        split_ops: Also write the graph cut at our ops, for runtimes that take no plugins.
        seeds: Of the inputs, at each size, on which torch and the runtimes are compared.
        progress: Called with one short sentence per step.

    Raises:
        ExportError: The module cannot be exported, its graph has a lint error, or a runtime differs
            from it by more than the tolerance of the spec.
        BundleError: `out_dir` cannot be written, or has other content than a bundle.
        MissingDependencyError: torch or onnxscript is not installed.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, variant)
    if precision not in PRECISIONS:
        raise ExportError(
            f"a precision of {', '.join(PRECISIONS)}",
            repr(precision),
            "fp16 keeps coordinates, flow and states in f32; bf16 is not supported",
        )
    require_tolerances(recipe.spec)
    if sizes:
        recipe = recipe.with_sizes(sizes)
    checkpoint = None if weights is None else Checkpoint.read(weights)
    module = build_module(recipe)
    lacking = () if weights is None else load_into(module, weights, recipe)
    spec = replace(recipe.spec, weights=_weights_of(recipe, checkpoint, module, lacking))
    origin = manifest_entry(recipe, checkpoint)
    out_dir = Path(out_dir).resolve()  # "." is another folder once the bundle is in place
    with staged_directory(out_dir) as stage:
        examples = recipe.examples(trace_sizes(spec), seed=0)
        require_repeatable(module, spec, examples)
        progress(f"trace {spec.name}")
        model = trace_module(module, spec, examples, precision)
        precision = precision_of(model)  # fp32 if the graph has no features
        write_bundle(stage, model, spec, origin, precision, inlined=inlined, split_ops=split_ops)
        engines = engines_for(Bundle.load(stage))
        rows: list[Parity] = []
        for sizes in parity_sizes(spec):
            progress(f"compare torch with {engines[0].name} at {sizes or 'the fixed size'}")
            rows += compare(module, engines, recipe, sizes, seeds, precision)
        require(rows, spec)
        # Last: the checks above explain more.
        require_no_errors(f"the graph of {spec.name}", model, spec)
        progress(f"probe {spec.name}")
        inputs = _inputs_of(replace(recipe, spec=spec))
        made_by = f"torch {version('torch')}"
        write_probes(stage, spec, TorchEngine(module, spec), made_by, inputs, engines)
        batch = batch_axis(spec, engines[0], inputs)
        write_manifest(stage, model, spec, origin, precision, rows, batch)
    for finding in stream_findings(spec):
        progress(str(finding))
    progress(f"wrote {out_dir}")
    return Bundle.load(out_dir)


def _inputs_of(recipe: Recipe) -> MakeInputs:
    """The example inputs of a recipe as arrays."""

    def inputs(sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
        return {name: one.numpy() for name, one in recipe.examples(sizes, seed).items()}

    return inputs


def _weights_of(
    recipe: Recipe,
    checkpoint: Checkpoint | None,
    module: torch.nn.Module,
    lacking: tuple[str, ...],
) -> Weights:
    """Where the numbers in `module` come from, as far as the recipe says."""
    stated = recipe.spec.weights
    if checkpoint is not None:
        licence = "as its source states"
        if lacking:  # an untrained part makes all of it untrained
            parts = ", ".join(one.removesuffix(".") for one in lacking)
            return Weights(f"{stated.source} for {parts}; {checkpoint} for the rest", licence)
        return Weights(str(checkpoint), licence, trained=True)
    if stated.source == "none" and next(module.parameters(), None) is not None:
        return Weights("not stated by the recipe", "not stated")
    return stated
