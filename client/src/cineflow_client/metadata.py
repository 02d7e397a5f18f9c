"""What the server publishes about a model, read before the first frame is sent."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cineflow_client.errors import (
    CineflowClientError,
    FrameRejected,
    ModelNotFound,
    UntrainedWeights,
)
from cineflow_client.served import CONTRACT, READINGS, STATE, stream_outputs
from cineflow_client.shapes import describe, fits

_WRITE_AGAIN = "Write the model repository with `cineflow repo BUNDLE --out DIR`, and serve that."


@dataclass(frozen=True)
class ModelInfo:
    """One served model.

    Attributes:
        name: The name that was asked for: an alias, or the served name.
        served_name: The name with the hash of the content ("lucas_kanade-1a2b3c4d"). Streams bind
            to it.
        spec: The ModelSpec that the server publishes: feed, tensors, units, tolerance, origin of
            weights.
        idle_timeout_s: Seconds without a frame after which the server drops a stream; 0 for calls.
    """

    name: str
    served_name: str
    spec: Mapping[str, Any]
    idle_timeout_s: float

    @property
    def streams(self) -> bool:
        """Whether frames are streamed to it; else it takes calls."""
        return bool(self.spec["feed"]["kind"] != "call")

    @property
    def untrained(self) -> bool:
        """Whether its weights are random numbers, so that its outputs are meaningless."""
        weights = self.spec["weights"]
        return not weights["trained"] and str(weights["source"]).startswith("seed ")

    def warn_if_untrained(self) -> None:
        """Warn with `UntrainedWeights`, at the line that called the client."""
        if self.untrained:
            warnings.warn(
                f"Untrained weights: outputs are meaningless. {self.served_name} has random "
                f"numbers for weights ({self.spec['weights']['source']}).",
                UntrainedWeights,
                stacklevel=3,
            )

    @property
    def frame_rank(self) -> int:
        """Axes of a frame: 2 for images [H, W], 3 for volumes [D, H, W]."""
        return 3 if self.spec["feed"]["volume"] else 2

    def input(self, name: str) -> Mapping[str, Any]:
        """The input `name` of the spec."""
        found: Mapping[str, Any] = next(one for one in self.spec["inputs"] if one["name"] == name)
        return found

    def wanted_outputs(self, readings: tuple[str, ...]) -> list[str]:
        """Names of the outputs that a stream asks for: all, but of those on request `readings`.

        Raises:
            CineflowClientError: The model has no such reading, or it comes without being asked for.
        """
        on_request = {row.name for row in READINGS if row.asked} | {STATE.name}
        there = [port.name for port in stream_outputs(self.spec)]
        if unknown := [name for name in readings if name not in on_request.intersection(there)]:
            raise CineflowClientError(
                f"readings on request of {sorted(on_request.intersection(there))}",
                f"{unknown}",
                "The other readings always come.",
            )
        return [name for name in there if name not in on_request or name in readings]

    def axis_sizes(self, shape: tuple[int, ...]) -> dict[str, int]:
        """Sizes of the dynamic axes, by name, for frames of `shape`.

        Raises:
            FrameRejected: The model does not take frames of this size.
        """
        sizes: dict[str, int] = {}
        feed = self.spec["feed"]
        for position, name in enumerate(feed["inputs"]):
            dims = self.input(name)["shape"]
            leading = len(dims) - self.frame_rank
            last = position == len(feed["inputs"]) - 1
            for axis, dim in enumerate(dims[:leading]):
                if isinstance(dim, Mapping):
                    at_time = axis == feed["time_axis"] and last
                    stacked = 2 if feed["kind"] != "window" else feed["length"]
                    sizes[dim["name"]] = stacked if at_time else 1
            labels = ("depth", "height", "width")[-self.frame_rank :]
            for dim, size, label in zip(dims[leading:], shape, labels, strict=True):
                if not fits(dim, size, sizes):
                    raise FrameRejected(
                        f"a {label} of {describe(dim)} pixels, which {self.served_name} takes",
                        str(size),
                        "Pad a smaller volume with black voxels (cineflow.cine.padded); crop or "
                        "resample a larger one."
                        if self.frame_rank == 3
                        else "Resize or pad the frame first (cineflow.cine.fit_to keeps the "
                        "geometry).",
                    )
        return sizes


def alias_target(config: Any) -> str:
    """The model behind an alias, which is an ensemble of one step; empty for other models."""
    steps = config.ensemble_scheduling.step
    return str(steps[0].model_name) if len(steps) == 1 else ""


def read_model_info(name: str, config: Any) -> ModelInfo:
    """Read a served model's configuration (the protobuf ModelConfig).

    Raises:
        ModelNotFound: It is not a cineflow model, or its contract has a different version.
    """
    try:
        contract = int(config.parameters["contract"].string_value or 0)
        spec = json.loads(config.parameters["spec"].string_value)
        feed = spec["feed"]["kind"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ModelNotFound(
            f"{config.name} with a ModelSpec in its parameter `spec`, as cineflow models have",
            f"{type(error).__name__}: {error}",
            _WRITE_AGAIN,
        ) from error
    if contract != CONTRACT:
        raise ModelNotFound(
            f"{config.name} served by version {CONTRACT} of the contract",
            f"version {contract or 'unknown'} (feed {feed})",
            "Install the same version of cineflow and of cineflow-client. " + _WRITE_AGAIN,
        )
    return ModelInfo(
        name=name,
        served_name=config.name,
        spec=spec,
        idle_timeout_s=config.sequence_batching.max_sequence_idle_microseconds / 1e6,
    )
