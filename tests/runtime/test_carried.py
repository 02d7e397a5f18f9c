"""What a model carries stays where its engine computes, and comes out only where it is read."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from cineflow.errors import (
    ArgumentError,
    DeviceLostError,
    DeviceMemoryError,
    EngineError,
    FrameError,
)
from cineflow.runtime import Bundle
from cineflow.runtime.bundle import MANIFEST_FILE, MANIFEST_FORMAT, MODEL_FILE, file_sha256
from cineflow.runtime.carried import Carried, KeepsState
from cineflow.runtime.engines.bound import device_checks
from cineflow.runtime.engines.faults import fault_of
from cineflow.runtime.engines.finite import sum_of_differences
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cineflow.runtime.engines.providers import CPU_PROVIDER
from cineflow.runtime.state_bytes import state_from_bytes, state_to_bytes
from cineflow.runtime.stream import Stream
from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec
from tests.stand_ins.graph_session import card_runs

H, W = Axis("height", 16, 512, 16), Axis("width", 16, 512, 16)
FRAME = (1, 1, H, W)

SPEC = ModelSpec(
    name="carrying",
    summary="Averages that fade, in two precisions, and a count.",
    inputs=(TensorSpec("image", "float32", FRAME, "grey level"),),
    outputs=(TensorSpec("smooth", "float32", FRAME, "grey level", tolerance=0.0),),
    states=(
        TensorSpec("average", "float32", FRAME, "grey level"),
        TensorSpec("coarse", "float16", FRAME, "grey level"),
        TensorSpec("count", "int64", (1,), "1"),
    ),
    feed=Feed("frame", ("image",)),
)

#: A pixel above 250 spoils the average.
GRAPH = """
<ir_version: 10, opset_import: ["" : 20]>
main (float[1,1,height,width] image, float[1,1,height,width] average_in,
      float16[1,1,height,width] coarse_in, int64[1] count_in)
  => (float[1,1,height,width] smooth, float[1,1,height,width] average_out,
      float16[1,1,height,width] coarse_out, int64[1] count_out)
{
  half = Constant <value_float: float = 0.5> ()
  one = Constant <value_ints: ints = [1]> ()
  loud = Constant <value_float: float = 250.0> ()
  zero = Sub (half, half)
  nothing = Div (zero, zero)
  faded = Mul (average_in, half)
  kept = Add (faded, image)
  over = Greater (image, loud)
  average_out = Where (over, nothing, kept)
  lower = Cast <to: int = 10> (kept)
  coarse_out = Add (coarse_in, lower)
  count_out = Add (count_in, one)
  wide = Cast <to: int = 1> (coarse_out)
  smooth = Add (kept, wide)
}
"""


def frames(count: int, side: int = 32, seed: int = 0) -> list[np.ndarray]:
    grey = np.random.default_rng(seed).integers(0, 200, (count, side, side))
    return list(grey.astype(np.uint8))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("carrying")
    model = onnx.parser.parse_model(GRAPH)
    onnx.save(model, folder / MODEL_FILE)
    manifest = {
        "format": MANIFEST_FORMAT,
        "spec": json.loads(SPEC.to_json()),
        "files": {MODEL_FILE: {"sha256": file_sha256(folder / MODEL_FILE)}},
    }
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    return Bundle.load(folder)


class HostOnly:
    """The same engine without `run_keeping`: every state goes through host memory, as before."""

    def __init__(self, engine: OnnxRuntimeEngine) -> None:
        self.name, self.model, self.kernels = engine.name, engine.model, engine.kernels
        self.run = engine.run


@pytest.fixture(scope="module", params=["host", "card", "graphs"])
def engine(request: pytest.FixtureRequest, bundle: Bundle) -> OnnxRuntimeEngine:
    """On a card the values of a state are looked at there, and shapes that repeat have graphs.

    Both run here on the CPU's device.
    """
    made = OnnxRuntimeEngine(bundle)
    if request.param == "graphs":
        made._bound = card_runs(bundle)[0]
    if request.param == "card":
        dtypes = {"average": np.dtype(np.float32), "coarse": np.dtype(np.float16)}
        made._bound._checks = device_checks(onnxruntime, dtypes, CPU_PROVIDER)
    return made


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the states that an engine copies to host memory."""
    sizes: list[int] = []
    original = OnnxRuntimeEngine._fetched

    def fetch(engine: OnnxRuntimeEngine, value: Any) -> np.ndarray:
        array = original(engine, value)
        sizes.append(array.size)
        return array

    monkeypatch.setattr(OnnxRuntimeEngine, "_fetched", fetch)
    return sizes


def carried(stream: Stream) -> Mapping[str, np.ndarray]:
    state = stream.state()
    assert state is not None
    return state.tensors


def same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    assert sorted(one) == sorted(other) == ["average", "coarse", "count"]
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_every_frame_is_what_it_was_through_host_memory(
    engine: OnnxRuntimeEngine, bundle: Bundle
) -> None:
    assert isinstance(engine, KeepsState)
    assert not isinstance(HostOnly(engine), KeepsState)
    here, there = Stream(engine, bundle.spec), Stream(HostOnly(engine), bundle.spec)
    bad = frames(1)[0].copy()
    bad[0, 0] = 255
    for k, frame in enumerate(frames(12)):
        if k == 5:  # refused by both, and nothing has changed
            for stream in (here, there):
                with pytest.raises(EngineError, match="a finite average_out"):
                    stream.push(bad)
                with pytest.raises(FrameError, match="as the frames before"):
                    stream.push(frame[:16])
        if k == 8:  # the stream goes on elsewhere
            one, other = (
                state_from_bytes(state_to_bytes(stream.state())) for stream in (here, there)
            )
            here = Stream(engine, bundle.spec, one)
            there = Stream(HostOnly(engine), bundle.spec, other)
        index = 40 if k == 11 else None  # a gap: both begin again
        found, wanted = here.push(frame, index), there.push(frame, index)
        assert found.re_referenced == wanted.re_referenced == (k == 11)
        np.testing.assert_array_equal(
            found.outputs["smooth"].values, wanted.outputs["smooth"].values
        )
    same(carried(here), carried(there))
    assert carried(here)["count"].tolist() == [1]


