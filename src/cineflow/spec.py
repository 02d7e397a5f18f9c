"""ModelSpec: what a model takes and gives, written once.

The exporter, the verifier, the Triton configuration, the server and the client's metadata all read
this one description. Standard library and NumPy only: anyone may import it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError, SpecError

#: dtypes a tensor of a spec may have: NumPy's name -> Triton's name.
TRITON_DTYPES: Mapping[str, str] = {
    "float32": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "uint8": "TYPE_UINT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "bool": "TYPE_BOOL",
}


_NAME = re.compile("[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Axis:
    """A dynamic axis: the sizes a model accepts along it.

    Attributes:
        name: Symbol of the axis in the ONNX graph ("height"); equal names are equal sizes.
        minimum: Smallest size, in elements.
        maximum: Largest size, in elements.
        multiple: Every size is a multiple of this.
    """

    name: str
    minimum: int
    maximum: int
    multiple: int = 1

    def __post_init__(self) -> None:
        _require_text("an axis", name=self.name)
        if not all(_is_whole(size) for size in (self.minimum, self.maximum, self.multiple)):
            raise SpecError(
                f"{self.name}: whole numbers as minimum, maximum and multiple",
                f"{self.minimum!r}, {self.maximum!r}, {self.multiple!r}",
                "Sizes count elements",
            )
        if not (0 < self.minimum <= self.maximum and self.multiple > 0):
            raise SpecError(
                "an axis with 0 < minimum <= maximum and multiple > 0",
                f"{self.name}: {self.minimum}..{self.maximum} by {self.multiple}",
                "Correct the sizes that the axis accepts",
            )

    def accepts(self, size: int) -> bool:
        """Whether `size` elements fit this axis."""
        return self.minimum <= size <= self.maximum and size % self.multiple == 0

    def describe(self) -> str:
        """The accepted sizes in words ("64..1024 by 16")."""
        step = f" by {self.multiple}" if self.multiple > 1 else ""
        return f"{self.minimum}..{self.maximum}{step}"


Dim = int | Axis


@dataclass(frozen=True)
class TensorSpec:
    """One tensor that crosses a model's border.

    Attributes:
        name: Name in the ONNX graph.
        dtype: NumPy dtype name ("float32").
        shape: Sizes; an `Axis` where the size is dynamic.
        unit: Unit of the values ("px", "grey level", "probability").
        frame: Coordinate frame of the values or the grid ("previous frame, x right, y down").
        tolerance: Largest accepted difference between two runtimes, in `unit`. What an
            export gives has one; only whole numbers do without, and are equal then.
        description: One sentence.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]
    unit: str
    frame: str = ""
    tolerance: float | None = None
    description: str = ""

    def __post_init__(self) -> None:
        _require_text("a tensor", name=self.name)
        _require_text(
            self.name,
            dtype=self.dtype,
            unit=self.unit,
            frame=self.frame,
            description=self.description,
        )
        if self.dtype not in TRITON_DTYPES:
            raise SpecError(
                f"{self.name}: a dtype of {', '.join(TRITON_DTYPES)}",
                repr(self.dtype),
                "Convert the tensor inside the model, at its border",
            )
        if not all(isinstance(dim, Axis) or _is_whole(dim) for dim in self.shape):
            raise SpecError(
                f"{self.name}: a shape of whole numbers or axes",
                repr(list(self.shape)),
                "Sizes count elements; a dynamic one is an Axis",
            )
        if self.tolerance is not None and not (
            isinstance(self.tolerance, (int, float))
            and not isinstance(self.tolerance, bool)
            and 0 <= self.tolerance < math.inf
        ):
            raise SpecError(
                f"{self.name}: a tolerance of 0 or more",
                repr(self.tolerance),
                f"State in {self.unit or 'its unit'} how far two runtimes may be apart: 0.01",
            )

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The dynamic axes, in order."""
        return tuple(dim for dim in self.shape if isinstance(dim, Axis))

    def check(self, array: np.ndarray) -> None:
        """Raise `ArgumentError` unless `array` has this tensor's dtype and an accepted shape."""
        fits = array.ndim == len(self.shape) and all(
            dim.accepts(size) if isinstance(dim, Axis) else dim == size
            for dim, size in zip(self.shape, array.shape, strict=True)
        )
        if not fits or array.dtype.name != self.dtype:
            raise ArgumentError(
                f"{self.name}: {self.dtype} [{self.describe_shape()}]",
                f"{array.dtype.name} {list(array.shape)}",
            )

    def describe_shape(self) -> str:
        """The shape in words ("1, 1, height 64..1024 by 16, ...")."""
        return ", ".join(
            f"{dim.name} {dim.describe()}" if isinstance(dim, Axis) else str(dim)
            for dim in self.shape
        )


