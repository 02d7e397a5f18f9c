"""A ModelSpec as YAML, as people write it for an ONNX file that was not exported here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from cineflow.errors import ExportError, MissingDependencyError, SpecError
from cineflow.spec import ModelSpec

#: Weights of an imported file whose spec does not describe them; it must not be called untrained.
_WEIGHTS = {"source": "the imported file", "licence": "as its source states", "trained": True}

#: "height", "height / 4", "2 height", "height * 2", "3 height / 4".
_PART = re.compile(r"(?:(\d+)\s*\*?\s*)?([A-Za-z_]\w*)(?:\s*\*\s*(\d+))?(?:\s*/\s*(\d+))?")


@dataclass(frozen=True)
class SpecFile:
    """A spec, and what its tensors are called in the ONNX file.

    Attributes:
        spec: The model.
        renamed: Name in the file -> name in the graph of the bundle.
    """

    spec: ModelSpec
    renamed: Mapping[str, str] = field(default_factory=dict)


def read_spec_file(file: str | Path) -> SpecFile:
    """Read a ModelSpec from YAML.

    The keys are the fields of ModelSpec, TensorSpec and Feed. Further:

    - A dynamic axis is a mapping with `name`, `minimum`, `maximum` and optionally `multiple`, where
      it is first used or in the list `axes`. Elsewhere its name is enough, and a part of it is
      written as `height / 4` or `height * 2`.
    - `in_file` of an input or output is its name in the ONNX file, where that is a different one.
    - A state is the input and the output that `input` and `output` name (`state` and `stateN`); by
      default `<name>_in` and `<name>_out`.

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
        return _read(yaml.safe_load(Path(file).read_text(encoding="utf-8")))
    except SpecError as error:
        remedy = error.remedy or "Correct that entry; docs/kinds.md has the words that a spec knows"
        raise ExportError(f"in {file}, {error.wanted}", error.got, remedy) from error
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ExportError(
            f"a ModelSpec as YAML in {file}",
            f"{type(error).__name__}: {error}",
            "`cineflow import --draft-spec FILE.onnx` writes one to start from",
        ) from error


def _read(data: Any) -> SpecFile:
    data = dict(_mapping(data, "the file"))
    listed = data.pop("axes", None) or []
    unknown = set(data) - {item.name for item in fields(ModelSpec)}
    if unknown:
        raise KeyError(f"{', '.join(sorted(unknown))} is not a field of a ModelSpec")
    sides = {
        side: [dict(_mapping(tensor, side)) for tensor in data.get(side) or []]
        for side in ("inputs", "outputs", "states")
    }
    axes: dict[str, Any] = {}
    shapes = [one.get("shape") for tensors in sides.values() for one in tensors]
    for dim in (*listed, *(d for shape in shapes if isinstance(shape, list) for d in shape)):
        if isinstance(dim, dict) and "axis" not in dim:
            axes.setdefault(str(dim.get("name")), {"multiple": 1} | dim)
    renamed: dict[str, str] = {}
    for side, tensors in sides.items():
        for tensor in tensors:
            _take_names(tensor, side, renamed)
            tensor.setdefault("tolerance", None)
            if isinstance(tensor.get("shape"), list):
                tensor["shape"] = [_dim(dim, axes) for dim in tensor["shape"]]
        data[side] = tensors
    defaults = {"source": "", "weights": _WEIGHTS}
    return SpecFile(ModelSpec.from_json(json.dumps(defaults | data)), renamed)


def _take_names(tensor: dict[str, Any], side: str, renamed: dict[str, str]) -> None:
    """Take what a tensor is called in the file out of its mapping."""
    name = tensor.get("name")
    pairs = [("in_file", name)]
    if side == "states":
        pairs = [("input", f"{name}_in"), ("output", f"{name}_out")]
    for key, ours in pairs:
        theirs = tensor.pop(key, None)
        if theirs is not None:
            renamed[str(theirs)] = str(ours)


def _dim(dim: Any, axes: Mapping[str, Any]) -> Any:
    """A size as JSON: a number, an axis, or a part of one."""
    if isinstance(dim, dict):
        return dim if "axis" in dim else {"multiple": 1} | dim
    if not isinstance(dim, str):
        return dim
    match = _PART.fullmatch(dim.strip())
    if match is None or match[2] not in axes or (match[1] and match[3]):
        raise ValueError(
            f"{dim!r} as a size: wanted an axis of {sorted(axes)}, or a part of one as in "
            "'height / 4' or 'height * 2'"
        )
    times, by = int(match[1] or match[3] or 1), int(match[4] or 1)
    axis = axes[match[2]]
    return axis if times == by == 1 else {"axis": axis, "numerator": times, "denominator": by}


def _mapping(data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TypeError(f"{what}: wanted a mapping, got {type(data).__name__}")
    return data
