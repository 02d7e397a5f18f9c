"""Triton's configuration of the stream around a model, and of its alias."""

from __future__ import annotations

from typing import Any

from cineflow.export.triton.protobuf import model_config_pb2
from cineflow.runtime.bundle import BUILTIN_DIR, Bundle

#: Streams that one model instance serves at a time. One more waits until another ends. Only live
#: streams cost memory.
MAX_STREAMS = 64

#: A stream that sends nothing for this time is ended. After a longer freeze the client resumes from
#: its last state.
IDLE_TIMEOUT_US = 60_000_000

#: Inputs of the served stream as (name, Triton dtype, dims). A frame comes as u8 or as f32, and the
#: request that ends a stream may have no frame, so every input is optional. True in `beat` makes
#: its frame the new reference; without `beat` the beats are found in the motion.
STREAM_INPUTS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("frame", "TYPE_UINT8", (-1, -1)),
    ("frame_f32", "TYPE_FP32", (-1, -1)),
    ("frame_index", "TYPE_INT64", (1,)),
    ("beat", "TYPE_BOOL", (1,)),
    ("time_ms", "TYPE_FP64", (1,)),
)
STREAM_OUTPUTS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("flow", "TYPE_FP32", (2, -1, -1)),
    ("displacement", "TYPE_FP32", (2, -1, -1)),
    ("quality", "TYPE_FP32", (1,)),
    ("quality_parts", "TYPE_FP32", (8,)),
    ("tracked", "TYPE_INT64", (4,)),
    ("beat_info", "TYPE_INT64", (3,)),
    ("drift", "TYPE_FP32", (1,)),
)


def stream_config(bundle: Bundle, name: str = "") -> Any:
    """ModelConfig of the stateful stream around `bundle`.

    Args:
        bundle: The model.
        name: Name of the model's folder; "" for the served name, which has the hash of the content.
            Under another name, the served name is a parameter that the server checks.
    """
    pb = model_config_pb2()
    config = pb.ModelConfig(
        name=name or bundle.served_name,
        backend="python",
        max_batch_size=0,  # the frames of one stream come one after the other: nothing to batch
        input=_inputs(pb),
        output=_outputs(pb),
        instance_group=[pb.ModelInstanceGroup(kind=pb.ModelInstanceGroup.KIND_CPU, count=1)],
    )
    # Without control inputs: the backend reads start, end and sequence id from the request itself.
    config.sequence_batching.CopyFrom(
        pb.ModelSequenceBatching(
            max_sequence_idle_microseconds=IDLE_TIMEOUT_US,
            oldest=pb.ModelSequenceBatching.StrategyOldest(max_candidate_sequences=MAX_STREAMS),
        )
    )
    config.parameters["bundle"].string_value = _bundle_reference(bundle)
    if config.name != bundle.served_name:
        config.parameters["served_name"].string_value = bundle.served_name
    config.parameters["spec"].string_value = bundle.spec.to_json()
    return config


def alias_config(bundle: Bundle) -> Any:
    """ModelConfig of the alias: it passes every tensor to the hashed name."""
    pb = model_config_pb2()
    step = pb.ModelEnsembling.Step(model_name=bundle.served_name, model_version=-1)
    for name, *_ in STREAM_INPUTS:
        step.input_map[name] = name
    for name, *_ in STREAM_OUTPUTS:
        step.output_map[name] = name
    return pb.ModelConfig(
        name=bundle.spec.name,
        platform="ensemble",
        max_batch_size=0,
        input=_inputs(pb),
        output=_outputs(pb),
        ensemble_scheduling=pb.ModelEnsembling(step=[step]),
    )


def _inputs(pb: Any) -> list[Any]:
    return [
        pb.ModelInput(name=name, data_type=pb.DataType.Value(dtype), dims=dims, optional=True)
        for name, dtype, dims in STREAM_INPUTS
    ]


def _outputs(pb: Any) -> list[Any]:
    return [
        pb.ModelOutput(name=name, data_type=pb.DataType.Value(dtype), dims=dims)
        for name, dtype, dims in STREAM_OUTPUTS
    ]


def _bundle_reference(bundle: Bundle) -> str:
    """What the server opens: the name of a built-in bundle, or else an absolute path."""
    built_in = bundle.path.parent == BUILTIN_DIR
    return bundle.path.name if built_in else str(bundle.path.resolve())
