"""Triton's configuration of a served model, streamed or called, and of its alias.

Inputs and outputs are the ports of `cineflow.served`; nothing about a model is written here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cineflow.errors import ExportError
from cineflow.export.triton.protobuf import model_config_pb2
from cineflow.runtime.bundle import BUILTIN_DIR, Bundle
from cineflow.served import (
    CONTRACT,
    DATATYPES,
    Port,
    batch_limit,
    call_ports,
    stream_inputs,
    stream_outputs,
)

#: Streams that a model serves at a time; one more is refused. Only live streams cost memory.
PLACES = 64

#: Sequences that Triton hands to the backend. More than the places, so that it is the backend that
#: refuses: Triton would let the client wait.
MAX_SEQUENCES = 1024

#: A stream that sends nothing for this time is ended. After a longer freeze the client resumes from
#: its last state.
IDLE_TIMEOUT_US = 60_000_000
_LONGEST_IDLE_S = 86400.0

#: A call waits this long for others that it can run with.
BATCH_DELAY_US = 500

#: Folder of a model in the repository that holds its bundle.
BUNDLE_FOLDER = "bundle"


@dataclass(frozen=True)
class Limits:
    """What one served model may take.

    Attributes:
        places: How many streams may be live at once; one more is refused.
        idle_s: Seconds without a frame after which a stream is ended.
        threads: Threads that the engine may use inside one frame; 0 lets the engine choose.

    Raises:
        ExportError: A number is out of its range.
    """

    places: int = PLACES
    idle_s: float = IDLE_TIMEOUT_US / 1e6
    threads: int = 0

    @classmethod
    def of(cls, config: Any) -> Limits:
        """The limits of a model that is served, from its ModelConfig."""
        said = config.parameters
        idle_s = config.sequence_batching.max_sequence_idle_microseconds / 1e6
        return cls(
            int(said["places"].string_value) if "places" in said else PLACES,
            idle_s or IDLE_TIMEOUT_US / 1e6,
            int(said["threads"].string_value) if "threads" in said else 0,
        )

    def __post_init__(self) -> None:
        for what, value, low, high in (
            ("places", self.places, 1, 65536),
            ("idle time, in seconds", self.idle_s, 1.0, _LONGEST_IDLE_S),
            ("number of threads (0: the default)", self.threads, 0, 4096),
        ):
            if not low <= value <= high:
                raise ExportError(f"a {what} from {low:g} to {high:g}", str(value))


def served_config(bundle: Bundle, name: str = "", limits: Limits | None = None) -> Any:
    """ModelConfig of `bundle`: a stateful stream, or calls that batch.

    Args:
        bundle: The model. Its served name, which has the hash of its content, is a parameter.
        name: Name of the model's folder; "" for the served name.
        limits: What it may take; the defaults otherwise.
    """
    limits = limits or Limits()
    pb = model_config_pb2()
    spec = _json(bundle)
    inputs, outputs = ports_of(spec)
    limit = 0 if bundle.spec.feed.streams else batch_limit(spec, bundle.batch_axis)
    config = pb.ModelConfig(
        name=name or bundle.served_name,
        backend="python",
        max_batch_size=limit,
        input=_inputs(pb, inputs, limit),
        output=_outputs(pb, outputs, limit),
        instance_group=[pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_CPU, count=1)],
    )
    if bundle.spec.feed.streams:
        # Without control inputs: the backend reads start, end and sequence id from the request.
        config.sequence_batching.CopyFrom(
            pb.ModelSequenceBatching(
                max_sequence_idle_microseconds=round(1e6 * limits.idle_s),
                oldest=pb.ModelSequenceBatching.StrategyOldest(
                    max_candidate_sequences=max(MAX_SEQUENCES, 4 * limits.places)
                ),
            )
        )
        config.parameters["places"].string_value = str(limits.places)
    elif limit:
        config.dynamic_batching.CopyFrom(
            pb.ModelDynamicBatching(max_queue_delay_microseconds=BATCH_DELAY_US)
        )
    if limits.threads:
        config.parameters["threads"].string_value = str(limits.threads)
    config.parameters["bundle"].string_value = bundle_reference(bundle)
    config.parameters["contract"].string_value = str(CONTRACT)
    config.parameters["served_name"].string_value = bundle.served_name
    config.parameters["spec"].string_value = bundle.spec.to_json()
    return config


def aliases_of(bundles: Sequence[Bundle]) -> dict[str, Bundle]:
    """The bundle behind each alias.

    The first bundle of a model has the model's name. A further one of another precision has
    `<model>-<precision>`; if that is also taken, it is served under its hashed name only.
    """
    found: dict[str, Bundle] = {}
    for bundle in bundles:
        name = bundle.spec.name
        first = found.setdefault(name, bundle)
        if bundle.precision != first.precision:
            found.setdefault(f"{name}-{bundle.precision}", bundle)
    return found


def alias_config(bundle: Bundle, name: str = "") -> Any:
    """ModelConfig of the alias: it passes every tensor to the hashed name.

    Args:
        bundle: The model.
        name: The alias; "" for the model's name.
    """
    pb = model_config_pb2()
    spec = _json(bundle)
    inputs, outputs = ports_of(spec)
    limit = 0 if bundle.spec.feed.streams else batch_limit(spec, bundle.batch_axis)
    step = pb.ModelEnsembling.Step(model_name=bundle.served_name, model_version=-1)
    for port in inputs:
        step.input_map[port.name] = port.name
    for port in outputs:
        step.output_map[port.name] = port.name
    return pb.ModelConfig(
        name=name or bundle.spec.name,
        platform="ensemble",
        max_batch_size=limit,
        input=_inputs(pb, inputs, limit),
        output=_outputs(pb, outputs, limit),
        ensemble_scheduling=pb.ModelEnsembling(step=[step]),
    )


def ports_of(spec: Mapping[str, Any]) -> tuple[list[Port], list[Port]]:
    """Inputs and outputs of a served model, by the kind of its feed."""
    if spec["feed"]["kind"] == "call":
        return call_ports(spec)
    return stream_inputs(spec), stream_outputs(spec)


def require_sizes(model: str, shapes: Mapping[str, Sequence[Any]]) -> None:
    """Raise `ExportError` for a tensor without any axis: Triton starts no server that has one.

    Args:
        model: Its name.
        shapes: Shape of each input and output, by name.
    """
    if bare := [name for name, shape in shapes.items() if not len(shape)]:
        raise ExportError(
            f"{model}: inputs and outputs with one axis or more, which Triton can serve",
            f"{', '.join(bare)} without any",
            "Give it a size of 1 at the border of the model: value.reshape(1), and shape=(1,)",
        )


def bundle_reference(bundle: Bundle) -> str:
    """What the server opens: the name of a built-in bundle, or the copy in the model's folder."""
    return bundle.path.name if bundle.path.parent == BUILTIN_DIR else BUNDLE_FOLDER


def _json(bundle: Bundle) -> Mapping[str, Any]:
    spec: Mapping[str, Any] = json.loads(bundle.spec.to_json())
    return spec


def _inputs(pb: Any, ports: Sequence[Port], limit: int) -> list[Any]:
    return [
        pb.ModelInput(
            name=port.name, data_type=_type(pb, port), dims=_dims(port, limit),
            optional=port.optional,
        )
        for port in ports
    ]  # fmt: skip


def _outputs(pb: Any, ports: Sequence[Port], limit: int) -> list[Any]:
    return [
        pb.ModelOutput(name=port.name, data_type=_type(pb, port), dims=_dims(port, limit))
        for port in ports
    ]


def _type(pb: Any, port: Port) -> Any:
    return pb.DataType.Value(f"TYPE_{DATATYPES[port.dtype]}")


def _dims(port: Port, limit: int) -> tuple[int, ...]:
    """The sizes that Triton checks; it adds the batch itself."""
    return port.shape[1:] if limit else port.shape