def test_a_state_is_read_only_where_it_is_asked_for(
    engine: OnnxRuntimeEngine, bundle: Bundle, fetched: list[int]
) -> None:
    stream = Stream(engine, bundle.spec)
    for frame in frames(8):
        stream.push(frame)
    state = stream.state()
    assert state is not None
    assert sorted(state.tensors) == ["average", "coarse", "count"]
    assert fetched == [], "neither the frames nor the names need the values"
    data = state_to_bytes(state)
    assert sorted(fetched) == [1, 32 * 32, 32 * 32]
    assert state_to_bytes(state) == data
    assert len(fetched) == 3, "each is fetched once"


def test_a_state_that_was_taken_stays_what_it_was(
    engine: OnnxRuntimeEngine, bundle: Bundle
) -> None:
    stream = Stream(engine, bundle.spec)
    first, *others = frames(6)
    stream.push(first)
    taken = stream.state()
    for frame in others:
        stream.push(frame)
    again = Stream(engine, bundle.spec, taken)  # only now it is read
    for frame in others:
        again.push(frame)
    same(carried(again), carried(stream))
    same(copy.deepcopy(carried(stream)), carried(stream))


def test_another_engine_reads_the_state(engine: OnnxRuntimeEngine, bundle: Bundle) -> None:
    stream = Stream(engine, bundle.spec)
    for frame in frames(3):
        stream.push(frame)
    tensors = carried(stream)
    assert isinstance(tensors, Carried)
    other = OnnxRuntimeEngine(bundle, threads=1)
    assert tensors.held_by(engine) is not None
    assert tensors.held_by(other) is None
    image = frames(1, seed=4)[0].astype(np.float32)[None, None]
    one, another = (made.run_keeping({"image": image}, tensors)[1] for made in (engine, other))
    same(one, another)
    with pytest.raises(ArgumentError, match=r"float32 .*got float64"):
        engine.run_keeping({"image": image.astype(float)}, tensors)
    with pytest.raises(EngineError, match="carrying to run in onnxruntime"):
        engine.run_keeping({"image": image[..., :16]}, tensors)


def test_streams_side_by_side_do_not_mix(engine: OnnxRuntimeEngine, bundle: Bundle) -> None:
    streams = [Stream(engine, bundle.spec) for _ in range(3)]
    clips = [frames(20, seed=seed) for seed in range(3)]

    def run(stream: Stream, clip: list[np.ndarray]) -> None:
        for frame in clip:
            stream.push(frame)

    threads = [threading.Thread(target=run, args=pair) for pair in zip(streams, clips, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for stream, clip in zip(streams, clips, strict=True):
        alone = Stream(HostOnly(engine), bundle.spec)
        run(alone, clip)
        same(carried(stream), carried(alone))


# --- the check of values --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_check_is_the_model_that_its_comment_says(dtype: str) -> None:
    model = onnx.load_from_string(sum_of_differences(np.dtype(dtype)))
    for end in (*model.graph.input, *model.graph.output):  # the checker asks for some shape
        end.type.tensor_type.shape.SetInParent()
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Sub", "Cast", "ReduceSum"]
    session = onnxruntime.InferenceSession(sum_of_differences(np.dtype(dtype)))
    for shape in ((), (0,), (5,), (2, 3, 4)):
        values = np.full(shape, np.finfo(dtype).max, dtype)
        (found,) = session.run(None, {"x": values})
        assert found.shape == ()
        assert found == 0, shape
        for wrong in (np.nan, np.inf, -np.inf):
            if values.size:
                spoiled = values.copy()
                spoiled.flat[-1] = wrong
                assert np.isnan(session.run(None, {"x": spoiled})[0])


# --- what a failure means -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", DeviceLostError),
        ("CUDA failure 719: unspecified launch failure ; GPU=0", DeviceLostError),
        ("CUDA failure 2: out of memory ; GPU=0 ; hostname=cart", DeviceMemoryError),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", DeviceMemoryError),
        ("CUDA failure 1: invalid argument ; GPU=0", EngineError),
        ("Got invalid dimensions for input", EngineError),
    ],
)
def test_the_words_of_onnx_runtime(text: str, kind: type[EngineError]) -> None:
    assert fault_of(RuntimeError(text)) is kind


def test_a_memory_that_is_full(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime's own words, from an arena in host memory that has a limit."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    limit = onnxruntime.OrtArenaCfg({"max_mem": 1 << 20, "arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(memory, limit)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    monkeypatch.setattr(
        "cineflow.runtime.engines.onnxruntime.session_options", lambda ort, threads: options
    )
    stream = Stream(OnnxRuntimeEngine(bundle), bundle.spec)
    with pytest.raises(DeviceMemoryError, match="Available memory of"):
        stream.push(frames(1, 512)[0])
    assert stream.push(frames(1, 64)[0]).current == 0  # smaller frames still run
