"""Runs that a card captures as CUDA graphs, on the CPU: the same calls, and nothing is captured."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from cineflow.runtime import Bundle
from cineflow.runtime.engines import graphs
from cineflow.runtime.engines.graphs import (
    GRAPH_ID,
    GRAPHS_VARIABLE,
    NO_GRAPH,
    GraphRuns,
    open_for_graphs,
)
from cineflow.runtime.engines.launches import MOST_SHAPES
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cineflow.runtime.engines.providers import CPU_PROVIDER


class Recording:
    """A session that notes which graph each run is, and which graphs are given up."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.runs: list[int] = []
        self.addresses: list[list[int]] = []
        self.released: list[int] = []
        self.fails: Exception | None = None

    def io_binding(self) -> Any:
        return self._session.io_binding()

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self.runs.append(int(options.get_run_config_entry(GRAPH_ID)))
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error
        self._session.run_with_iobinding(binding, options)
        self.addresses.append([value.data_ptr() for value in binding.get_outputs()])

    def release_captured_graph(self, number: int) -> None:
        self.released.append(number)


@pytest.fixture
def bundle(tiny: Path) -> Bundle:
    return Bundle.load(tiny)


@pytest.fixture
def session(bundle: Bundle) -> Recording:
    return Recording(OnnxRuntimeEngine(bundle)._session)


@pytest.fixture
def runs(bundle: Bundle, session: Recording) -> GraphRuns:
    return GraphRuns(onnxruntime, session, bundle.spec, CPU_PROVIDER)


def inputs(width: int, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    image = random.normal(size=(1, 1, 4, width)).astype(np.float32)
    flow = random.normal(size=(1, 2, 4, width)).astype(np.float32)
    return {"image": image, "flow": flow, "sum_in": 2 * image}


def test_each_set_of_shapes_is_a_graph(runs: GraphRuns, session: Recording, bundle: Bundle) -> None:
    """The run before the capture takes the memory; all others use the same."""
    plain = OnnxRuntimeEngine(bundle)
    for seed, width in enumerate((8, 8, 16, 8, 16)):
        values = inputs(width, seed)
        found, expected = runs.run_into(values, {}), plain.run(values)
        assert list(found) == list(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
    assert session.runs == [NO_GRAPH, 1, NO_GRAPH, 1, 2]
    assert session.addresses[0] == session.addresses[1] == session.addresses[3]
    assert session.addresses[2] == session.addresses[4] != session.addresses[0]


def test_outputs_are_written_where_they_are_wanted(runs: GraphRuns) -> None:
    values = inputs(8)
    place = np.full((1, 1, 4, 8), np.nan, np.float32)
    first = runs.run_into(values, {})
    found = runs.run_into(values, {"moved": place})
    assert found["moved"] is place
    np.testing.assert_array_equal(place, first["moved"])
    runs.run_into(inputs(8, 1), {})
    np.testing.assert_array_equal(place, first["moved"], "the next run writes elsewhere")


def test_a_frame_with_other_strides(runs: GraphRuns) -> None:
    values = inputs(8)
    expected = [runs.run_into(values, {})["moved"] for _ in range(2)]
    strided = {name: np.repeat(array, 2, axis=-1)[..., ::2] for name, array in values.items()}
    assert not strided["image"].flags.c_contiguous
    np.testing.assert_array_equal(runs.run_into(strided, {})["moved"], expected[1])


def test_the_oldest_graph_gives_way(runs: GraphRuns, session: Recording) -> None:
    widths = [8 * k for k in range(1, MOST_SHAPES + 1)]
    for width in widths:
        runs.run_into(inputs(width), {})
    runs.run_into(inputs(widths[0]), {})
    runs.run_into(inputs(8 * MOST_SHAPES + 8), {})
    assert session.released == [2], "the first was used since"
    session.runs.clear()
    runs.run_into(inputs(widths[0]), {})
    runs.run_into(inputs(widths[1]), {})
    assert session.runs == [1, NO_GRAPH]


def test_a_run_that_fails_begins_again(runs: GraphRuns, session: Recording) -> None:
    values = inputs(8)
    expected = runs.run_into(values, {})
    session.fails = RuntimeError("operation not permitted when stream is capturing")
    with pytest.raises(RuntimeError, match="capturing"):
        runs.run_into(values, {})
    session.runs.clear()
    for _ in range(2):
        np.testing.assert_array_equal(runs.run_into(values, {})["moved"], expected["moved"])
    assert session.runs == [NO_GRAPH, 2]


def test_without_memory_the_other_shapes_give_way(runs: GraphRuns, session: Recording) -> None:
    for width in (8, 16):
        runs.run_into(inputs(width), {})
    session.fails = RuntimeError("CUDA failure 2: out of memory ; GPU=0")
    runs.run_into(inputs(24), {})
    assert session.released == [1, 2]


def test_why_runs_are_not_captured(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    session, reason = open_for_graphs(onnxruntime, bundle.onnx_path, None)
    assert session is None
    assert reason, "there is no card here"
    monkeypatch.setitem(os.environ, GRAPHS_VARIABLE, "0")
    assert open_for_graphs(onnxruntime, bundle.onnx_path, None) == (None, f"{GRAPHS_VARIABLE} is 0")
    monkeypatch.delitem(os.environ, GRAPHS_VARIABLE)
    monkeypatch.setattr(graphs, "_copies_tensors", lambda ort: False)
    assert "does not copy within a card" in open_for_graphs(onnxruntime, bundle.onnx_path, None)[1]


def test_this_version_copies_tensors() -> None:
    assert graphs._copies_tensors(onnxruntime)


def test_an_engine_whose_runs_are_graphs(
    bundle: Bundle, session: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole engine, with the CPU's device in place of a card's."""
    engine = OnnxRuntimeEngine(bundle)
    engine._bound = GraphRuns(onnxruntime, session, bundle.spec, CPU_PROVIDER)
    plain = OnnxRuntimeEngine(bundle)
    for seed in range(3):
        values = inputs(8, seed)
        found, expected = engine.run(values), plain.run(values)
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
    assert session.runs == [NO_GRAPH, 1, 1]
    session.fails = RuntimeError("CUDA failure 900: operation not permitted")
    with pytest.raises(Exception, match=f"{GRAPHS_VARIABLE}=0 runs without CUDA graphs"):
        engine.run(inputs(8))
