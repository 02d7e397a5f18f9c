"""The TensorRT engine against a stand-in for the card: order, streams, graphs, results, refusals.

The stand-in (tests/stand_ins/card.py) computes with ONNX Runtime what the engines would compute, so
the result depends on what is bound to what, and when.
"""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.errors import DeviceLostError, DeviceMemoryError, EngineError
from cineflow.export.engines import build_engines
from cineflow.runtime import Bundle, choose_engine, engine_report, open_engine
from cineflow.runtime.bundle import file_sha256
from cineflow.runtime.carried import KeepsState
from cineflow.runtime.engines.launches import CAPTURE_AFTER, MOST_SHAPES
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine, open_segments
from cineflow.runtime.engines.providers import MEMORY_VARIABLE, has_driver
from cineflow.runtime.engines.tensorrt import (
    MEMORY_CAP_BYTES,
    EngineLaunch,
    TensorRtEngine,
    find_plans,
)
from cineflow.runtime.segments import SegmentStep, read_steps
from cineflow.runtime.store import EngineKey, EngineStore
from tests.stand_ins.card import OutOfMemoryError, PlannedContext, PlannedEngine


def put(store: EngineStore, bundle: Bundle, plan: bytes | None = None, **changes: Any) -> None:
    """The whole graph as an engine of the stand-in."""
    key = EngineKey(bundle.spec.name, bundle.hash, "tensorrt-rtx", "1.7", "86", "fp32")
    store.get_or_build(replace(key, **changes), lambda: plan or bundle.onnx_path.read_bytes())


def put_segments(store: EngineStore, bundle: Bundle) -> None:
    for step in read_steps(bundle):
        if step.segment is not None:
            name = f"{bundle.spec.name}/{step.segment.stem}"
            digest = file_sha256(step.segment)
            key = EngineKey(name, digest, "tensorrt-rtx", "1.7", "86", "fp32")
            store.get_or_build(key, step.segment.read_bytes)


