"""ONNX Runtime with a CUDA graph for each shape, against a session with its rules for graphs."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.errors import DeviceLostError, EngineError
from cineflow.runtime import Bundle
from cineflow.runtime.engines.faults import fault_of
from cineflow.runtime.engines.graphs import CardRuns
from cineflow.runtime.engines.launches import MOST_SHAPES
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine
from tests.stand_ins.graph_session import card_runs


@pytest.fixture
def bundle(tiny: Path) -> Bundle:
    return Bundle.load(tiny)


def inputs(width: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    image = random.normal(size=(1, 1, 4, width)).astype(np.float32)
    flow = random.normal(size=(1, 2, 4, width)).astype(np.float32)
    return {"image": image, "flow": flow, "sum_in": 2 * image}


def same(bundle: Bundle, runs: CardRuns, width: int, seed: int) -> None:
    wanted = OnnxRuntimeEngine(bundle, use_op_library=False).run(inputs(width, seed))
    found = runs.run_all(inputs(width, seed))
    assert sorted(found) == sorted(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_shapes_that_repeat_have_a_graph_each(bundle: Bundle) -> None:
    runs, (session,) = card_runs(bundle)
    for seed in range(4):
        for width in (8, 16):
            same(bundle, runs, width, seed)
    assert session.log[:4] == ["single", "single", "capture 1", "capture 2"]
    assert session.log[4:] == ["replay 1", "replay 2"] * 2
    assert runs.graph_fault == ""


def test_the_number_of_graphs_is_limited(bundle: Bundle) -> None:
    runs, (session,) = card_runs(bundle)
    widths = [4 * k for k in range(1, MOST_SHAPES + 2)]
    for seed in range(3):
        for width in widths:
            same(bundle, runs, width, seed)
    captured = [line for line in session.log if line.startswith("capture")]
    assert captured == [f"capture {k}" for k in range(1, MOST_SHAPES + 1)]
    assert session.log.count("single") == MOST_SHAPES + 3


def test_results_stay_what_they_were(bundle: Bundle) -> None:
    runs, _ = card_runs(bundle)
    early = [runs.run_all(inputs(8, seed)) for seed in range(3)]
    copies = [{name: array.copy() for name, array in one.items()} for one in early]
    runs.run_all(inputs(8, 9))
    for one, other in zip(early, copies, strict=True):
        for name, array in other.items():
            np.testing.assert_array_equal(one[name], array)


def test_outputs_are_written_where_they_are_asked_for(bundle: Bundle) -> None:
    runs, _ = card_runs(bundle)
    wanted = runs.run_all(inputs(8))["moved"]
    for _ in range(2):
        place = np.zeros_like(wanted)
        found = runs.run_into(inputs(8), {"moved": place})
        assert found["moved"] is place
        np.testing.assert_array_equal(place, wanted)
    with pytest.raises(EngineError, match="moved"):
        runs.run_into(inputs(8), {"moved": np.zeros((1, 1, 4, 4), np.float32)})


def test_one_thread_uses_the_session(bundle: Bundle) -> None:
    """ONNX Runtime would capture again for each thread, and spoil what another one captures."""
    runs, (session,) = card_runs(bundle)
    threads = [threading.Thread(target=runs.run_all, args=(inputs(8, k),)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(session.threads) == 1
    assert threading.get_ident() not in session.threads
    assert session.log.count("capture 1") == 1


# --- where a graph cannot be had ------------------------------------------------------------------


def test_a_model_without_a_graph_runs_without(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    why = "This session cannot use the graph capture feature as requested by the user"
    with caplog.at_level(logging.WARNING):
        runs, opened = card_runs(bundle, RuntimeError(f"{why}\nand pages more"))
    assert runs.graph_fault == why
    assert [record.getMessage() for record in caplog.records] == [
        f"tiny runs without a CUDA graph: {why}"
    ]
    assert len(opened) == 1
    for seed in range(3):
        same(bundle, runs, 8, seed)


def test_a_capture_that_fails_costs_no_frame(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    runs, opened = card_runs(bundle)
    wanted, held = runs.run(inputs(8), {})
    opened[0].fault = RuntimeError("CUDA failure 900: operation not permitted when capturing")
    same(bundle, runs, 16, 1)
    same(bundle, runs, 16, 2)
    assert "failure 900" in runs.graph_fault
    assert len(caplog.records) == 1
    assert len(opened) == 2
    same(bundle, runs, 16, 3)
    frame = inputs(8)
    del frame["sum_in"]
    found, _ = runs.run(frame, {"sum_in": held["sum"]})  # a state from before is taken on
    np.testing.assert_array_equal(found["moved"], wanted["moved"])


def test_a_frame_that_does_not_fit_leaves_the_graphs(bundle: Bundle) -> None:
    runs, (session,) = card_runs(bundle)
    for _ in range(2):
        with pytest.raises(Exception, match="dimension"):
            runs.run_all({**inputs(8), "flow": inputs(12)["flow"]})
    for seed in range(3):
        same(bundle, runs, 8, seed)
    assert session.log[-2:] == ["capture 1", "replay 1"]


def test_a_lost_card_is_no_reason_to_open_another_session(bundle: Bundle) -> None:
    runs, opened = card_runs(bundle)
    runs.run_all(inputs(8))
    opened[0].fault = RuntimeError("CUDA failure 700: an illegal memory access was encountered")
    with pytest.raises(RuntimeError) as caught:
        runs.run_all(inputs(8))
    assert fault_of(caught.value) is DeviceLostError
    assert len(opened) == 1


def test_an_onnxruntime_that_copies_arrays_alone(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    original = onnxruntime.OrtValue.update_inplace

    def arrays_alone(value: Any, data: Any) -> None:
        if not isinstance(data, np.ndarray):
            raise TypeError("incompatible function arguments")
        original(value, data)

    monkeypatch.setattr(onnxruntime.OrtValue, "update_inplace", arrays_alone)
    runs, _ = card_runs(bundle)
    assert "does not copy within the card" in runs.graph_fault
    same(bundle, runs, 8, 0)


def test_no_memory_for_a_graph(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    runs, (session,) = card_runs(bundle)

    def full(*_: object) -> None:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 512")

    same(bundle, runs, 8, 0)
    with monkeypatch.context() as patched:
        patched.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", full)
        same(bundle, runs, 16, 0)
    for width in (8, 16):
        same(bundle, runs, width, 1)
    assert session.log == ["single", "single", "capture 1", "single"]
    assert runs.graph_fault == ""
