"""The bare model in Triton's own backends, `onnxruntime` and `tensorrt`, in NVIDIA's container.

Its inputs and outputs are the tensors of the spec, without a stream around them. The container's
runtimes lack our op library, so the bodies in the graph run. States become Triton's implicit state.
These configurations pass Triton's own parser; they have not run in that container.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cineflow.errors import EngineError
from cineflow.export.engines.flavours import version_tuple
from cineflow.export.recipe import nearest_size
from cineflow.export.triton.protobuf import model_config_pb2
from cineflow.export.triton.served import IDLE_TIMEOUT_US, PLACES
from cineflow.runtime.bundle import Bundle
from cineflow.runtime.store import EngineStore, StoredEngine
from cineflow.spec import TRITON_DTYPES, TensorSpec
from cineflow.spec.axes import size_of

#: Size that the server warms up with along a dynamic axis.
WARMUP_SIZE = 256

#: `platform` of a configuration, by backend.
PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "tensorrt": "tensorrt_plan"}


def write_model(bundle: Bundle, backend: str, folder: Path, store: EngineStore | None) -> Any:
    """Write the model's files into `folder` and return its ModelConfig.

    Args:
        bundle: The model.
        backend: "onnxruntime" or "tensorrt".
        folder: `<repository>/<served name>`, empty.
        store: Where `tensorrt` finds its engines.

    Raises:
        EngineError: The store has no engine that Triton's TensorRT backend could run.
    """
    version = folder / "1"
    version.mkdir()
    config = bare_config(bundle, backend)
    if backend == "onnxruntime":
        shutil.copyfile(bundle.onnx_path, version / "model.onnx")
        return config
    engines = engines_of(bundle, store or EngineStore())
    for engine in engines:
        assert engine.key is not None  # engines_of returns only engines with a key
        capability = engine.key.capability
        name = f"model_cc{capability}.plan"
        shutil.copyfile(engine.plan_path, version / name)
        config.cc_model_filenames[f"{capability[:-1]}.{capability[-1]}"] = name
    # On a card that is not listed Triton silently takes this name, so it must not exist.
    config.default_model_filename = "no-engine-for-this-card.plan"
    return config


def bare_config(bundle: Bundle, backend: str) -> Any:
    """ModelConfig of the bare model."""
    pb = model_config_pb2()
    spec = bundle.spec
    config = pb.ModelConfig(
        name=bundle.served_name,
        platform=PLATFORMS[backend],
        max_batch_size=0,
        input=[
            pb.ModelInput(name=t.name, data_type=_dtype(pb, t), dims=_dims(t)) for t in spec.inputs
        ],
        output=[
            pb.ModelOutput(name=t.name, data_type=_dtype(pb, t), dims=_dims(t))
            for t in spec.outputs
        ],
        # ONNX Runtime uses a card if there is one; TensorRT always needs a card.
        instance_group=[
            pb.ModelInstanceGroup(
                kind=pb.ModelInstanceGroup.KIND_GPU
                if backend == "tensorrt"
                else pb.ModelInstanceGroup.KIND_AUTO,
                count=1,
            )
        ],
    )
    if not spec.states:  # a warm-up bypasses the sequence batcher, which holds the states
        config.model_warmup.append(_warmup(pb, spec.inputs))
    config.parameters["spec"].string_value = spec.to_json()
    if spec.states:
        config.sequence_batching.CopyFrom(
            pb.ModelSequenceBatching(
                max_sequence_idle_microseconds=IDLE_TIMEOUT_US,
                oldest=pb.ModelSequenceBatching.StrategyOldest(max_candidate_sequences=PLACES),
                state=[
                    pb.ModelSequenceBatching.State(
                        input_name=f"{state.name}_in",
                        output_name=f"{state.name}_out",
                        data_type=_dtype(pb, state),
                        dims=_dims(state),
                        initial_state=[
                            pb.ModelSequenceBatching.InitialState(
                                name="zeros",
                                data_type=_dtype(pb, state),
                                dims=_typical(state),
                                zero_data=True,
                            )
                        ],
                    )
                    for state in spec.states
                ],
            )
        )
    return config


def engines_of(bundle: Bundle, store: EngineStore) -> Sequence[StoredEngine]:
    """Sound engines of `bundle` for full TensorRT, one per compute capability.

    They have the bundle's own precision. If several are stored for one card, the newest TensorRT
    wins, then the widest profile.

    Raises:
        EngineError: The store has no such engine. TensorRT-RTX engines do not count: Triton has no
            backend for them.
    """

    def rank(engine: StoredEngine) -> tuple[tuple[int, ...], list[int]]:
        assert engine.key is not None  # sound ones have their key
        return version_tuple(engine.key.version), engine.widest()

    sound = store.matching(
        model=bundle.spec.name,
        onnx_sha256=bundle.hash,
        flavour="tensorrt",
        precision=bundle.precision,
    )
    # The best of a capability comes last and stays.
    found = {e.key.capability: e for e in sorted(sound, key=rank) if e.key is not None}
    if not found:
        raise EngineError(
            f"an engine of {bundle.served_name} in {bundle.precision} for full TensorRT in "
            f"{store.root}",
            "none (Triton has no backend for TensorRT-RTX engines)",
            "`cineflow engine build --runtime tensorrt` on the card, or --backend onnxruntime",
        )
    return [found[capability] for capability in sorted(found)]


def _warmup(pb: Any, tensors: Sequence[TensorSpec]) -> Any:
    """Runs at the typical size when the server loads, so that the first frame is not slow."""
    warmup = pb.ModelWarmup(name="typical size", batch_size=0, count=3)
    for tensor in tensors:
        warmup.inputs[tensor.name].CopyFrom(
            pb.ModelWarmup.Input(
                data_type=_dtype(pb, tensor), dims=_typical(tensor), random_data=True
            )
        )
    return warmup


def _dtype(pb: Any, tensor: TensorSpec) -> int:
    return int(pb.DataType.Value(TRITON_DTYPES[tensor.dtype]))


def _dims(tensor: TensorSpec) -> list[int]:
    return [dim if isinstance(dim, int) else -1 for dim in tensor.shape]


def _typical(tensor: TensorSpec) -> list[int]:
    sizes = {axis.name: nearest_size(axis, WARMUP_SIZE) for axis in tensor.axes}
    return [size_of(dim, sizes) for dim in tensor.shape]
