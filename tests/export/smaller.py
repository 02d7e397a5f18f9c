"""Specs with smaller largest sizes, for exports that would compare large pictures else."""

from __future__ import annotations

from dataclasses import replace

from cineflow.spec import Axis, ModelSpec
from cineflow.spec.axes import AxisPart


def up_to(spec: ModelSpec, most: int) -> ModelSpec:
    """The spec with smaller largest sizes, so that its export compares no large pictures."""

    def smaller(dim):
        if isinstance(dim, AxisPart):
            return replace(dim, axis=smaller(dim.axis))
        return replace(dim, maximum=most) if isinstance(dim, Axis) else dim

    def all_of(tensors):
        return tuple(replace(one, shape=tuple(map(smaller, one.shape))) for one in tensors)

    return replace(
        spec, inputs=all_of(spec.inputs), outputs=all_of(spec.outputs), states=all_of(spec.states)
    )
