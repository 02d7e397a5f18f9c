"""`cineflow verify` in order: lint, parity, a phantom beat, targets, timings, report."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from cineflow.errors import BundleError, CineflowError, EngineError, ExportError
from cineflow.export.bundle.contents import REPORT_HTML, REPORT_JSON, write_text
from cineflow.export.bundle.module import build_module
from cineflow.export.check.findings import ERROR, Finding
from cineflow.export.check.inputs import random_inputs
from cineflow.export.check.lint import lint_model, read_onnx
from cineflow.export.check.parity import Parity, agreement, compare
from cineflow.export.graph.half import precision_of
from cineflow.export.graph.model import require_interface
from cineflow.export.recipe import Recipe, axes_not_told_apart, parity_sizes, spec_axes
from cineflow.export.verify.beat import BeatParity, compare_beat, gives_motion, why_no_beat
from cineflow.export.verify.page import render
from cineflow.export.verify.reference import Reference, reference
from cineflow.export.verify.report import Report
from cineflow.export.verify.runtimes import Opened, open_runtimes
from cineflow.export.verify.summary import summarise, targets_of, typical_sizes
from cineflow.runtime.bundle import Bundle, file_sha256
from cineflow.runtime.engine import Engine
from cineflow.runtime.engines.torch import TorchEngine
from cineflow.spec import Axis

#: Other seeds than the export's: a bundle must not be judged by the inputs that it was tuned on.
SEEDS = (10, 11)

_TIMED_RUNS = 7


def verify_bundle(
    bundle: Bundle,
    recipe: Recipe | str | Path | None = None,
    *,
    weights: str | Path | None = None,
    write_to: Path | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> Report:
    """Verify a bundle and write its report.

    Args:
        bundle: What to verify.
        recipe: Makes the torch module. None takes the built-in recipe that the bundle was exported
            from. If it came from a file, torch is then not compared, and the report says so.
        weights: The checkpoint that the bundle was exported with, if any.
        write_to: Folder of the report; None means the bundle itself.
        progress: Called with one short sentence per step.

    Returns:
        The report. A failed check raises nothing; read `Report.passed`.

    Raises:
        BundleError: The report cannot be written.
        ExportError: The recipe cannot be loaded or does not fit the bundle, `weights` is not the
            checkpoint of the export, or the graph has an op that this cineflow does not know.
    """
    model = read_onnx(bundle.onnx_path)
    progress("lint")
    findings = [*_manifest(model, bundle), *_border(model, bundle), *lint_model(model, bundle.spec)]
    torch_side = reference(bundle, recipe, weights)
    not_proven = [torch_side.missing] if torch_side.missing else []
    if other := _unlike_recipe(bundle, torch_side.recipe):
        not_proven.append(f"the spec differs from the recipe's in {', '.join(other)}")
    if same := axes_not_told_apart(bundle.spec):
        not_proven.append(f"swapped axes would not show: {same} wherever they were compared")
    with tempfile.TemporaryDirectory() as scratch:
        opened, refusals = open_runtimes(bundle, model, Path(scratch))
        progress("parity")
        torch_engine, rows, refused = _parity(bundle, torch_side, opened)
        refusals += refused
        progress("composed motion of a phantom beat")
        engines = [(one.engine, one.precision) for one in opened]
        if torch_engine is None:
            (first, _), *engines = engines
        else:
            first = torch_engine
        beat: Sequence[BeatParity] = []
        if why := why_no_beat(bundle.spec):
            if gives_motion(bundle.spec):
                not_proven.append(f"motion composed over a phantom beat was not compared: {why}")
        else:
            beat, refused = compare_beat(bundle.spec, first, engines)
            refusals += refused
        progress("timings")
        timed = {_label(one): _median_ms(bundle, one.engine) for one in opened}
    report = Report(
        served_name=bundle.served_name,
        summary=summarise(model, bundle),
        findings=findings,
        parity=rows,
        beat=beat,
        targets=targets_of(model),
        timings_ms=timed,
        reference=first.name if torch_engine else f"{first.name} ({first.kernels})",
        recipe=torch_side.said,
        not_proven=not_proven,
        precision=bundle.precision,
        refusals=refusals,
    )
    folder = write_to or bundle.path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data = report.to_dict()
        write_text(folder / REPORT_JSON, json.dumps(data, indent=1, allow_nan=False) + "\n")
        write_text(folder / REPORT_HTML, render(data, bundle.spec))
    except OSError as error:
        raise BundleError(
            f"to write the report into {folder}", str(error), "Choose a folder with --report"
        ) from error
    return report


def _parity(
    bundle: Bundle, torch_side: Reference, opened: Sequence[Opened]
) -> tuple[TorchEngine | None, list[Parity], list[str]]:
    """The torch engine (None without a recipe), the rows, and the runtimes that would not run."""
    rows: list[Parity] = []
    refused: list[str] = []
    if torch_side.recipe is None:
        own = [one.engine for one in opened if one.precision == bundle.precision]
        for sizes in parity_sizes(bundle.spec):
            inputs = [random_inputs(bundle.spec, sizes, seed) for seed in SEEDS]
            rows += agreement(bundle.spec, own, inputs, sizes, bundle.precision)
        return None, rows, refused
    fixed = _fixed_sizes(torch_side.recipe, bundle)
    # The bundle's own tolerances and axes decide, not those of the recipe.
    recipe = replace(torch_side.recipe.with_sizes(fixed), spec=bundle.spec)
    module = build_module(recipe, torch_side.weights)
    for one in opened:
        for sizes in parity_sizes(recipe.spec):
            try:
                rows += compare(module, [one.engine], recipe, sizes, SEEDS, one.precision)
            except EngineError as error:  # the profile is too narrow, or the card too small
                refused.append(f"{_label(one)}: {error}")
    return TorchEngine(module, recipe.spec), rows, refused


def _label(opened: Opened) -> str:
    engine = opened.engine
    return f"{engine.name}, {opened.precision} ({engine.kernels})"


def _manifest(model: onnx.ModelProto, bundle: Bundle) -> Iterator[Finding]:
    """Files and precision of the bundle that differ from its manifest."""
    again = "Export it again, or take a complete copy of the bundle"
    for name, entry in bundle.manifest["files"].items():
        file = bundle.path / name
        if not file.is_file():
            yield Finding(ERROR, "files", f"{name} is missing", again)
        elif file_sha256(file) != entry["sha256"]:
            message = f"{name} is not the file that was exported"
            yield Finding(ERROR, "files", message, again)
    if bundle.precision != (found := precision_of(model)):
        message = f"the manifest says {bundle.precision}, but the graph is {found}"
        yield Finding(ERROR, "precision", message, again)


def _unlike_recipe(bundle: Bundle, recipe: Recipe | None) -> list[str]:
    """Tensors whose spec differs between bundle and recipe, tolerances included."""
    if recipe is None:
        return []
    theirs = list(recipe.with_sizes(_fixed_sizes(recipe, bundle)).spec.tensors())
    return [tensor.name for tensor in bundle.spec.tensors() if tensor not in theirs]


def _border(model: onnx.ModelProto, bundle: Bundle) -> list[Finding]:
    """Names, dtypes and dynamic axes of the graph that differ from the spec."""
    try:
        require_interface(model, bundle.spec)
    except ExportError as error:
        message = f"the graph has {error.got} where the spec has {error.wanted}"
        return [Finding(ERROR, "interface", message, error.remedy)]
    return []


def _fixed_sizes(recipe: Recipe, bundle: Bundle) -> dict[str, int]:
    """Axes of the recipe that the bundle was exported with a fixed size of."""
    dynamic = spec_axes(recipe.open_spec)
    fixed = {}
    for mine, theirs in zip(recipe.open_spec.tensors(), bundle.spec.tensors(), strict=False):
        for dim, size in zip(mine.shape, theirs.shape, strict=False):
            if isinstance(dim, Axis) and isinstance(size, int) and dim.name in dynamic:
                fixed[dim.name] = size
    return fixed


def _median_ms(bundle: Bundle, engine: Engine) -> float | None:
    inputs = random_inputs(bundle.spec, typical_sizes(bundle), seed=0)
    times = []
    try:
        for _ in range(_TIMED_RUNS):
            start = time.perf_counter()
            engine.run(inputs)
            times.append(1e3 * (time.perf_counter() - start))
    except CineflowError:
        return None
    return round(float(np.median(times)), 3)
