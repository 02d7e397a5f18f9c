"""Arrays that a user gives in a .npz file: a model's further inputs, or those of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cineflow.cine import Geometry
from cineflow.errors import ArgumentError
from cineflow.spec import ModelSpec, TensorSpec


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name.

    Raises:
        ArgumentError: It is not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, AttributeError) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        raise ArgumentError(
            f"{path} to be a .npz file of arrays",
            f"{type(error).__name__}: {error}",
            "numpy.savez(path, name=array, ...) writes one; objects are not read.",
        ) from error


def in_spec_type(tensor: TensorSpec, array: np.ndarray) -> np.ndarray:
    """The array in the spec's dtype, where no more than digits are lost (float64 to float32)."""
    wanted = np.dtype(tensor.dtype)
    return array.astype(wanted) if np.can_cast(array.dtype, wanted, "same_kind") else array


@dataclass(frozen=True)
class Given:
    """The further inputs of a stream: those of its start, and those of each frame.

    Attributes:
        start: Sent with the first frame.
        each: Sent with every frame: one array for all frames, or one row per frame.
        ranks: Axes of each input in the spec.
    """

    start: Mapping[str, np.ndarray] = field(default_factory=dict)
    each: Mapping[str, np.ndarray] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)

    def at(self, index: int) -> dict[str, np.ndarray]:
        """What is sent with frame `index` of the clip."""
        arrays = dict(self.start) if index == 0 else {}
        for name, array in self.each.items():
            arrays[name] = array[index] if array.ndim > self.ranks[name] else array
        return arrays


def read_given(path: Path | None, spec: ModelSpec, frames: int, geometry: Geometry) -> Given:
    """The further inputs of a model, read from a .npz file.

    Inputs in px whose last axis is (x, y) are points of the clip; they are moved to the picture
    that the model sees.

    Args:
        path: The file; None where the user gave no file.
        spec: The model.
        frames: Frames of the clip.
        geometry: From the clip's pixels to the model's.

    Raises:
        ArgumentError: An input is missing or unknown, or has neither the spec's rank nor one row
            for each frame.
    """
    wanted = {tensor.name: tensor for tensor in spec.given_inputs}
    found = {} if path is None else read_arrays(path)
    if found.keys() != wanted.keys():
        raise ArgumentError(
            f"the inputs {_describe(spec.given_inputs)} of {spec.name}"
            if wanted
            else f"no further inputs for {spec.name}",
            f"{sorted(found)}" if path is not None else "none",
            "--given FILE.npz, which numpy.savez(path, name=array, ...) writes"
            if wanted
            else "Leave --given out.",
        )
    start: dict[str, np.ndarray] = {}
    each: dict[str, np.ndarray] = {}
    for name, tensor in wanted.items():
        array = in_spec_type(tensor, found[name])
        if tensor.unit == "px" and array.shape[-1:] == (2,) and array.dtype.kind == "f":
            array = geometry.points_to_model(array).astype(array.dtype)
        rank, once = len(tensor.shape), name in spec.feed.at_start
        per_frame = not once and array.ndim == rank + 1 and len(array) == frames
        if array.ndim != rank and not per_frame:
            rows = "" if once else f", or one for each of {frames} frames"
            raise ArgumentError(
                f"{name}: {tensor.dtype} [{tensor.describe_shape()}]{rows}",
                f"{array.dtype.name} {list(array.shape)}",
            )
        (start if once else each)[name] = array
    return Given(start, each, {name: len(tensor.shape) for name, tensor in wanted.items()})


def _describe(tensors: Sequence[TensorSpec]) -> str:
    return ", ".join(
        f"{one.name} ({one.dtype} [{one.describe_shape()}] {one.unit})" for one in tensors
    )
