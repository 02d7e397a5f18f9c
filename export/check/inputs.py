"""Random inputs for a graph without a recipe."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cineflow.errors import SpecError
from cineflow.runtime.bundle import graph_inputs
from cineflow.spec import ModelSpec, TensorSpec
from cineflow.spec.axes import size_of
from cineflow.spec.feed import frame_layout

#: Range of random inputs per unit.
_RANGES = {"grey level": (0.0, 255.0), "probability": (0.0, 1.0), "0..1": (0.0, 1.0)}

#: Of all others: floating-point numbers, and whole numbers.
_FLOATS, _WHOLE = (-1.0, 1.0), (0.0, 99.0)

#: Classes of labels that have no names: every model of labels knows that many.
_CLASSES = 2


def random_inputs(spec: ModelSpec, sizes: Mapping[str, int], seed: int) -> dict[str, np.ndarray]:
    """Random inputs by name, in the range of each.

    Frames have the values that the feed makes of its grey levels; labels are classes of their
    names; others have a range that suits their unit.
    """
    random = np.random.default_rng(seed)
    inputs = {}
    for tensor in graph_inputs(spec):
        shape = [size_of(dim, sizes) for dim in tensor.shape]
        dtype = np.dtype(tensor.dtype)
        if dtype.kind == "b":
            inputs[tensor.name] = random.integers(0, 2, shape).astype(dtype)
            continue
        low, high = value_range(tensor, spec)
        if dtype.kind == "f":
            inputs[tensor.name] = random.uniform(low, high, shape).astype(dtype)
        else:
            whole = random.integers(int(np.ceil(low)), int(np.floor(high)) + 1, shape)
            inputs[tensor.name] = whole.astype(dtype)
    return inputs


def value_range(tensor: TensorSpec, spec: ModelSpec) -> tuple[float, float]:
    """Lowest and highest value of an input that a model must take."""
    whole = np.dtype(tensor.dtype).kind in "ui"
    if tensor.name in spec.feed.inputs:
        try:
            layout = frame_layout(tensor, spec.feed)
        except SpecError:  # no stream can feed it; its unit still says a range
            pass
        else:
            low, high = sorted(grey * layout.scale + layout.offset for grey in spec.feed.grey)
            if whole:
                bounds = np.iinfo(tensor.dtype)
                low, high = max(low, float(bounds.min)), min(high, float(bounds.max))
            return low, high
    if whole and (tensor.unit == "class" or tensor.role == "labels"):
        return 0.0, float((len(tensor.names) or _CLASSES) - 1)
    return _RANGES.get(tensor.unit, _WHOLE if whole else _FLOATS)
