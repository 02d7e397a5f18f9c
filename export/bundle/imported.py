"""A bundle from somebody else's ONNX file and a spec written by hand."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from cineflow.errors import ExportError, MissingDependencyError, SpecError
from cineflow.export.bundle.contents import (
    engines_for,
    staged_directory,
    write_bundle,
    write_manifest,
)
from cineflow.export.bundle.origin import manifest_entry
from cineflow.export.check.inputs import random_inputs
from cineflow.export.check.lint import read_onnx, require_no_errors
from cineflow.export.check.parity import agreement, require, require_tolerances
from cineflow.export.graph.half import precision_of
from cineflow.export.graph.model import require_interface
from cineflow.export.recipe import parity_sizes
from cineflow.runtime.bundle import Bundle
from cineflow.spec import ModelSpec

#: Weights of an imported file whose spec does not describe them; it must not be called untrained.
_WEIGHTS = {"source": "the imported file", "licence": "as its source states", "trained": True}


def import_bundle(file: str | Path, spec_file: str | Path, out_dir: str | Path) -> Bundle:
    """Make a bundle from an ONNX file that was not exported here.

    The file must pass every lint rule of severity "error" and fit the spec. It is run on random
    inputs of several sizes, in every form that opens here, and the results must agree.

    Args:
        file: The ONNX file.
        spec_file: The ModelSpec as YAML, see `read_spec`.
        out_dir: Directory to write.

    Raises:
        ExportError: The file is corrupt, has a lint error, does not fit the spec, or returns
            values that are not finite.
        BundleError: `out_dir` cannot be written.
    """
    spec = read_spec(spec_file)
    require_tolerances(spec)
    model = read_onnx(file)
    require_no_errors(Path(file).name, model)
    require_interface(model, spec)
    origin = manifest_entry(recipe=None, weights=None)
    out_dir = Path(out_dir).resolve()
    with staged_directory(out_dir) as stage:
        precision = precision_of(model)
        write_bundle(stage, model, spec, origin, precision)
        staged = Bundle.load(stage)
        engines = engines_for(staged)
        rows = []
        for sizes in parity_sizes(spec):
            inputs = [random_inputs(spec, sizes, seed) for seed in (0, 1)]
            rows += agreement(spec, engines, inputs, sizes, precision)
        require(rows, spec, reference="its first run")
        write_manifest(stage, model, spec, origin, precision, rows)
    return Bundle.load(out_dir)


def read_spec(file: str | Path) -> ModelSpec:
    """Read a ModelSpec from YAML.

    The keys are the fields of ModelSpec and TensorSpec. A dynamic axis is a mapping with `name`,
    `minimum`, `maximum` and optionally `multiple`.

    Raises:
        ExportError: The file is not YAML, or not a ModelSpec.
        MissingDependencyError: PyYAML is not installed.
    """
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingDependencyError(
            "PyYAML", str(error), "`pip install cineflow[export]`"
        ) from error
    try:
        data = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        return _spec(data)
    except SpecError as error:
        raise ExportError(f"in {file}, {error.wanted}", error.got, error.remedy) from error
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ExportError(
            f"a ModelSpec as YAML in {file}",
            f"{type(error).__name__}: {error}",
            "The export page of the docs has a complete one to start from",
        ) from error


def _spec(data: Any) -> ModelSpec:
    data = _mapping(data, "the file")
    unknown = set(data) - {item.name for item in fields(ModelSpec)}
    if unknown:
        raise KeyError(f"{', '.join(sorted(unknown))} is not a field of a ModelSpec")
    tensor_defaults = {"frame": "", "tolerance": None, "description": ""}
    for side in ("inputs", "outputs", "states"):
        data[side] = [
            tensor_defaults | {key: _axes(value) for key, value in _mapping(tensor, side).items()}
            for tensor in data.get(side) or []
        ]
    defaults = {"source": "", "weights": _WEIGHTS}
    return ModelSpec.from_json(json.dumps(defaults | data))


def _mapping(data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TypeError(f"{what}: wanted a mapping, got {type(data).__name__}")
    return data


def _axes(value: Any) -> Any:
    if isinstance(value, list):
        return [({"multiple": 1} | dim) if isinstance(dim, dict) else dim for dim in value]
    return value
