"""What feeds a model, what it carries, and what its outputs mean: `ModelSpec`, written once.

The exporter, the verifier, the Triton configuration, the server and the client's metadata all read
this one description. Standard library and NumPy only: anyone may import it.

    model.py     ModelSpec, Weights
    tensors.py   TensorSpec and Role
    outputs.py   the shape that each role needs, and how its values are read
    feed.py      Feed: how the frames of a stream reach the inputs
    axes.py      Axis, and sizes that follow one
"""

from cineflow.spec.axes import Axis, AxisPart, Dim
from cineflow.spec.feed import Feed, FeedKind
from cineflow.spec.model import ModelSpec, Weights
from cineflow.spec.tensors import TRITON_DTYPES, Role, TensorSpec

__all__ = [
    "TRITON_DTYPES",
    "Axis",
    "AxisPart",
    "Dim",
    "Feed",
    "FeedKind",
    "ModelSpec",
    "Role",
    "TensorSpec",
    "Weights",
]
