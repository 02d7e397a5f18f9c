"""Engines that leave the flow on a card: TensorRT and ONNX Runtime.

The card is a stand-in whose memory NumPy cannot read; the engines compute on the CPU.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from cineflow import _C
from cineflow.errors import EngineError
from cineflow.ops.held import stays
from cineflow.runtime import Bundle
from cineflow.runtime.carried import Carried
from cineflow.runtime.engines.bound import BoundRuns
from cineflow.runtime.engines.cupy_card import CupyCard
from cineflow.runtime.engines.graphs import CARD_TURN
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine, card_of
from cineflow.runtime.engines.providers import CPU_PROVIDER, CUDA_PROVIDER
from cineflow.runtime.engines.tensorrt import TensorRtEngine
from cineflow.runtime.store import EngineKey, EngineStore
from cineflow.runtime.stream import Stream
from tests.runtime.on_card import FINITE, same
from tests.stand_ins.graph_session import card_runs
from tests.stand_ins.unreadable import Card


@pytest.fixture
def card(unreadable: Card) -> Card:
    """In place of the card whose memory NumPy reads."""
    return unreadable


def moving() -> list[np.ndarray]:
    """A texture that moves by one pixel a frame."""
    rng = np.random.default_rng(3)
    texture = np.kron(rng.integers(20, 240, (20, 20)), np.ones((4, 4))).astype(np.uint8)
    return [np.roll(texture, k, 1)[:64, :64].copy() for k in range(6)]


# --- TensorRT -------------------------------------------------------------------------------------


def test_the_default_tracker_in_tensorrt(card: Card, store: EngineStore) -> None:
    """Also once its launches are one graph."""
    bundle = Bundle.load("lucas_kanade")
    key = EngineKey(bundle.spec.name, bundle.hash, "tensorrt-rtx", "1.7", "86", "fp32")
    store.get_or_build(key, bundle.onnx_path.read_bytes)
    engine = TensorRtEngine(bundle)
    here = Stream(engine, bundle.spec)
    there = Stream(OnnxRuntimeEngine(bundle, use_op_library=False), bundle.spec)
    for k, image in enumerate(moving()):
        card.fetched_bytes.clear()
        found, wanted = here.push(image), there.push(image)
        if k > 0:
            assert card.fetched_bytes == [FINITE, 14 * 16 * 4]
        same(found, wanted)
    assert card.log.count("launch") == 3
    state = here.state()
    assert isinstance(state.tensors, Carried)
    assert dict(state.tensors) == {}


def test_without_cuda_kernels_everything_comes_to_host_memory(
    card: Card, store: EngineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.load("lucas_kanade")
    key = EngineKey(bundle.spec.name, bundle.hash, "tensorrt-rtx", "1.7", "86", "fp32")
    store.get_or_build(key, bundle.onnx_path.read_bytes)
    monkeypatch.setattr(_C, "cuda_architectures", lambda: "")
    stream = Stream(TensorRtEngine(bundle), bundle.spec)
    assert stream._card is None


@pytest.mark.parametrize("runtime", ["tensorrt", "onnxruntime"])
def test_outputs_and_what_a_model_carries_stay_together(
    card: Card, store: EngineStore, tiny: Path, runtime: str
) -> None:
    """A later run writes to neither of them."""
    bundle = Bundle.load(tiny)
    key = EngineKey(bundle.spec.name, bundle.hash, "tensorrt-rtx", "1.7", "86", "fp32")
    store.get_or_build(key, bundle.onnx_path.read_bytes)
    engine = (
        TensorRtEngine(bundle)
        if runtime == "tensorrt"
        else onnxruntime_on_card(bundle, graphs=True)
    )
    reference = OnnxRuntimeEngine(bundle, use_op_library=False)
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 1, 4, 8)).astype(np.float32)
    flow = rng.normal(size=(1, 2, 4, 8)).astype(np.float32)
    state: Any = {"sum": image}
    expected: Any = state
    found = []
    for k in range(5):
        values = {"image": k * image, "flow": flow}
        card.fetched_bytes.clear()
        outputs, state = engine.run_leaving(values, state, ("moved",))
        assert set(card.fetched_bytes) <= {FINITE}, "neither the output nor the state"
        wanted, expected = reference.run_keeping(values, expected)
        assert stays(outputs["moved"])
        found.append((outputs["moved"], wanted["moved"], state, expected))
    for moved, wanted_moved, sums, wanted_sums in found:
        np.testing.assert_array_equal(moved, wanted_moved)
        np.testing.assert_array_equal(sums["sum"], wanted_sums["sum"])


# --- ONNX Runtime ---------------------------------------------------------------------------------


def onnxruntime_on_card(bundle: Bundle, graphs: bool) -> OnnxRuntimeEngine:
    """The engine as it is on a card; its sessions are on the CPU's device."""
    engine = OnnxRuntimeEngine(bundle, use_op_library=False)
    if graphs:
        engine._bound, _ = card_runs(bundle)
    engine.card = CupyCard(sys.modules["cupy"], 64 << 20, CARD_TURN)
    return engine


