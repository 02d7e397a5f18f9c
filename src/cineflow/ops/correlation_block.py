"""RAFT's `CorrBlock` and `AlternateCorrBlock` as one object, which chooses between the two."""

from __future__ import annotations

import math

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.ops.arrays import Array, require_array, shared_kind
from cineflow.ops.correlation import Scale, scale_factor
from cineflow.ops.correlation_on_demand import correlation_on_demand, feature_pyramid
from cineflow.ops.correlation_pyramid import (
    correlation_lookup,
    correlation_pyramid,
    level_count,
    lookup_radius,
    pyramid_length,
)
from cineflow.ops.scalars import real

#: Bytes of a pyramid that is kept in memory: 256 MiB, maps of up to 84 x 84 in float32.
MEMORY_LIMIT = 2**28


class CorrelationBlock:
    """Correlation of two maps, prepared once and looked up in each iteration.

    The pyramid of all pairs is kept where it fits `memory_limit`. Otherwise only the levels of
    `f2` are, and each look-up computes its windows. Both give the same numbers up to rounding.

    Args:
        f1: [N, C, H, W] float32, float16 or bfloat16, any strides.
        f2: Like `f1`.
        levels: 1 to 4. The last one must have at least one pixel: sides of 2^(levels - 1) or more.
        radius: r of the windows in pixels of each level, 0 to 8.
        scale: As in `correlation_pyramid`.
        memory_limit: Most bytes of the pyramid of the whole batch; 0 never makes one.

    Attributes:
        on_demand: Whether look-ups compute their windows.

    Raises:
        ArgumentError: As `correlation_pyramid` and `feature_pyramid`.
        EngineError: As they do.
    """

    def __init__(
        self,
        f1: Array,
        f2: Array,
        *,
        levels: int = 4,
        radius: int = 4,
        scale: Scale = "sqrt",
        memory_limit: float = MEMORY_LIMIT,
    ) -> None:
        require_array("f1", f1, "[N, C, H, W]")
        require_array("f2", f2, "[N, C, H, W]")
        self._levels, self._radius, self._scale = level_count(levels), lookup_radius(radius), scale
        limit = real("memory_limit", memory_limit)
        if not limit >= 0:
            raise ArgumentError("memory_limit of 0 bytes or more", repr(memory_limit))
        self._f1 = f1
        self.on_demand = _pyramid_bytes(f1, self._levels) > limit
        if self.on_demand:
            _require_alike(f1, f2)
            scale_factor(scale, f1)
            self._prepared = feature_pyramid(f2, levels=levels)
        else:
            self._prepared = correlation_pyramid(f1, f2, levels=levels, scale=scale)

    def lookup(self, coords: Array, *, out: Array | None = None) -> Array:
        """The windows around `coords`, as `correlation_lookup` gives them.

        Args:
            coords: [N, 2, H, W] float32, (x, y) in pixels of level 0.
            out: Where to write. It may not overlap an input.

        Returns:
            [N, levels (2r + 1)^2, H, W] in the dtype of the features: `out` if it was given.

        Raises:
            ArgumentError: Shapes, dtypes or devices do not fit; `out` overlaps an input.
            EngineError: A CUDA array, and no CUDA kernels or no device to run them.
        """
        if self.on_demand:
            return correlation_on_demand(
                self._f1,
                self._prepared,
                coords,
                levels=self._levels,
                radius=self._radius,
                scale=self._scale,
                out=out,
            )
        return correlation_lookup(
            self._prepared, coords, levels=self._levels, radius=self._radius, out=out
        )


def _require_alike(f1: Array, f2: Array) -> None:
    """The refusals of `correlation_pyramid`, where nothing else compares the two maps."""
    shared_kind(("f1", "f2"), (f1, f2))
    for what, one, other in (
        ("shape", list(f1.shape), list(f2.shape)),
        ("dtype", f1.dtype, f2.dtype),
        ("device", getattr(f1, "device", "cpu"), getattr(f2, "device", "cpu")),
    ):
        if one != other:
            raise ArgumentError(f"f2 of f1's {what} {one}", f"{other}")


def _pyramid_bytes(f1: Array, levels: int) -> float:
    """Bytes of the pyramid; 0 where torch traces symbolic sizes, which no limit can judge."""
    batch, _, height, width = f1.shape
    if not all(isinstance(size, (int, np.integer)) for size in (batch, height, width)):
        return 0
    length = pyramid_length(height, width, levels)
    return math.prod(map(int, (batch, height, width, length))) * int(f1.dtype.itemsize)
