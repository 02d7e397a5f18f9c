"""Padding: frames of a size between two that the model takes, and results of the frame's own size.

A model takes sizes by 16 or so, a scanner has 800 x 600. Such a frame gets black rows below it and
black columns to its right. So every pixel and every point keeps its coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cineflow_client.link import FIELDS
from cineflow_client.metadata import ModelInfo
from cineflow_client.served import Result


class Padding:
    """Black rows and columns for the frames of one stream.

    Args:
        model: That takes the frames.
        size: Of the frames, [H, W] or [D, H, W].

    Attributes:
        size: Of the padded frames. The frame's own where it fits, where less than one step of the
            model's sizes is not enough, and where inputs of the frame's size are given next to it.
    """

    def __init__(self, model: ModelInfo, size: tuple[int, ...]) -> None:
        dims = model.input(model.spec["feed"]["inputs"][0])["shape"][-len(size) :]
        self._own = size
        self.size = tuple(_next(dim, extent) for dim, extent in zip(dims, size, strict=True))
        self._by_axis = {
            dim["name"]: extent
            for dim, extent in zip(dims, size, strict=True)
            if isinstance(dim, Mapping) and "axis" not in dim
        }
        given = [
            one for one in model.spec["inputs"] if one["name"] not in model.spec["feed"]["inputs"]
        ]
        if any(self._extent(dim) is not None for one in given for dim in one["shape"]):
            self.size = size  # what is given with a frame of such a size would not fit
        self._shapes = {item["name"]: item["shape"] for item in model.spec["outputs"]}

    def __bool__(self) -> bool:
        return self.size != self._own

    def pad(self, frame: np.ndarray) -> np.ndarray:
        """The frame with black below and to the right of it."""
        if not self:
            return frame
        return np.pad(
            frame, [(0, size - own) for size, own in zip(self.size, self._own, strict=True)]
        )

    def crop(self, result: Result) -> Result:
        """The result without what describes the padding."""
        if not self:
            return result
        inside = (..., *(slice(extent) for extent in self._own))
        fields = {name: getattr(result, name) for name in FIELDS}
        outputs = {
            name: replace(output, values=self._cropped(name, output.values))
            for name, output in result.outputs.items()
        }
        return replace(
            result,
            outputs=outputs,
            **{name: array[inside] for name, array in fields.items() if array is not None},
        )

    def _cropped(self, name: str, values: np.ndarray) -> np.ndarray:
        shape = self._shapes[name][-values.ndim :]  # a reading has lost the leading axes
        return values[tuple(slice(self._extent(dim)) for dim in shape)]

    def _extent(self, dim: Any) -> int | None:
        """How much of an axis belongs to the frame; None: all of it."""
        if isinstance(dim, int):
            return None
        if "axis" not in dim:
            return self._by_axis.get(dim["name"])
        own = self._by_axis.get(dim["axis"]["name"])
        return None if own is None else -(-own * dim["numerator"] // dim["denominator"])


def _next(dim: Any, extent: int) -> int:
    """The next size that fits, if there is one less than a step away."""
    if isinstance(dim, int) or "axis" in dim or extent < dim["minimum"]:
        return extent
    size = -(-extent // dim["multiple"]) * int(dim["multiple"])
    return size if size <= dim["maximum"] else extent