def inputs(width: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    image = random.normal(size=(1, 1, 4, width)).astype(np.float32)
    flow = random.normal(size=(1, 2, 4, width)).astype(np.float32)
    return {"image": image, "flow": flow, "sum_in": 2 * image}


def frames(side: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    pair = random.uniform(0, 255, (2, 1, 1, side, side)).astype(np.float32)
    return {"previous": pair[0], "current": pair[1]}


def test_repeated_shapes_become_one_graph(card: Any, store: EngineStore, tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    engine, reference = TensorRtEngine(bundle), OnnxRuntimeEngine(bundle, use_op_library=False)
    for seed in range(CAPTURE_AFTER + 3):
        values = inputs(8, seed)
        outputs, expected = engine.run(values), reference.run(values)
        for name, value in expected.items():
            np.testing.assert_array_equal(outputs[name], value)
    work = "engine moved+sum_out"
    assert card.log.count(work) == CAPTURE_AFTER
    assert card.log.count("capture") == card.log.count(f"captured {work}") == 1
    assert card.log.count("launch") == 3
    assert card.log.count("stream-sync") == CAPTURE_AFTER + 3
    card.log.clear()
    engine.run(inputs(16))
    assert "address image" in card.log
    assert card.log[-2:] == [work, "stream-sync"], "another shape runs without the old graph"


def test_it_yields_to_the_beamformer(card: Any, store: EngineStore, tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    TensorRtEngine(bundle)
    assert card.streams == [{"non_blocking": True, "priority": 0}]
    assert card.limit == MEMORY_CAP_BYTES == 1 << 30


def test_segments_run_as_engine_kernel_engine(
    card: Any, store: EngineStore, split_default: Bundle
) -> None:
    """Every launch in the order of the steps, and the result of the ONNX Runtime segments."""
    card.widest = 1024
    put_segments(store, split_default)
    engine = TensorRtEngine(split_default, segmented=True)
    reference = open_segments(split_default)
    steps = [step.op or f"engine {'+'.join(step.outputs)}" for step in read_steps(split_default)]
    for run, (side, seed) in enumerate([(64, 0), (64, 1), (64, 2), (64, 3), (80, 4), (64, 5)]):
        card.log.clear()
        values = frames(side, seed)
        flow = engine.run(values)["flow"]
        expected = reference.run(values)["flow"]
        assert np.abs(expected).max() > 0.1
        np.testing.assert_array_equal(flow, expected, err_msg=f"run {run}")
        queued = [what for what in card.log if what in steps]
        captured = [what.removeprefix("captured ") for what in card.log if "captured " in what]
        if run == CAPTURE_AFTER:
            assert (captured, queued) == (steps, [])
        elif run > CAPTURE_AFTER and side == 64:  # also after another size has come between
            assert (captured, queued) == ([], []), "one launch of the graph is all"
            assert card.log == ["launch", "stream-sync"]
        else:
            assert (captured, queued) == ([], steps)


def test_what_a_model_carries_stays_on_the_card(card: Any, store: EngineStore, tiny: Path) -> None:
    """Also once the frames run through a graph, and with two streams that take turns."""
    bundle = Bundle.load(tiny)
    put(store, bundle)
    engine, reference = TensorRtEngine(bundle), OnnxRuntimeEngine(bundle, use_op_library=False)
    assert isinstance(engine, KeepsState)
    states: list[Any] = [{"sum": inputs(8)["sum_in"]}, {"sum": inputs(8, 9)["sum_in"]}]
    expected = list(states)
    for seed in range(CAPTURE_AFTER + 4):
        values = {name: inputs(8, seed)[name] for name in ("image", "flow")}
        which = seed % 2
        outputs, states[which] = engine.run_keeping(values, states[which])
        wanted, expected[which] = reference.run_keeping(values, expected[which])
        np.testing.assert_array_equal(outputs["moved"], wanted["moved"])
    assert card.log.count("launch") == 4
    assert set(card.fetched) == {(1, 1, 4, 8), ()}
    assert len(card.fetched) == 2 * (CAPTURE_AFTER + 4), "an output and one number of each frame"
    for found, wanted in zip(states, expected, strict=True):
        np.testing.assert_array_equal(found["sum"], wanted["sum"])
    kept = states[0]
    engine.run_keeping(values, kept)
    np.testing.assert_array_equal(kept["sum"], expected[0]["sum"])
    with pytest.raises(EngineError, match="a finite sum_out"):
        engine.run_keeping(values, {"sum": np.full((1, 1, 4, 8), np.inf, np.float32)})


def test_each_shape_keeps_its_graph_up_to_a_number(
    card: Any, store: EngineStore, tiny: Path
) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    engine = TensorRtEngine(bundle)
    widths = [4 * (k + 1) for k in range(MOST_SHAPES)]
    for _ in range(CAPTURE_AFTER + 1):
        for width in widths:
            engine.run(inputs(width))
    assert card.log.count("capture") == MOST_SHAPES
    engine.run(inputs(32))  # the first width gives way
    card.log.clear()
    engine.run(inputs(widths[-1]))
    assert card.log == ["launch", "stream-sync"]
    engine.run(inputs(widths[0]))
    assert "engine moved+sum_out" in card.log


def test_threads_take_turns(card: Any, store: EngineStore, tiny: Path) -> None:
    """One set of buffers serves all of them: a second frame in it would be another patient's."""
    bundle = Bundle.load(tiny)
    put(store, bundle)
    engine, reference = TensorRtEngine(bundle), OnnxRuntimeEngine(bundle, use_op_library=False)
    wrong: list[int] = []

    def run(seed: int) -> None:
        values = inputs(32, seed)
        expected = reference.run(values)["moved"]
        for _ in range(40):
            if not np.array_equal(engine.run(values)["moved"], expected):
                wrong.append(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_all_steps_share_the_scratch_memory_of_the_largest(
    card: Any, store: EngineStore, split_default: Bundle
) -> None:
    """An engine has a thousand bytes for each input, a Lucas-Kanade step 25 planes of its cells."""
    card.widest = 1024
    put_segments(store, split_default)
    TensorRtEngine(split_default, segmented=True).run(frames(64, 0))
    scratch = {line for line in card.log if line.startswith("scratch")}
    most = max(len(step.inputs) for step in read_steps(split_default) if step.segment)
    (line,) = scratch
    assert line.startswith(f"scratch {max(1000 * most, 4 * 25 * 16 * 16)} at ")


def test_nothing_is_captured_before_tensorrt_is_ready(
    card: Any, store: EngineStore, tiny: Path
) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    engine = TensorRtEngine(bundle)
    card.capturable = False
    for _ in range(CAPTURE_AFTER + 2):
        engine.run(inputs(8))
    assert "capture" not in card.log
    card.capturable = True
    engine.run(inputs(8))
    assert "capture" in card.log


def test_failed_capture_leaves_the_stream_usable(card: Any, store: EngineStore, tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    engine = TensorRtEngine(bundle)
    for _ in range(CAPTURE_AFTER):
        engine.run(inputs(8))
    card.fails = True
    with pytest.raises(EngineError, match="to run"):
        engine.run(inputs(8))
    assert card.log[-2:] == ["captured", "stream-sync"], "the capture was ended"
    card.fails = False
    expected = OnnxRuntimeEngine(bundle, use_op_library=False).run(inputs(8))
    np.testing.assert_array_equal(engine.run(inputs(8))["moved"], expected["moved"])


def test_memory_cap_is_a_typed_error(card: Any, store: EngineStore, tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    engine = TensorRtEngine(bundle)
    card.limit = 200
    with pytest.raises(DeviceMemoryError, match="--profile"):
        engine.run(inputs(32))
    card.limit = MEMORY_CAP_BYTES
    assert engine.run(inputs(32))["moved"].shape == (1, 1, 4, 32)


def test_other_shapes_give_their_memory_back(
    card: Any, store: EngineStore, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    engine = TensorRtEngine(bundle)
    engine.run(inputs(8))
    empty, full = card.empty, [True]

    def until_freed(shape: tuple[int, ...], dtype: Any) -> Any:
        if full and "free blocks" not in card.log:
            raise OutOfMemoryError("no room for a buffer")
        return empty(shape, dtype)

    monkeypatch.setattr(sys.modules["cupy"], "empty", until_freed)
    assert engine.run(inputs(16))["moved"].shape == (1, 1, 4, 16)
    assert card.log.count("free blocks") == 1


def test_the_limit_of_gpu_memory(
    card: Any, store: EngineStore, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    card.weights = 3 << 20
    monkeypatch.setenv(MEMORY_VARIABLE, "8")
    TensorRtEngine(bundle)
    assert card.limit == 5 << 20, "the weights are not in CuPy's pool"
    monkeypatch.setenv(MEMORY_VARIABLE, "3")
    with pytest.raises(DeviceMemoryError, match=r"within 3.0 MiB .*weights of 3.0 MiB alone"):
        TensorRtEngine(bundle)


@pytest.mark.parametrize(("number", "kind"), [(719, DeviceLostError), (2, DeviceMemoryError)])
def test_a_card_that_fails_says_how(
    card: Any, store: EngineStore, tiny: Path, number: int, kind: type[EngineError]
) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    engine = TensorRtEngine(bundle)
    values = {name: inputs(8)[name] for name in ("image", "flow")}
    _, carried = engine.run_keeping(values, {"sum": inputs(8)["sum_in"]})
    card.lost = number
    for use in (lambda: engine.run(inputs(8)), lambda: carried["sum"]):
        with pytest.raises(EngineError, match=f"cudaError {number}") as caught:
            use()
        assert type(caught.value) is kind
    card.fails = True  # TensorRT only says that it failed
    with pytest.raises(kind, match=f"cudaError {number}"):
        engine.run(inputs(8))


def test_shape_outside_the_profile_is_a_typed_error(
    card: Any, store: EngineStore, tiny: Path
) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    engine = TensorRtEngine(bundle)
    with pytest.raises(EngineError, match="--profile"):
        engine.run(inputs(64))
    assert engine.run(inputs(8))["moved"].shape == (1, 1, 4, 8)


def test_shapes_that_tensorrt_computes_on_the_host_are_refused(
    card: Any, store: EngineStore, tiny: Path
) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle)
    card.on_host = {"flow"}
    with pytest.raises(EngineError, match="--size"):
        TensorRtEngine(bundle)


def test_stale_engine_is_not_taken(card: Any, store: EngineStore, tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle, version="1.6")
    with pytest.raises(EngineError, match="engine build"):
        TensorRtEngine(bundle)


def test_a_missing_segment_is_reported_before_the_first_frame(
    card: Any, store: EngineStore, split_default: Bundle
) -> None:
    put(store, split_default)
    with pytest.raises(EngineError, match="--split-ops"):
        TensorRtEngine(split_default, segmented=True)


def test_refused_plan_is_a_typed_error(card: Any, store: EngineStore, tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle, plan=b"refused")
    with pytest.raises(EngineError, match="--rebuild"):
        TensorRtEngine(bundle)


def test_another_precision_is_only_taken_where_it_is_asked_for(
    card: Any, store: EngineStore, tiny: Path
) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle, precision="fp16")
    with pytest.raises(EngineError, match=r"in fp32 .* only in fp16"):
        find_plans(bundle, "tensorrt-rtx", "1.7", "86")
    assert open_engine(bundle).name == "onnxruntime"
    assert open_engine(bundle, precision="fp16").name == "tensorrt-rtx"
    with pytest.raises(EngineError, match="this one in fp32") as caught:
        open_engine(bundle, runtime="onnxruntime", precision="fp16")
    assert "--precision fp16" in caught.value.remedy
    with pytest.raises(EngineError, match="in bf16"):
        open_engine(bundle, precision="bf16")


def test_the_widest_profile_goes_first(store: EngineStore, tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle, profile={"width": (4, 8, 16)})
    put(store, bundle, profile={"width": (4, 8, 64)})
    (best,) = find_plans(bundle, "tensorrt-rtx", "1.7", "86")
    assert best.key
    assert best.key.profile["width"] == (4, 8, 64)


def test_auto_falls_back_where_the_store_has_no_engine(
    card: Any, store: EngineStore, tiny: Path
) -> None:
    bundle = Bundle.load(tiny)
    assert choose_engine().name == "tensorrt-rtx", "for some other bundle"
    assert choose_engine(bundle).name == "onnxruntime"
    found = {status.name: status for status in engine_report(bundle)}
    assert "engine build" in found["tensorrt-rtx"].remedy
    assert open_engine(bundle).name == "onnxruntime"
    put(store, bundle)
    assert open_engine(bundle).name == choose_engine(bundle).name == "tensorrt-rtx"


def test_where_a_card_is_asked_for_the_cpu_is_never_taken(
    card: Any, store: EngineStore, tiny: Path
) -> None:
    bundle = Bundle.load(tiny)
    with pytest.raises(EngineError, match=r"tensorrt-rtx: not in .*onnxruntime-cuda: ") as caught:
        open_engine(bundle, on_card=True)
    assert "leave out --gpu" in caught.value.remedy
    put(store, bundle)
    assert open_engine(bundle, on_card=True).name == "tensorrt-rtx"
    card.on_host = {"flow"}
    with pytest.raises(EngineError, match="in GPU memory"):  # why the only one does not open
        open_engine(bundle, on_card=True)


@pytest.mark.skipif(has_driver(), reason="a machine with a card")
def test_the_real_tensorrt_refuses_without_a_card(
    monkeypatch: pytest.MonkeyPatch, store: EngineStore, tiny: Path
) -> None:
    """A real plan, and the names that are called exist in the real library."""
    trt = pytest.importorskip("tensorrt_rtx")
    build_engines(Bundle.load(tiny), "tensorrt-rtx", [86], store=store)
    ((stored),) = store.engines()
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    step = SegmentStep(("image", "flow", "sum_in"), ("moved", "sum_out"))
    with pytest.raises(EngineError, match=r"to load .*got a refusal"):
        EngineLaunch(trt, None, runtime, stored, step)
    pairs = (trt.ICudaEngine, PlannedEngine), (trt.IExecutionContext, PlannedContext)
    for real, stands_for in pairs:
        called = {name for name in vars(stands_for) if not name.startswith("_")}
        assert called <= set(dir(real))
    wanted = {"set_execution_context_allocation_strategy",
              "dynamic_shapes_kernel_specialization_strategy"}  # fmt: skip
    assert wanted <= set(dir(trt.IRuntimeConfig))
    for name in ("EngineStat.TOTAL_WEIGHTS_SIZE", "TensorLocation.DEVICE",
                 "ExecutionContextAllocationStrategy.USER_MANAGED", "nptype",
                 "DynamicShapesKernelSpecializationStrategy.EAGER",
                 "BuilderFlag.REQUIRE_USER_ALLOCATION"):  # fmt: skip
        attrgetter(name)(trt)


def test_auto_says_why_it_fell_back(
    card: Any, store: EngineStore, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = Bundle.load(tiny)
    put(store, bundle, plan=b"refused")
    with caplog.at_level(logging.WARNING, logger="cineflow"):
        assert open_engine(bundle).name == "onnxruntime"
    assert "got a refusal" in caplog.text


def test_segments_are_a_runtime_of_their_own(
    card: Any, store: EngineStore, split_default: Bundle
) -> None:
    put_segments(store, split_default)
    engine = open_engine(split_default, runtime="tensorrt-rtx-segments")
    assert (engine.name, engine.kernels) == ("tensorrt-rtx-segments", "cineflow CUDA kernels")
    assert choose_engine(split_default).name == "tensorrt-rtx-segments", "only segments are stored"
