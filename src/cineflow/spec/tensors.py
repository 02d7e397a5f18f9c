"""TensorSpec: one tensor that crosses a model's border, and the role that an output plays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError, SpecError
from cineflow.spec.axes import (
    Axis,
    AxisPart,
    Dim,
    describe_dim,
    dim_from_json,
    mismatch,
    root_axis,
)
from cineflow.spec.checks import as_tuple, is_whole, require_text, require_texts

#: dtypes a tensor of a spec may have: NumPy's name -> Triton's name.
TRITON_DTYPES: Mapping[str, str] = {
    "float32": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "uint8": "TYPE_UINT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "bool": "TYPE_BOOL",
}


class Role(str, Enum):
    """What an output means. Roles bring readings: see docs/kinds.md.

    The shapes are without the leading axes of size 1 (batch); n is 2 for images [H, W] and 3 for
    volumes [D, H, W].
    """

    NONE = ""
    FLOW = "flow"  #: [n, ...] previous frame -> current frame, on the previous frame's grid
    DISPLACEMENT = "displacement"  #: [n, ...] reference -> current, on the reference's grid
    LABELS = "labels"  #: [...] whole numbers: the class of each pixel or voxel
    PROBABILITIES = "probabilities"  #: [K, ...] of each class, per pixel or voxel
    HEAT_MAPS = "heat_maps"  #: [K, h, w] one map per point, at any resolution
    POINTS = "points"  #: [K, n] coordinates in pixels of the frame, x first
    SCORES = "scores"  #: [..., K] one number per class


#: Factor from a flow's own unit to pixels, for a side of `size` pixels.
#: "normalised" counts from the outer edges (`align_corners=False`), "normalised corners" from the
#: centres of the corner pixels (`align_corners=True`).
MOTION_UNITS: Mapping[str, Callable[[int], float]] = {
    "px": lambda size: 1.0,
    "normalised": lambda size: size / 2.0,
    "normalised corners": lambda size: (size - 1) / 2.0,
}


@dataclass(frozen=True)
class TensorSpec:
    """One tensor that crosses a model's border.

    Attributes:
        name: Name in the ONNX graph.
        dtype: NumPy dtype name ("float32").
        shape: Sizes; an `Axis` (or a part of one, `HEIGHT / 4`) where the size is dynamic.
        unit: Unit of the values ("px", "grey level", "probability").
        frame: Coordinate frame of the values or the grid ("previous frame, x right, y down").
        tolerance: Largest accepted difference between two runtimes, in `unit`; for heat maps, how
            far their peaks may be apart, in pixels of the frame; for labels, the share of the
            pixels that may differ. Every floating-point output states one; whole numbers may do
            without, and are compared for equality then.
        description: One sentence.
        role: What an output means (`Role`); "" for one that only its name explains.
        names: What the values stand for, in order: the classes of labels, probabilities and scores,
            or the points of heat maps and points.
        components: Order of a vector's components where it is not x, y[, z]: ("y", "x").
        time_axis: Axis of `shape` along which a window's frames lie; None where the output belongs
            to one frame.
        places: What the values along one axis belong to, in order (AHA segments): the first axis of
            that size.
        points_of: Input of a call whose pictures these coordinates, [..., points, n] px with x
            first, are points of: each lies inside its picture, and no two of one picture are less
            than a pixel apart.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...]
    unit: str
    frame: str = ""
    tolerance: float | None = None
    description: str = ""
    role: str = ""
    names: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    time_axis: int | None = None
    places: tuple[str, ...] = ()
    points_of: str = ""

    def __post_init__(self) -> None:
        require_text("a tensor", name=self.name)
        require_text(
            self.name,
            dtype=self.dtype,
            unit=self.unit,
            frame=self.frame,
            description=self.description,
            role=self.role,
            points_of=self.points_of,
        )
        require_texts(self.name, names=self.names, components=self.components, places=self.places)
        if self.dtype not in TRITON_DTYPES:
            raise SpecError(
                f"{self.name}: a dtype of {', '.join(TRITON_DTYPES)}",
                repr(self.dtype),
                "Convert the tensor inside the model, at its border",
            )
        if not isinstance(self.shape, (tuple, list)) or not all(map(_is_dim, self.shape)):
            raise SpecError(
                f"{self.name}: a shape of whole numbers or axes, of 1 or more",
                repr(self.shape),
                "Sizes count elements; a dynamic one is an Axis, not -1",
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
        roles = [role.value for role in Role]
        if self.role not in roles:
            raise SpecError(
                f"{self.name}: a role of {', '.join(filter(None, roles))}, or none",
                repr(self.role),
                'Leave it out ("") for an output that none of these describes',
            )
        object.__setattr__(self, "role", Role(self.role).value)
        if sorted(self.components) not in ([], ["x", "y"], ["x", "y", "z"]):
            raise SpecError(
                f"{self.name}: components x, y and, in volumes, z, in their order",
                repr(self.components),
                'components=("y", "x") for a flow whose first channel is y',
            )
        if self.time_axis is not None and not (
            is_whole(self.time_axis) and 0 <= self.time_axis < len(self.shape)
        ):
            raise SpecError(
                f"{self.name}: a time axis of 0 to {len(self.shape) - 1}", repr(self.time_axis)
            )

        if self.places and len(self.places) not in self.shape:
            raise SpecError(
                f"{self.name}: an axis of {len(self.places)}, one for each of its places",
                f"[{self.describe_shape()}]",
                "Name as many places as the axis has values",
            )

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The dynamic axes that decide the shape, in order."""
        found = (root_axis(dim) for dim in self.shape)
        return tuple(axis for axis in found if axis is not None)

    def check(self, array: np.ndarray, sizes: dict[str, int] | None = None) -> None:
        """Raise `ArgumentError` unless `array` has this tensor's dtype and an accepted shape.

        The bytes must also be in this machine's order: runtimes read them as they are.

        Args:
            array: The values.
            sizes: Sizes of the dynamic axes so far, by name. Each new one is added, so that the
                tensors of one call agree: `height / 4` is a quarter of `height`.
        """
        same_rank = array.ndim == len(self.shape)
        pairs = zip(self.shape, array.shape, strict=True) if same_rank else ()
        known = {} if sizes is None else sizes
        wrong = [reason for dim, size in pairs if (reason := mismatch(dim, size, known))]
        swapped = not array.dtype.isnative
        if not same_rank or wrong or swapped or array.dtype != self.dtype:
            order = "big-endian " if array.dtype.byteorder == ">" else "little-endian "
            raise ArgumentError(
                f"{self.name}: {self.dtype} [{self.describe_shape()}]",
                f"{order if swapped else ''}{array.dtype.name} {list(array.shape)}"
                + (f": wanted {'; '.join(wrong)}" if wrong else ""),
                'array.astype(array.dtype.newbyteorder("=")) has this machine\'s order of bytes'
                if swapped
                else f"np.asarray(..., np.{self.dtype}) sets the type"
                if same_rank and not wrong
                else "Give the axes in this order, each with a size that the model takes",
            )

    def describe_shape(self) -> str:
        """The shape in words ("1, 1, height 64..1024 by 16, height / 4")."""
        return ", ".join(describe_dim(dim) for dim in self.shape)

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> TensorSpec:
        """Read back what `dataclasses.asdict` wrote; older specs lack the newer fields."""
        texts = ("names", "components", "places")
        lists = {key: as_tuple(item[key]) for key in texts if key in item}
        shape = tuple(dim_from_json(value) for value in item["shape"])
        return cls(**{**item, **lists, "shape": shape})


def _is_dim(dim: Any) -> bool:
    return isinstance(dim, (Axis, AxisPart)) or (is_whole(dim) and dim > 0)
