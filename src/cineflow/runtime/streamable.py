"""Which models a stream can run."""

from __future__ import annotations

import json

from cineflow.errors import SpecError
from cineflow.runtime.feed import FrameFeed
from cineflow.runtime.readings import require_readable
from cineflow.served import raw_outputs, reserved_names
from cineflow.spec import ModelSpec


def require_streamable(spec: ModelSpec) -> None:
    """Raise `SpecError` unless a `Stream` can run models of this kind, readings included."""
    FrameFeed(spec)  # refuses a call, a unit or a shape that frames cannot have
    require_readable(spec)
    served = json.loads(spec.to_json())
    # A flow called `flow` is the reading itself; every other output has a port next to it.
    raw = {item["name"] for item in raw_outputs(served)}
    own = {one.name for one in spec.outputs if one.name not in raw and one.name == one.role}
    named = [one.name for one in (*spec.given_inputs, *spec.outputs) if one.name not in own]
    taken = [name for name in named if name in reserved_names(served)]
    if taken:
        raise SpecError(
            f"{spec.name}: outputs and given inputs with names of their own",
            f"{taken}, which the stream uses itself",
            "Rename them in the spec and in the recipe: `tracks` for points, `maps` for heat maps",
        )
    known = {axis.name for one in spec.inputs for axis in one.axes}
    for state in spec.states:
        if unknown := {axis.name for axis in state.axes} - known:
            raise SpecError(
                f"{spec.name}: a state whose size the inputs decide",
                f"{state.name} with the axes {sorted(unknown)}",
                "Fix the size, or derive it: HEIGHT / 4",
            )