@pytest.mark.parametrize("graphs", [False, True], ids=["kernels", "graphs"])
def test_the_default_tracker_in_onnxruntime(card: Card, graphs: bool) -> None:
    bundle = Bundle.load("lucas_kanade")
    engine = onnxruntime_on_card(bundle, graphs)
    here, there = Stream(engine, bundle.spec), Stream(without_card(engine), bundle.spec)
    clip = moving()
    results = []
    for k, image in enumerate(clip):
        card.fetched_bytes.clear()
        card.sent.clear()
        results.append((here.push(image), there.push(image)))
        if k > 1:
            assert card.fetched_bytes == [FINITE, 14 * 16 * 4]
            assert card.sent == [image.nbytes]
    for found, wanted in results:  # a later run has not written to them
        same(found, wanted)


def without_card(engine: OnnxRuntimeEngine) -> Any:
    """The same engine, whose outputs come to host memory."""
    return SimpleNamespace(
        name=engine.name, model=engine.model, kernels=engine.kernels, run=engine.run
    )


@pytest.mark.parametrize("graphs", [False, True], ids=["kernels", "graphs"])
def test_a_flow_of_onnxruntime_that_is_not_finite_is_refused(
    card: Card, graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.load("lucas_kanade")
    stream = Stream(onnxruntime_on_card(bundle, graphs), bundle.spec)
    first, second, *_ = moving()
    stream.push(first)
    infinite = np.full((1, 2, 64, 64), np.inf, np.float32)
    cupy: Any = sys.modules["cupy"]
    monkeypatch.setattr(cupy.cuda.runtime, "memcpyAsync", lambda to, *_: ctypes.memmove(
        to, infinite.ctypes.data, infinite.nbytes
    ))  # fmt: skip
    with pytest.raises(EngineError, match="a finite flow"):
        stream.push(second)


def test_an_output_that_stays_is_bound_to_the_card() -> None:
    """On the CPU both places are the same, so a session that notes them takes its part."""
    places: dict[str, str] = {}
    value: Any = SimpleNamespace(numpy=lambda: "fetched")
    binding = SimpleNamespace(
        bind_output=lambda name, device: places.update({name: device}),
        get_outputs=lambda: [value],
    )
    session = SimpleNamespace(io_binding=lambda: binding, run_with_iobinding=lambda _: None)
    bundle = Bundle.load("lucas_kanade")
    runs = BoundRuns(onnxruntime, session, bundle.spec, CPU_PROVIDER)
    runs._device = "cuda"
    assert runs.run({}, {}) == ({"flow": "fetched"}, {})
    assert places == {"flow": "cpu"}
    assert runs.run({}, {}, {"flow": lambda one: one}) == ({"flow": value}, {})
    assert places == {"flow": "cuda"}


def test_a_capture_and_our_kernels_take_turns(card: Card) -> None:
    """Another thread's use of the card would break a capture off."""
    bundle = Bundle.load("lucas_kanade")
    engine = onnxruntime_on_card(bundle, graphs=True)
    images = {name: np.zeros((1, 1, 64, 64), np.float32) for name in ("previous", "current")}
    done = threading.Event()

    def run() -> None:
        engine.run(images)
        done.set()

    thread = threading.Thread(target=run)
    with engine.card.current():
        thread.start()
        assert not done.wait(0.1)
    assert done.wait(30)
    thread.join()


@pytest.mark.parametrize(
    ("architectures", "provider", "there"),
    [
        ("80", CUDA_PROVIDER, True),
        ("", CUDA_PROVIDER, False),
        ("80", CPU_PROVIDER, False),
    ],
)
def test_the_card_of_a_session(
    card: Card, monkeypatch: pytest.MonkeyPatch, architectures: str, provider: str, there: bool
) -> None:
    module = "cineflow.runtime.engines.onnxruntime"
    monkeypatch.setattr(f"{module}.cuda_architectures", lambda: architectures)
    assert (card_of(provider) is not None) == there


def test_a_cupy_that_does_not_work_is_named(
    card: Card, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cupy: Any = sys.modules["cupy"]

    def broken(**_: object) -> None:
        raise RuntimeError("no libnvrtc")

    monkeypatch.setattr(cupy.cuda, "Stream", broken)
    assert card_of(CUDA_PROVIDER) is None
    assert "because of CuPy: no libnvrtc" in caplog.text
