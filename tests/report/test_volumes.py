"""The report of volumes shows one slice: its labels, its motion, and points projected onto it."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.cine import Geometry, VolumeCine
from cineflow.report import ReadingsRecorder
from cineflow.served import Output, Result
from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec

D, H, W = Axis("depth", 4, 64, 4), Axis("height", 8, 64, 8), Axis("width", 8, 64, 8)
IMAGE = TensorSpec("image", "float32", (1, 1, D, H, W), "0..1")
SIZE = (12, 16, 24)


def recorder(*outputs: TensorSpec) -> ReadingsRecorder:
    spec = ModelSpec("m", "s", (IMAGE,), outputs, (TensorSpec("kept", "float32", (1,), "1"),),
                     feed=Feed("frame", ("image",), volume=True))  # fmt: skip
    frames = np.random.default_rng(0).integers(0, 256, (2, *SIZE)).astype(np.uint8)
    volumes = VolumeCine(frames, 50.0 * np.arange(2), None, "none", np.ones(SIZE, bool))
    size = (SIZE[1], SIZE[2])
    return ReadingsRecorder(
        volumes.plane(), Geometry(size, size, size), spec, (volumes.middle, SIZE[0])
    )


def result(**parts) -> Result:
    return Result(**{"outputs": {}, "current": 0, "previous": 0, "reference": 0, "described": 0,
                     **parts})  # fmt: skip


@pytest.mark.parametrize(("role", "zoom"), [("labels", 1), ("labels", 4), ("probabilities", 2)])
def test_labels_are_those_of_the_slice(role: str, zoom: int) -> None:
    size = tuple(extent // zoom for extent in SIZE)
    labels = np.zeros((1, *size), np.int64)
    labels[0, size[0] // 2, : size[1] // 2] = 1  # slice 6 of 12 lies here, and half of it is 1
    shape = (1, D / zoom, H / zoom, W / zoom)
    if role == "probabilities":
        values = np.stack([1 - labels, labels], axis=1).astype(np.float32)
        tensor = TensorSpec("map", "float32", (1, 2, *shape[1:]), "1", tolerance=0.1, role=role)
    else:
        values, tensor = labels, TensorSpec("map", "int64", shape, "class", role=role)
    made = recorder(tensor)
    made.add(result(outputs={"map": Output(values, "class", role=role)}))
    shown = made.finish([], {}).labels[0]
    assert shown.shape == SIZE[1:]
    assert shown[:8].all()
    assert not shown[8:].any()


def test_points_lose_their_depth() -> None:
    made = recorder(
        TensorSpec("at", "float32", (1, 2, 3), "px", tolerance=0.1, role="points", names=("a", "b"))
    )
    made.add(result(points=np.float32([[3, 5, 6], [10, 12, 2]])))
    assert made.finish([], {}).points[0].tolist() == [[3, 5], [10, 12]]


def test_wall_points_move_as_the_slice_does() -> None:
    made = recorder(
        TensorSpec("move", "float32", (1, 3, D, H, W), "px", tolerance=0.1, role="displacement")
    )
    move = np.zeros((3, *SIZE), np.float32)
    made.add(result(displacement=move))
    move = move.copy()
    move[:, 6] = np.float32([2, -1, 5])[:, None, None]
    made.add(result(displacement=move, current=1, described=1))
    points = made.finish([], {}).points
    assert len(points[0]) > 0
    np.testing.assert_allclose(points[1] - points[0], np.broadcast_to([2, -1], points[0].shape))
