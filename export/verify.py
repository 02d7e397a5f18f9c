"""`cineflow verify`: everything that can be proven of a bundle on this machine, in one report.

The result is `report.json` and `report.html` in the bundle: the graph's summary, the lint, torch
against every runtime that is available here, the composed motion of a phantom beat, and what each
target would do with the file. A bundle whose report has a failed line raises nothing: the caller
reads `Report.passed`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from cineflow.errors import (
    BundleError,
    CineflowError,
    EngineError,
    ExportError,
    MissingDependencyError,
)
from cineflow.export import footprint, lint
from cineflow.export.beat import BeatParity, compare_beat, why_no_beat
from cineflow.export.bundle import REPORT_HTML, REPORT_JSON, build_module, write_text
from cineflow.export.candidates import Candidate, find_candidates
from cineflow.export.engine_build import parse_errors
from cineflow.export.foreign import random_inputs
from cineflow.export.graph import operator_counts, require_border
from cineflow.export.origin import Reference, reference
from cineflow.export.parity import Parity, agreement, compare
from cineflow.export.precision import precision_of
from cineflow.export.recipe import Recipe, parity_sizes, spec_axes
from cineflow.export.report import render
from cineflow.export.targets import TARGETS, target_findings
from cineflow.export.tensorrt import import_flavour
from cineflow.runtime.bundle import Bundle, file_sha256
from cineflow.runtime.engine import Engine
from cineflow.runtime.engines.torch import TorchEngine
from cineflow.spec import Axis

#: Other inputs than the export's own, so that a bundle is not judged by what it was fitted to.
SEEDS = (10, 11)

_TIMED_RUNS = 7


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes:
        served_name: Model and content.
        summary: Graph figures: operators, parameters, multiply-adds, bytes.
        findings: Lint, errors first.
        parity: Torch (or the first runtime, without a recipe) against each runtime.
        beat: Composed motion of a phantom beat per runtime; empty for models without flow.
        targets: Target -> what speaks `against` it, in words, and the `source` of that.
        timings_ms: Engine and kernels -> median of one run at the typical size; None where it
            fails.
        reference: What the runtimes were compared with.
        recipe: What made the torch module; "" where torch was not asked.
        not_proven: What could not be asked here, and what to give for it.
        precision: The bundle's; rows of another are for information.
        refusals: Runtimes that work here and do not open or run this bundle.
    """

    served_name: str
    summary: dict[str, Any]
    findings: Sequence[lint.Finding]
    parity: Sequence[Parity]
    beat: Sequence[BeatParity]
    targets: dict[str, dict[str, Any]]
    timings_ms: dict[str, float | None]
    reference: str
    recipe: str
    not_proven: Sequence[str]
    precision: str
    refusals: Sequence[str]

    @property
    def passed(self) -> bool:
        """No lint error, no refusal, and every comparison of its precision within tolerance."""
        sound = all(finding.severity != lint.ERROR for finding in self.findings)
        rows: list[Parity | BeatParity] = [*self.parity, *self.beat]
        decisive = [row for row in rows if row.precision == self.precision]
        return sound and not self.refusals and all(row.passed for row in decisive)

    @property
    def verdict(self) -> str:
        """One sentence: what may be said of the bundle now."""
        if not self.passed:
            return "Not verified: see the red lines."
        if self.not_proven:
            return "Nothing failed, but not everything was proven."
        return "Verified: every comparison is within its tolerance."

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `report.json`."""
        return {
            "served_name": self.served_name,
            "passed": self.passed,
            "verdict": self.verdict,
            "not_proven": list(self.not_proven),
            "reference": self.reference,
            "recipe": self.recipe,
            "precision": self.precision,
            "refusals": list(self.refusals),
            "summary": self.summary,
            "findings": [asdict(finding) for finding in self.findings],
            "parity": [row.to_dict() for row in self.parity],
            "beat": [row.to_dict() for row in self.beat],
            "targets": self.targets,
            "timings_ms": dict(self.timings_ms),
        }


def verify(
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
        recipe: Where the torch module comes from. None takes the built-in recipe that the bundle
            was exported from; where a file made it, torch is not asked, and the report says so.
        weights: The checkpoint that the bundle was exported with, if any.
        write_to: Folder of the report; None means the bundle itself.
        progress: Called with one short sentence per step.

    Raises:
        BundleError: The report cannot be written.
        ExportError: The recipe cannot be loaded or does not fit the bundle, or `weights` is not
            the checkpoint of the export.
    """
    model = lint.read_onnx(bundle.onnx_path)
    progress("lint")
    findings = [*_manifest(model, bundle), *_border(model, bundle), *lint.lint(model)]
    torch_side = reference(bundle, recipe, weights)
    not_proven = [torch_side.missing] if torch_side.missing else []
    if other := _unlike_recipe(bundle, torch_side.recipe):
        not_proven.append(f"the spec differs from the recipe's in {', '.join(other)}")
    with tempfile.TemporaryDirectory() as scratch:
        candidates, refusals = find_candidates(bundle, model, Path(scratch))
        progress("parity")
        torch_engine, rows, refused = _parity(bundle, torch_side, candidates)
        refusals += refused
        progress("composed motion of a phantom beat")
        engines = [(c.engine, c.precision) for c in candidates]
        if torch_engine is None:
            (first, _), *engines = engines
        else:
            first = torch_engine
        beat: Sequence[BeatParity] = []
        if why := why_no_beat(bundle.spec):
            if any(tensor.unit == "px" for tensor in bundle.spec.outputs):
                not_proven.append(f"motion composed over a phantom beat was not compared: {why}")
        else:
            beat, refused = compare_beat(bundle.spec, first, engines)
            refusals += refused
        progress("timings")
        timed = {_label(c): _median_ms(bundle, c.engine) for c in candidates}
    report = Report(
        served_name=bundle.served_name,
        summary=summarise(model, bundle),
        findings=findings,
        parity=rows,
        beat=beat,
        targets=_targets(model),
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


def summarise(model: onnx.ModelProto, bundle: Bundle) -> dict[str, Any]:
    """Figures of the graph, at the typical size where it is dynamic."""
    sizes = typical_sizes(bundle)
    shapes = footprint.shapes_at(model, bundle.spec, sizes)
    return {
        "operators": operator_counts(model),
        "parameters": footprint.parameter_count(model),
        "multiply_adds": footprint.multiply_adds(model, shapes),
        "least_memory_bytes": footprint.live_bytes(model, shapes),
        "file_bytes": bundle.onnx_path.stat().st_size,
        "sizes": sizes,
        "precision": bundle.precision,
        "trained": bundle.spec.weights.trained,
        "weights": bundle.spec.weights.describe(),
    }


def typical_sizes(bundle: Bundle) -> dict[str, int]:
    """The size at which figures are given, per dynamic axis."""
    from cineflow.export.profile import TYPICAL_SIZE
    from cineflow.export.recipe import nearest_size

    axes = spec_axes(bundle.spec)
    return {name: nearest_size(axis, TYPICAL_SIZE) for name, axis in axes.items()}


def _parity(
    bundle: Bundle, torch_side: Reference, candidates: Sequence[Candidate]
) -> tuple[TorchEngine | None, list[Parity], list[str]]:
    """The torch engine (None without a recipe), its rows, and what would not run."""
    rows: list[Parity] = []
    refused: list[str] = []
    if torch_side.recipe is None:
        own = [c.engine for c in candidates if c.precision == bundle.precision]
        for sizes in parity_sizes(bundle.spec):
            inputs = [random_inputs(bundle.spec, sizes, seed) for seed in SEEDS]
            rows += agreement(bundle.spec, own, inputs, sizes, bundle.precision)
        return None, rows, refused
    fixed = _fixed_sizes(torch_side.recipe, bundle)
    # What the bundle promises decides: its tolerances, its axes.
    recipe = replace(torch_side.recipe.with_sizes(fixed), spec=bundle.spec)
    module = build_module(recipe, torch_side.weights)
    for candidate in candidates:
        for sizes in parity_sizes(recipe.spec):
            try:
                rows += compare(
                    module, [candidate.engine], recipe, sizes, SEEDS, candidate.precision
                )
            except EngineError as error:  # a profile that is too narrow, a card that is too small
                refused.append(f"{_label(candidate)}: {error}")
    return TorchEngine(module, recipe.spec), rows, refused


def _label(candidate: Candidate) -> str:
    engine = candidate.engine
    return f"{engine.name}, {candidate.precision} ({engine.kernels})"


def _manifest(model: onnx.ModelProto, bundle: Bundle) -> Iterator[lint.Finding]:
    """What the bundle holds that its manifest does not say, or says otherwise."""
    again = "Export it again, or take a whole copy of the bundle"
    for name, entry in bundle.manifest["files"].items():
        file = bundle.path / name
        if not file.is_file():
            yield lint.Finding(lint.ERROR, "files", f"{name} is missing", again)
        elif file_sha256(file) != entry["sha256"]:
            message = f"{name} is not the file of the export"
            yield lint.Finding(lint.ERROR, "files", message, again)
    if bundle.precision != (found := precision_of(model)):
        message = f"the manifest calls the graph {bundle.precision}, it is {found}"
        yield lint.Finding(lint.ERROR, "precision", message, again)


def _unlike_recipe(bundle: Bundle, recipe: Recipe | None) -> list[str]:
    """Tensors that the bundle describes otherwise than the recipe, its tolerances among them."""
    if recipe is None:
        return []
    theirs = list(recipe.with_sizes(_fixed_sizes(recipe, bundle)).spec.tensors())
    return [tensor.name for tensor in bundle.spec.tensors() if tensor not in theirs]


def _border(model: onnx.ModelProto, bundle: Bundle) -> list[lint.Finding]:
    """Names, dtypes and dynamic axes of the graph that are not those of the spec."""
    try:
        require_border(model, bundle.spec)
    except ExportError as error:
        message = f"the graph has {error.got} where the spec has {error.wanted}"
        return [lint.Finding(lint.ERROR, "border", message, error.remedy)]
    return []


def _fixed_sizes(recipe: Recipe, bundle: Bundle) -> dict[str, int]:
    """Axes of the recipe that the bundle was exported with one size of."""
    dynamic = spec_axes(recipe.spec)
    fixed = {}
    for mine, theirs in zip(recipe.spec.tensors(), bundle.spec.tensors(), strict=False):
        for dim, size in zip(mine.shape, theirs.shape, strict=False):
            if isinstance(dim, Axis) and isinstance(size, int) and dim.name in dynamic:
                fixed[dim.name] = size
    return fixed


def _targets(model: onnx.ModelProto) -> dict[str, dict[str, Any]]:
    against: dict[str, list[str]] = {target.name: [] for target in TARGETS}
    for _, message, _ in target_findings(model):
        for name, found in against.items():
            if message.startswith(name) or not any(message.startswith(n) for n in against):
                found.append(message)
    said = {t.name: {"against": against[t.name], "source": t.source} for t in TARGETS}
    try:
        trt = import_flavour("tensorrt-rtx")
    except MissingDependencyError:
        return said
    # What can be asked is asked: its parser runs without a GPU.
    asked = {"against": parse_errors(trt, model), "source": "its parser was asked here and now"}
    return said | {f"TensorRT-RTX {trt.__version__}": asked}


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
