"""Whether calls can run together: rows of a batch that do not change each other, shown by a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np

from cineflow.errors import ExportError
from cineflow.export.bundle.probes import probe_sizes
from cineflow.export.check.units import measure
from cineflow.export.recipe import nearest_size
from cineflow.runtime.engine import Engine
from cineflow.served import batch_limit
from cineflow.spec import Axis, FeedKind, ModelSpec

#: The name that says so by itself; such a model must keep its word.
BATCH = "batch"


def batch_axis(
    spec: ModelSpec,
    engine: Engine,
    inputs: Callable[[Mapping[str, int], int], Mapping[str, np.ndarray]],
) -> str:
    """The first axis along which the calls of clients can run as one; "" without such an axis.

    All inputs and outputs share it, whatever its name (`batch`, `batch_size`, `N`), and two calls
    that run together give what each gives alone. A time axis of a model that looks at several
    frames is told from a batch by that.

    Args:
        spec: Of the model.
        engine: Runs it.
        inputs: Makes arrays by name, for sizes by axis name and a seed.

    Raises:
        ExportError: The axis is called `batch`, and two calls change each other.
    """
    axis = _shared_axis(spec)
    if axis is None:
        return ""
    rows = nearest_size(axis, axis.minimum)
    if not axis.accepts(2 * rows):
        return ""
    sizes = probe_sizes(spec) | {axis.name: rows}
    calls = [inputs(sizes, seed) for seed in (0, 1)]
    names = [one.name for one in spec.inputs]
    together = engine.run({name: np.concatenate([one[name] for one in calls]) for name in names})
    for position, call in enumerate(calls):
        alone = engine.run({name: call[name] for name in names})
        for tensor in spec.outputs:
            part = together[tensor.name][position * rows : (position + 1) * rows]
            gap = measure(tensor, alone[tensor.name], part, spec, sizes)
            worst = float(gap.distances.max(initial=0.0))
            if worst <= (tensor.tolerance or 0.0):
                continue
            if axis.name != BATCH:
                return ""
            raise ExportError(
                f"{spec.name} to give for two calls in one batch what it gives for each",
                f"{tensor.name} changes by {worst:.3g} {tensor.unit}",
                "A server joins calls along an axis that is called batch. Call it otherwise if its "
                "rows belong together",
            )
    return axis.name


def _shared_axis(spec: ModelSpec) -> Axis | None:
    """The dynamic first axis of every input and output of a call; None without one."""
    if spec.feed.kind != FeedKind.CALL or spec.states or not spec.inputs[0].shape:
        return None
    first = spec.inputs[0].shape[0]
    served = json.loads(spec.to_json())
    return first if isinstance(first, Axis) and batch_limit(served, first.name) else None
