"""The TensorRT engine's calls, against a stand-in: order, streams, graphs, refusals.

No card runs here. What is checked is what the engine asks of CuPy and TensorRT, not its results.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cineflow.errors import EngineError
from cineflow.runtime import Bundle, engine_report, open_engine
from cineflow.runtime.engines.tensorrt import CAPTURE_AFTER, TensorRtEngine
from cineflow.runtime.store import STORE_VARIABLE, EngineKey, EngineStore


class Stream:
    def __init__(self, log: list[str], **settings: object) -> None:
        self.log, self.settings, self.ptr = log, settings, 7

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin_capture(self) -> None:
        self.log.append("capture")

    def end_capture(self) -> SimpleNamespace:
        return SimpleNamespace(launch=lambda stream: self.log.append("launch"))

    def synchronize(self) -> None:
        self.log.append("stream-sync")


class Buffer:
    def __init__(self, shape: tuple[int, ...], dtype: object) -> None:
        self.value, self.data = np.zeros(shape, dtype), SimpleNamespace(ptr=id(self))

    def set(self, value: np.ndarray, stream: Stream) -> None:
        self.value[:] = value


class Context:
    def __init__(self, log: list[str]) -> None:
        self.log, self.shapes = log, {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return shape[-1] <= 32

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes["image"]

    def set_tensor_address(self, name: str, address: int) -> None:
        self.log.append(f"address {name}")

    def execute_async_v3(self, stream: int) -> bool:
        self.log.append("execute")
        return True


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    log: list[str] = []
    streams: list[Stream] = []
    limits: list[int] = []

    def stream(**settings: object) -> Stream:
        streams.append(Stream(log, **settings))
        return streams[-1]

    engine = SimpleNamespace(create_execution_context=lambda: Context(log))
    trt = SimpleNamespace(
        __version__="1.7",
        Logger=type("Logger", (), {"ERROR": 0, "__init__": lambda self, level: None}),
        Runtime=lambda logger: SimpleNamespace(
            deserialize_cuda_engine=lambda plan: engine if plan == b"plan" else None
        ),
    )
    cupy = SimpleNamespace(
        cuda=SimpleNamespace(
            Device=lambda index: SimpleNamespace(compute_capability="86"), Stream=stream
        ),
        get_default_memory_pool=lambda: SimpleNamespace(set_limit=lambda size: limits.append(size)),
        empty=Buffer,
        asnumpy=lambda buffer, stream, blocking: buffer.value,
    )
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", trt)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return SimpleNamespace(log=log, streams=streams, limits=limits)


@pytest.fixture
def store(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineStore:
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "engines"))
    return EngineStore()


def put(store: EngineStore, bundle: Bundle, plan: bytes = b"plan", version: str = "1.7") -> None:
    key = EngineKey("tiny", bundle.hash, "tensorrt-rtx", version, "86", "fp32")
    store.get_or_build(key, lambda: plan)


def inputs(width: int) -> dict[str, np.ndarray]:
    image = np.ones((1, 1, 4, width), np.float32)
    flow = np.zeros((1, 2, 4, width), np.float32)
    return {"image": image, "flow": flow, "sum_in": image}


def test_repeated_shapes_become_one_graph(
    gpu: SimpleNamespace, store: EngineStore, tiny: Path
) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    engine = TensorRtEngine(bundle)
    for _ in range(CAPTURE_AFTER + 3):
        engine.run(inputs(8))
    assert gpu.log.count("execute") == CAPTURE_AFTER + 1
    assert gpu.log.count("capture") == 1
    assert gpu.log.count("launch") == 3
    assert gpu.log.count("stream-sync") == CAPTURE_AFTER + 3
    addresses = gpu.log.count("address image")
    engine.run(inputs(16))
    assert gpu.log.count("address image") == addresses + 1
    assert gpu.log[-2:] == ["execute", "stream-sync"], "another shape runs without the old graph"


def test_it_yields_to_the_beamformer(gpu: SimpleNamespace, store: EngineStore, tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    TensorRtEngine(bundle)
    (stream,) = gpu.streams
    assert stream.settings == {"non_blocking": True, "priority": 0}
    assert gpu.limits == [1 << 30]


def test_shape_outside_the_profile_is_a_typed_error(
    gpu: SimpleNamespace, store: EngineStore, tiny: Path
) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    with pytest.raises(EngineError, match="--profile"):
        TensorRtEngine(bundle).run(inputs(64))


def test_stale_engine_is_not_taken(gpu: SimpleNamespace, store: EngineStore, tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle, version="1.6")
    with pytest.raises(EngineError, match="engine build"):
        TensorRtEngine(bundle)


def test_refused_plan_is_a_typed_error(
    gpu: SimpleNamespace, store: EngineStore, tiny: Path
) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle, plan=b"other")
    with pytest.raises(EngineError, match="--rebuild"):
        TensorRtEngine(bundle)


def test_auto_falls_back_where_the_store_has_no_engine(
    gpu: SimpleNamespace, store: EngineStore, tiny: Path
) -> None:
    bundle = Bundle.load(tiny)
    chosen = {status.name for status in engine_report() if status.chosen}
    assert chosen == {"tensorrt-rtx"}
    assert open_engine(bundle).name.startswith("onnxruntime")
    put(store, bundle)
    assert open_engine(bundle).name == "tensorrt-rtx"
