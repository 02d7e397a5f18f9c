"""ModelSpec: what a model takes and gives, written once.

The exporter, the verifier, the Triton configuration, the server and the client's metadata all read
this one description. Standard library and NumPy only: anyone may import it.
"""

from __future__ import annotations

import json
import math
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
        if not (0 < self.minimum <= self.maximum and self.multiple > 0):
            raise SpecError(
                "an axis with 0 < minimum <= maximum and multiple > 0",
                f"{self.name}: {self.minimum}..{self.maximum} by {self.multiple}",
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
        if self.dtype not in TRITON_DTYPES:
            raise SpecError(f"{self.name}: a dtype of {sorted(TRITON_DTYPES)}", repr(self.dtype))
        if self.tolerance is not None and not (
            isinstance(self.tolerance, (int, float)) and 0 <= self.tolerance < math.inf
        ):
            raise SpecError(f"{self.name}: a tolerance of 0 or more", repr(self.tolerance))

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
        if not self.name.isidentifier() or self.name != self.name.lower():
            raise SpecError("a lower-case model name of letters, digits and _", repr(self.name))
        names = [tensor.name for tensor in self.tensors()]
        if len(set(names)) != len(names):
            raise SpecError(f"{self.name}: tensors with distinct names", repr(names))
        for side in ("_in", "_out"):
            suffixed = [state.name + side for state in self.states]
            if suffixed != sorted(suffixed):
                raise SpecError(
                    f"{self.name}: state tensors in sorted order on both sides", repr(suffixed)
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
            SpecError: The text is no JSON object with a ModelSpec's fields.
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
        except (ValueError, KeyError, TypeError) as error:
            raise SpecError(
                "the JSON of a ModelSpec", f"{type(error).__name__}: {error}"
            ) from error


def _tensors(items: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    def dim(value: int | dict[str, Any]) -> Dim:
        return Axis(**value) if isinstance(value, dict) else int(value)

    return tuple(
        TensorSpec(**{**item, "shape": tuple(dim(value) for value in item["shape"])})
        for item in items
    )
