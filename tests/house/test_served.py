"""The served contract: one file in two distributions, and a result that survives the wire."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from cineflow import served
from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec

ROOT = Path(__file__).resolve().parents[2]
H, W = Axis("height", 16, 64, 16), Axis("width", 16, 64, 16)

EVERYTHING = ModelSpec(
    "everything",
    "Has an output of every role that a stream may have at once.",
    inputs=(
        TensorSpec("a", "float32", (1, 1, H, W), "grey level"),
        TensorSpec("b", "float32", (1, 1, H, W), "grey level"),
        TensorSpec("landmarks", "float32", (1, 3, 2), "px", description="Of the first frame."),
    ),
    outputs=(
        TensorSpec("move", "float32", (1, 2, H, W), "px", tolerance=0.1, role="flow"),
        TensorSpec("classes", "int64", (1, H, W), "class", role="labels", names=("out", "in")),
        TensorSpec("maps", "float32", (1, 2, H / 4, W / 4), "1", tolerance=0.1, role="heat_maps"),
        TensorSpec(
            "grades",
            "float32",
            (1, 4),
            "probability",
            tolerance=0.1,
            role="scores",
            places=("base", "mid", "apex", "cap"),
        ),
        TensorSpec("extra", "float32", (1, 5), "ms", tolerance=0.1),
    ),
    feed=Feed("pair", ("a", "b"), at_start=("landmarks",)),
)
SPEC = json.loads(EVERYTHING.to_json())


def result() -> served.Result:
    random = np.random.default_rng(0)
    field = random.random((2, 32, 48), np.float32)
    raw = {
        "classes": np.ones((1, 32, 48), np.int64),
        "maps": random.random((1, 2, 8, 12), np.float32),
        "grades": random.random((1, 4), np.float32),
        "extra": random.random((1, 5), np.float32),
    }
    by_name = {item["name"]: item for item in SPEC["outputs"]}
    outputs = {name: served.described_output(by_name[name], value) for name, value in raw.items()}
    readings = {"flow": field, "displacement": 2 * field}
    return served.Result(
        outputs=outputs | served.motion_outputs(SPEC, readings),
        current=7,
        previous=5,
        reference=2,
        described=7,
        **readings,
        quality_parts=served.Quality(0.5, 0.25, 0.9, 0.1, 0.02, None, 0.3, None, 1.5),
        beat_info=served.BeatInfo(3, served.Cause.MOTION, 4, served.Rhythm.EARLY, None),
        points=np.float32([[1, 2], [3, 4]]),
        confidence=np.float32([0.5, 0.75]),
        lengths=np.float32([2.5]),
        areas=np.float32([10, 20]),
        repeat=True,
        unit="mm",
        absent={"strain": "it was not asked for"},
        engine="onnxruntime 1.31.0",
        times=served.Times(None, 41.5, 41.5, 41.512, 41.512),
        deadline=served.Deadline(True, 12.5, 0.4, 3),
    )


def same(one, other) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, served.Output):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def test_the_clients_copy_is_identical() -> None:
    """But for the name of the package."""
    here, there = ROOT / "src/cineflow", ROOT / "client/src/cineflow_client"
    names = [path.name for path in sorted((here / "served").glob("*.py"))]
    assert names == [path.name for path in sorted((there / "served").glob("*.py"))]
    for name in ("local_key.py", *(f"served/{one}" for one in names)):
        copy = (there / name).read_text().replace("cineflow_client.served", "cineflow.served")
        assert copy == (here / name).read_text(), name


def test_a_result_comes_back_as_it_went() -> None:
    sent = result()
    came = served.decode(served.encode(sent, SPEC), SPEC, latency_ms=1.5)
    assert came.latency_ms == 1.5
    for part in fields(served.Result):
        if part.name != "latency_ms":
            assert same(getattr(came, part.name), getattr(sent, part.name)), part.name
    assert came.outputs["move"].values is came.flow
    assert came.times.compute_ms == pytest.approx(12.0)


def test_what_a_server_has_not_measured_stays_unknown() -> None:
    sent = replace(result(), deadline=served.Deadline(None, np.nan, 0.0, 0))
    came = served.decode(served.encode(sent, SPEC), SPEC, None).deadline
    assert came.holds is None
    assert np.isnan(came.expected_ms)


def test_every_tensor_that_is_sent_is_a_port_of_its_type_and_rank() -> None:
    arrays = served.encode(result(), SPEC)
    ports = {port.name: port for port in served.stream_outputs(SPEC)}
    assert arrays.keys() == ports.keys() - {"strain", "state"}
    for name, array in arrays.items():
        port = ports[name]
        assert array.dtype == port.dtype, name
        assert len(port.shape) == array.ndim, name
        assert all(want in (-1, got) for want, got in zip(port.shape, array.shape, strict=True))
        np.from_dlpack(array)  # the backend sends by DLPack, which refuses read-only memory


def test_every_reading_is_an_attribute_of_a_result() -> None:
    attributes = {part.name for part in fields(served.Result)}
    assert {row.name for row in served.READINGS} <= attributes


def test_a_quality_without_texture_survives_the_wire() -> None:
    nothing = served.Quality(0.0, np.inf, np.nan, np.nan, np.nan, None, None, None, np.nan)
    came = served.decode(
        served.encode(replace(result(), quality_parts=nothing), SPEC), SPEC, None
    ).quality_parts
    assert repr(came) == repr(nothing)


@pytest.mark.parametrize("name", [row.name for row in served.READINGS if not row.asked])
def test_a_reading_that_is_absent_is_none_on_both_sides(name: str) -> None:
    sent = replace(result(), **{name: None}, absent={name: "why"})
    came = served.decode(served.encode(sent, SPEC), SPEC, None)
    assert getattr(came, name) is None
    assert came.absent[name] == "why"


def test_a_limit_on_the_names_is_kept() -> None:
    assert served.encode(result(), SPEC, ["indices", "notes", "maps"]).keys() == {
        "indices", "notes", "maps",
    }  # fmt: skip


def test_batches_need_one_first_axis_on_every_tensor() -> None:
    batch = Axis("batch", 1, 8)
    shared = ModelSpec("c", "", (TensorSpec("x", "float32", (batch, 3), "1"),),
                       (TensorSpec("y", "float32", (batch, 2), "1", tolerance=0.1),))  # fmt: skip
    assert served.batch_limit(json.loads(shared.to_json())) == 8
    fixed = replace(shared, outputs=(TensorSpec("y", "float32", (1, 2), "1", tolerance=0.1),))
    assert served.batch_limit(json.loads(fixed.to_json())) == 0


STUDY = [
    {"name": "films", "shape": [1, 2, 4, 30, 40]},
    {"name": "marks", "shape": [1, 2, 3, 2], "points_of": "films"},
]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, ""),
        ((-0.5, 29.5), ""),  # the corners of a pixel belong to it
        ((39.75, 3), "marks[0, 1, 0] at (39.75, 3), outside the 30 x 40 pixels of films"),
        ((3, -0.75), "marks[0, 1, 0] at (3, -0.75), outside"),
        ((20.5, 5.5), "points 0 and 2 of marks[0, 1] less than a pixel apart"),
    ],
)
def test_points_of_a_call_lie_inside_their_picture_and_apart(change, said: str) -> None:
    films = np.zeros((1, 2, 4, 30, 40), np.float32)
    marks = np.array([[[[5, 5], [35, 25], [20, 5]]] * 2], np.float32)
    if change is not None:
        marks[0, 1, 0] = change
    found = served.misplaced_points(STUDY, {"films": films, "marks": marks})
    assert found.startswith(said) if said else not found
