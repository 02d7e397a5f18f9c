"""A bundle from somebody else's ONNX file and a spec written by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnxruntime

from cineflow.export.bundle.batching import batch_axis
from cineflow.export.bundle.contents import (
    engines_for,
    staged_directory,
    write_bundle,
    write_manifest,
)
from cineflow.export.bundle.foreign import follow_spec, rename_values
from cineflow.export.bundle.origin import manifest_entry
from cineflow.export.bundle.probes import probe_sizes, typical_probe_sizes, write_probes
from cineflow.export.bundle.spec_file import read_spec_file
from cineflow.export.bundle.warps import to_warps
from cineflow.export.check.inputs import random_inputs
from cineflow.export.check.lint import read_onnx, require_no_errors
from cineflow.export.check.parity import agreement, require, require_tolerances
from cineflow.export.check.streaming import stream_findings
from cineflow.export.graph.conflicts import sizes_explained
from cineflow.export.graph.half import precision_of
from cineflow.export.graph.model import require_interface
from cineflow.export.graph.sampling import leave_linear_unnamed
from cineflow.export.recipe import parity_sizes
from cineflow.runtime.bundle import Bundle
from cineflow.spec import ModelSpec


def import_bundle(
    file: str | Path,
    spec_file: str | Path,
    out_dir: str | Path,
    *,
    progress: Callable[[str], None] = lambda message: None,
) -> Bundle:
    """Make a bundle from an ONNX file that was not exported here.

    The file must pass every lint rule of severity "error" and fit the spec. It is run on random
    inputs of several sizes, in every form that opens here, and the results must agree.

    Args:
        file: The ONNX file.
        spec_file: The ModelSpec as YAML, see `read_spec_file`.
        out_dir: Directory to write.
        progress: Called with a sentence for each GridSample: whether it became `cineflow::Warp`;
            and with a warning if the feed is a stream of frames and no stream can run the model.

    Raises:
        ExportError: The file is corrupt, has a lint error, does not fit the spec, or returns
            values that are not finite.
        BundleError: `out_dir` cannot be written.
    """
    described = read_spec_file(spec_file)
    spec = described.spec
    require_tolerances(spec)
    model = read_onnx(file)
    rename_values(model, described.renamed)
    follow_spec(model, spec)
    leave_linear_unnamed(model)
    require_no_errors(Path(file).name, model, spec)
    require_interface(model, spec)
    model, sampled = to_warps(model, spec)
    for said in (*sampled, *stream_findings(spec)):
        progress(str(said))
    origin = manifest_entry(recipe=None, weights=None)
    out_dir = Path(out_dir).resolve()
    with staged_directory(out_dir) as stage:
        precision = precision_of(model)
        write_bundle(stage, model, spec, origin, precision)
        staged = Bundle.load(stage)
        engines = engines_for(staged)
        rows = []
        for sizes in parity_sizes(spec):
            tried = [random_inputs(spec, sizes, seed) for seed in (0, 1)]
            with sizes_explained(model, spec, sizes):
                rows += agreement(spec, engines, tried, sizes, precision)
        require(rows, spec, reference="its first run")
        inputs = partial(random_inputs, spec)
        made_by = f"{engines[0].name} {onnxruntime.__version__}, at import"
        probed = [sizes for sizes in (probe_sizes(spec), typical_probe_sizes(spec)) if sizes]
        with sizes_explained(model, spec, *probed):
            write_probes(stage, spec, engines[0], made_by, inputs, engines)
        batch = batch_axis(spec, engines[0], inputs)
        write_manifest(stage, model, spec, origin, precision, rows, batch)
    return Bundle.load(out_dir)


def read_spec(file: str | Path) -> ModelSpec:
    """The ModelSpec of a YAML file; `read_spec_file` has its rules and errors."""
    return read_spec_file(file).spec
