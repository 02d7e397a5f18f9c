"""Engines: correct results, the right choice, typed errors, and no import of torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cineflow.errors import ArgumentError, EngineError
from cineflow.runtime import Bundle, choose_engine, engine_report, open_engine
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine, default_threads


def tiny_inputs(width: int = 8) -> dict[str, np.ndarray]:
    image = np.arange(4 * width, dtype=np.float32).reshape(1, 1, 4, width)
    flow = np.zeros((1, 2, 4, width), np.float32)
    flow[:, 0] = 1.0
    return {"image": image, "flow": flow, "sum_in": np.ones_like(image)}


@pytest.mark.parametrize("use_op_library", [False, True])
def test_runs_the_graph(tiny: Path, use_op_library: bool) -> None:
    engine = OnnxRuntimeEngine(Bundle.load(tiny), use_op_library=use_op_library)
    inputs = tiny_inputs()
    outputs = engine.run(inputs)
    moved = np.zeros_like(inputs["image"])
    moved[..., :-1] = 2 * inputs["image"][..., 1:]
    assert list(outputs) == ["moved", "sum_out"]
    np.testing.assert_allclose(outputs["moved"], moved, atol=1e-4)
    np.testing.assert_allclose(outputs["sum_out"], moved + 1, atol=1e-4)


def test_outputs_are_written_where_they_shall_be(tiny: Path) -> None:
    engine = OnnxRuntimeEngine(Bundle.load(tiny))
    inputs, memory = tiny_inputs(), np.full((3, 1, 1, 4, 8), 7, np.float32)
    outputs = engine.run_into(inputs, {"moved": memory[1]})
    assert np.shares_memory(outputs["moved"], memory)
    for name, wanted in engine.run(inputs).items():
        np.testing.assert_array_equal(outputs[name], wanted)
    assert (memory[::2] == 7).all()
    with pytest.raises(EngineError, match="to run in onnxruntime"):
        engine.run_into(inputs, {"moved": np.zeros((1, 1, 4, 12), np.float32)})


def test_another_size_runs_in_the_same_engine(tiny: Path) -> None:
    engine = open_engine(Bundle.load(tiny))
    for width in (4, 64, 8):
        assert engine.run(tiny_inputs(width))["moved"].shape == (1, 1, 4, width)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flow": np.zeros((1, 2, 4, 12), np.float32)}, "width = 8, not 12"),
        ({"image": np.zeros((1, 1, 4, 8), np.float64)}, "float32"),
        ({"image": np.zeros((1, 1, 4, 6), np.float32)}, "by 4"),
        ({"extra": np.zeros(1, np.float32)}, "extra"),
    ],
)
def test_wrong_inputs_are_refused(tiny: Path, change: dict[str, np.ndarray], message: str) -> None:
    engine = open_engine(Bundle.load(tiny))
    with pytest.raises(ArgumentError, match=message):
        engine.run(tiny_inputs() | change)


def test_missing_input_is_refused(tiny: Path) -> None:
    inputs = tiny_inputs()
    del inputs["sum_in"]
    with pytest.raises(ArgumentError, match="sum_in"):
        open_engine(Bundle.load(tiny)).run(inputs)


def test_graph_that_does_not_load_is_an_engine_error(tiny: Path) -> None:
    bundle = Bundle.load(tiny)
    bundle.onnx_path.write_bytes(b"no graph")
    with pytest.raises(EngineError, match="tiny"):
        open_engine(bundle)


def test_unknown_runtime_is_refused(tiny: Path) -> None:
    with pytest.raises(EngineError, match="onnxruntime"):
        open_engine(Bundle.load(tiny), runtime="magic")


def test_report_marks_exactly_one_choice() -> None:
    report = engine_report()
    chosen = [status for status in report if status.chosen]
    assert chosen == [choose_engine()]
    assert chosen[0] == next(status for status in report if status.available)
    assert all(status.remedy for status in report if not status.available)


def test_runtime_needs_no_torch(tiny: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = None  # an import of torch raises from here on
from cineflow.runtime import Bundle, open_engine
open_engine(Bundle.load({str(tiny)!r}))
assert "onnx" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 2), (64, 2)])
def test_one_core_is_left_to_the_caller(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
    assert default_threads() == threads
