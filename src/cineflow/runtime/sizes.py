"""The size of a stream's frames against the shapes of a model's tensors."""

from __future__ import annotations

from collections.abc import Sequence

from cineflow.spec import Axis


def takes(dims: Sequence[int | Axis], size: Sequence[int]) -> bool:
    """Whether every extent of `size` fits its dimension."""
    return len(dims) == len(size) and all(map(takes_extent, dims, size))


def takes_extent(dim: int | Axis, extent: int) -> bool:
    """Whether a dimension, fixed or dynamic, takes `extent`."""
    return dim.accepts(extent) if isinstance(dim, Axis) else dim == extent


def shape_at(dims: Sequence[int | Axis], size: Sequence[int]) -> list[int]:
    """Shape of a state tensor in a stream of frames of `size` (H, W).

    A fixed dimension keeps its extent; one that names the axis height or width gets the frame's.
    """
    extents = {"height": size[0], "width": size[1]}
    return [extents[dim.name] if isinstance(dim, Axis) else dim for dim in dims]
