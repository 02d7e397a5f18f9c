"""Recipe of `flow_pwc`, a PWC-style flow network: an example of a learned model.

Without `--weights` its weights are random (seeded) and its flow is meaningless; it then serves for
export and speed only. `--weights` also takes a public checkpoint of ARFlow's PWCLite.
`flow_pwc_stream` is the same network with a state, which encodes each frame once.
"""

from __future__ import annotations

from cineflow.export.recipe import Recipe
from cineflow.export.recipes import _flow_pwc as shared
from cineflow.models.flow_pwc import FlowPwc, Size, pwclite_keys
from cineflow.spec import ModelSpec

VARIANTS = shared.VARIANTS

_SPEC = ModelSpec(
    name="flow_pwc",
    summary="Dense motion between two frames: PWC-style flow network.",
    inputs=(shared.frame("previous", "earlier"), shared.frame("current", "later")),
    outputs=(shared.FLOW,),
    weights=shared.WEIGHTS,
    source=shared.SOURCE,
)


def recipe(size: Size) -> Recipe:
    """The network with its seeded weights."""
    return Recipe(_SPEC, lambda: FlowPwc(size), shared.example_pair, own_keys=pwclite_keys)
