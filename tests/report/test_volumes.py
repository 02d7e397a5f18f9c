"""The report of volumes shows three planes: their labels, their motion, and points projected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cineflow.cine import PLANES, Geometry, Plane, VolumeCine
from cineflow.report import Panel, Readings, ReadingsRecorder, View, write_planes
from cineflow.served import Output, Result
from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec

D, H, W = Axis("depth", 4, 64, 4), Axis("height", 8, 64, 8), Axis("width", 8, 64, 8)
IMAGE = TensorSpec("image", "float32", (1, 1, D, H, W), "0..1")
SIZE = (12, 16, 24)
BY_NAME = {plane.name: plane for plane in PLANES}


def volumes(size=SIZE, **parts) -> VolumeCine:
    frames = np.random.default_rng(0).integers(0, 256, (2, *size)).astype(np.uint8)
    given = {"frames": frames, "spacing_mm": None, "sector": np.ones(size, bool), **parts}
    return VolumeCine(times_ms=50.0 * np.arange(2), spacing_reason="none", **given)


def recorder(*outputs: TensorSpec, plane: Plane = PLANES[0], source=SIZE) -> ReadingsRecorder:
    """Of volumes of `source`, which the model sees padded to `SIZE`."""
    spec = ModelSpec("m", "s", (IMAGE,), outputs, (TensorSpec("kept", "float32", (1,), "1"),),
                     feed=Feed("frame", ("image",), volume=True))  # fmt: skip
    clip = volumes(source)
    size = source[plane.rows], source[plane.columns]
    model = SIZE[plane.rows], SIZE[plane.columns]
    view = View(plane, clip.middle(plane), SIZE[plane.normal])
    return ReadingsRecorder(clip.plane(plane), Geometry(size, size, model), spec, view)


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


@pytest.mark.parametrize("name", BY_NAME)
def test_a_plane_shows_its_own_labels_cropped_to_the_file_s_voxels(name: str) -> None:
    """A block of voxels whose corner differs along each axis, in volumes that were padded."""
    source = (10, 13, 21)
    z, y, x = np.indices(SIZE)
    labels = ((z >= 3) & (y >= 5) & (x >= 7)).astype(np.int64)
    made = recorder(
        TensorSpec("map", "int64", (1, D, H, W), "class", role="labels"),
        plane=BY_NAME[name],
        source=source,
    )
    made.add(result(outputs={"map": Output(labels[None], "class", role="labels")}))
    shown = made.finish([], {}).labels[0]
    extents = dict(zip("zyx", source, strict=True))
    corner = {"z": 3, "y": 5, "x": 7}
    right, down = name
    wanted = np.zeros((extents[down], extents[right]), np.uint8)
    wanted[corner[down] :, corner[right] :] = 1
    np.testing.assert_array_equal(shown, wanted)


@pytest.mark.parametrize(
    ("name", "places"),
    [("xy", [[3, 5], [10, 12]]), ("zy", [[6, 5], [2, 12]]), ("xz", [[3, 6], [10, 2]])],
)
def test_points_are_projected(name: str, places: list[list[int]]) -> None:
    tensor = TensorSpec(
        "at", "float32", (1, 2, 3), "px", tolerance=0.1, role="points", names=("a", "b")
    )
    made = recorder(tensor, plane=BY_NAME[name])
    made.add(result(points=np.float32([[3, 5, 6], [10, 12, 2]])))
    assert made.finish([], {}).points[0].tolist() == places


@pytest.mark.parametrize(("name", "moves"), [("xy", [2, -1]), ("zy", [5, -1]), ("xz", [2, 5])])
def test_wall_points_move_as_the_slice_does(name: str, moves: list[int]) -> None:
    plane = BY_NAME[name]
    made = recorder(
        TensorSpec("move", "float32", (1, 3, D, H, W), "px", tolerance=0.1, role="displacement"),
        plane=plane,
    )
    move = np.zeros((3, *SIZE), np.float32)
    made.add(result(displacement=move))
    move = move.copy()
    at = [slice(None)] * 4
    at[1 + plane.normal] = SIZE[plane.normal] // 2
    move[tuple(at)] = np.float32([2, -1, 5])[:, None, None]
    made.add(result(displacement=move, current=1, described=1))
    points = made.finish([], {}).points
    assert len(points[0]) > 0
    np.testing.assert_allclose(points[1] - points[0], np.broadcast_to(moves, points[0].shape))


def test_every_frame_of_a_window_has_its_motion() -> None:
    """One result for four volumes; its displacement is that of the last one."""
    tensor = TensorSpec(
        "fields", "float32", (1, 2, 3, D, H, W), "px", tolerance=0.1, role="displacement",
        time_axis=1,
    )  # fmt: skip
    frames = TensorSpec("frames", "float32", (1, 2, D, H, W), "0..1")
    spec = ModelSpec("m", "s", (IMAGE, frames), (tensor,), feed=Feed(
        "window", ("image", "frames"), volume=True, length=2, hop=2, time_axis=1))  # fmt: skip
    clip = volumes()
    made = ReadingsRecorder(
        clip.plane(), Geometry(SIZE[1:], SIZE[1:], SIZE[1:]), spec, View(PLANES[0], 6, 12)
    )
    fields = np.zeros((1, 2, 3, *SIZE), np.float32)
    fields[0, 0, 0], fields[0, 1, 0] = 1.0, 3.0
    output = Output(fields, "px", role="displacement")
    made.add(result(outputs={"fields": output}, displacement=fields[0, 1], current=1, described=1))
    points = made.finish([], {}).points
    np.testing.assert_allclose(points[1] - points[0], np.broadcast_to([2, 0], points[0].shape))


def panels(clip: VolumeCine) -> list[Panel]:
    nothing = Readings({}, (), {}, (), (), {})
    return [
        Panel(View(plane, clip.middle(plane), clip.size[plane.normal]), clip.plane(plane), nothing)
        for plane in PLANES
    ]


def test_three_planes_lie_side_by_side_in_the_shape_of_their_voxels(tmp_path: Path) -> None:
    """One eighth of the volume is white, so every plane has one white quarter of known place."""
    frames = np.zeros((2, *SIZE), np.uint8)
    frames[:, 6:, 8:, 12:] = 255
    clip = volumes(frames=frames, spacing_mm=(2.0, 1.0, 0.5))  # 24 x 16 x 12 mm
    path = write_planes(tmp_path / "new" / "planes.webp", panels(clip), width=368)
    with Image.open(path) as picture:
        assert picture.n_frames == 2
        grey = np.asarray(picture.convert("L")).astype(int)
    # 10 px per mm: xy is 120 x 160 px, zy 240 x 160, xz 120 x 240, with 8 px between them.
    assert grey.shape == (160 + 8 + 240, 368)
    for left, top, width, height in ((0, 0, 120, 160), (128, 0, 240, 160), (0, 168, 120, 240)):
        half, middle = width // 2, height // 2
        part = grey[top : top + height, left : left + width]
        assert part[middle + 12 : -6, half + 12 : -6].min() > 230
        assert part[middle + 12 : -6, 6 : half - 12].max() < 40
        assert part[30 : middle - 12, half + 12 : -6].max() < 40
        # The lines of the other planes, half a voxel past the middle.
        assert 60 < part[middle // 2 + 10, half - 2 : half + 16].max() < 160
    assert grey[200:, 140:].max() < 40, "nothing but the time in the last corner"