@dataclass(frozen=True)
class Weights:
    """Where a model's numbers come from.

    Attributes:
        source: "none" for a training-free model, else a file name or reference.
        licence: SPDX identifier or a sentence.
        trained: False for seeded, untrained weights: called untrained wherever they show.
    """

    source: str = "none"
    licence: str = "Apache-2.0"
    trained: bool = False

    def __post_init__(self) -> None:
        _require_text("weights", source=self.source, licence=self.licence)

    def describe(self) -> str:
        """The origin in words, as it stands wherever the model's results do."""
        if self.source == "none":
            return "none: training-free"
        return self.source if self.trained else f"{self.source} (untrained)"


@dataclass(frozen=True)
class ModelSpec:
    """The whole border of one model.

    State tensors are carried by the caller from one call to the next: the output `<name>_out` of
    one frame is the input `<name>_in` of the next. Names sort in the same order on both sides,
    because Triton pairs them by that order.

    Attributes:
        name: Model name, lower case with underscores; bundles are served as `<name>-<hash8>`.
        summary: One sentence: what the model computes.
        inputs: Input tensors, in graph order.
        outputs: Output tensors, in graph order.
        states: State tensors, named without the `_in` / `_out` suffix.
        weights: Origin of the weights.
        source: Paper or standard behind the model.
    """

    name: str
    summary: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: tuple[TensorSpec, ...] = ()
    weights: Weights = field(default_factory=Weights)
    source: str = ""

    def __post_init__(self) -> None:
        _require_text("a model", name=self.name, summary=self.summary, source=self.source)
        if not _NAME.fullmatch(self.name):  # a folder's name, and Triton's
            raise SpecError(
                "a model name of the letters a to z, digits and _, a letter first",
                repr(self.name),
                "Rename the model in its spec",
            )
        names = [tensor.name for tensor in self.tensors()]
        if len(set(names)) != len(names):
            raise SpecError(
                f"{self.name}: tensors with distinct names", repr(names), "Rename one of them"
            )
        for side in ("_in", "_out"):
            suffixed = [state.name + side for state in self.states]
            if suffixed != sorted(suffixed):
                raise SpecError(
                    f"{self.name}: state tensors in sorted order on both sides",
                    repr(suffixed),
                    "List the states by name; Triton pairs them in that order",
                )
        axes = {axis for tensor in self.tensors() for axis in tensor.axes}
        for name in sorted({axis.name for axis in axes}):
            ranges = sorted(axis.describe() for axis in axes if axis.name == name)
            if len(ranges) > 1:
                raise SpecError(
                    f"{self.name}: one range for the axis {name}",
                    ", ".join(ranges),
                    "Equal names are equal sizes: rename one axis, or make the ranges the same",
                )

    def tensors(self) -> Iterator[TensorSpec]:
        """Every tensor: inputs, outputs, states."""
        yield from self.inputs
        yield from self.outputs
        yield from self.states

    def axis(self, name: str) -> Axis | None:
        """The dynamic axis called `name`, or None where that size is fixed."""
        for tensor in self.tensors():
            for axis in tensor.axes:
                if axis.name == name:
                    return axis
        return None

    def to_json(self) -> str:
        """This spec as JSON, keys sorted: equal specs give equal text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read back what `to_json` wrote.

        Raises:
            SpecError: The text is not a JSON object with a ModelSpec's fields.
        """
        try:
            data = json.loads(text)
            return cls(
                **{key: data[key] for key in ("name", "summary", "source")},
                inputs=_tensors(data["inputs"]),
                outputs=_tensors(data["outputs"]),
                states=_tensors(data["states"]),
                weights=Weights(**data["weights"]),
            )
        except SpecError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise SpecError(
                "the JSON of a ModelSpec",
                f"{type(error).__name__}: {error}",
                "Give it the fields of ModelSpec and TensorSpec",
            ) from error


def _tensors(items: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    def dim(value: int | dict[str, Any]) -> Dim:
        return Axis(**value) if isinstance(value, dict) else value

    return tuple(
        TensorSpec(**{**item, "shape": tuple(dim(value) for value in item["shape"])})
        for item in items
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require_text(owner: str, **values: object) -> None:
    """Raise `SpecError` for the first field of `owner` that is not text (`name: 5` in YAML)."""
    for field_name, value in values.items():
        if not isinstance(value, str):
            raise SpecError(
                f"{owner}: text as its {field_name}", repr(value), f'{field_name}: "..." in quotes'
            )
