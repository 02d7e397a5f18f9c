"""What the server publishes about a model, read before the first frame is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cineflow_client.errors import FrameRejected, ModelNotFound

#: The inputs that take a frame, and the outputs, of every cineflow model.
INPUTS = frozenset({"frame", "frame_f32"})
OUTPUTS = frozenset(
    {"flow", "displacement", "quality", "quality_parts", "tracked", "beat_info", "drift"}
)

_WRITE_AGAIN = "Write the model repository with `cineflow repo BUNDLE --out DIR`, and serve that."


@dataclass(frozen=True)
class ModelInfo:
    """One served model.

    Attributes:
        name: The name that was asked for: an alias, or the served name.
        served_name: The name with the hash of the content ("lucas_kanade-1a2b3c4d"). Streams bind
            to it.
        spec: The ModelSpec that the server publishes: tensors, units, tolerance, origin of weights.
        idle_timeout_s: Seconds without a frame after which the server drops a stream.
    """

    name: str
    served_name: str
    spec: Mapping[str, Any]
    idle_timeout_s: float
    _axes: tuple[Mapping[str, Any] | int, ...] = field(repr=False, default=())

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise `FrameRejected` unless the model takes frames of `size` (H, W)."""
        for axis, wanted, label in zip(size, self._axes, ("height", "width"), strict=False):
            fits = (
                axis == wanted
                if isinstance(wanted, int)
                else wanted["minimum"] <= axis <= wanted["maximum"]
                and axis % wanted["multiple"] == 0
            )
            if not fits:
                raise FrameRejected(
                    f"a {label} of {_accepted(wanted)} pixels, which {self.served_name} takes",
                    str(axis),
                    "Resize or pad the frame first (cineflow.cine.fit_to keeps the geometry).",
                )


def _accepted(wanted: Mapping[str, Any] | int) -> str:
    if isinstance(wanted, int):
        return str(wanted)
    step = f" by {wanted['multiple']}" if wanted["multiple"] > 1 else ""
    return f"{wanted['minimum']}..{wanted['maximum']}{step}"


def alias_target(config: Any) -> str:
    """The model behind an alias, which is an ensemble of one step; empty for other models."""
    steps = config.ensemble_scheduling.step
    return str(steps[0].model_name) if len(steps) == 1 else ""


def read_model_info(name: str, config: Any) -> ModelInfo:
    """Read a served model's configuration (the protobuf ModelConfig).

    Raises:
        ModelNotFound: It is not a cineflow model.
    """
    inputs = {item.name for item in config.input}
    outputs = {item.name for item in config.output}
    if not (inputs >= INPUTS and outputs >= OUTPUTS):
        raise ModelNotFound(
            f"a cineflow model with inputs {sorted(INPUTS)} and outputs {sorted(OUTPUTS)}",
            f"{config.name} with {sorted(inputs)} and {sorted(outputs)}",
            _WRITE_AGAIN,
        )
    try:
        spec = json.loads(config.parameters["spec"].string_value)
        image = spec["inputs"][0]["shape"][-2:]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ModelNotFound(
            f"{config.name} with a ModelSpec in its parameter `spec`",
            f"{type(error).__name__}: {error}",
            _WRITE_AGAIN,
        ) from error
    return ModelInfo(
        name=name,
        served_name=config.name,
        spec=spec,
        idle_timeout_s=config.sequence_batching.max_sequence_idle_microseconds / 1e6,
        _axes=tuple(image),
    )
