"""What `cineflow stream` collects names the frame that each number belongs to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cineflow.cine import Cine, Geometry
from cineflow.cli.collect import Collector
from cineflow.cli.notes import clip_notes
from cineflow.cli.windows import past_the_end
from cineflow.runtime.stream import Stream
from cineflow.spec import Feed, ModelSpec, TensorSpec
from tests.runtime.test_kinds import H, Recorder, W, image

SIZE = (32, 48)


def spec(**role) -> ModelSpec:
    shape = (1, 3, 2, 2) if role else (1,)
    return ModelSpec(
        "late",
        "A window whose results lag by one frame.",
        (image("fixed"), image("clip", (1, 3, 1, H, W))),
        (TensorSpec("out", "float32", shape, "px", tolerance=0.1, **role),),
        feed=Feed("window", ("fixed", "clip"), length=3, hop=2, latency=1, time_axis=1),
    )


def collected(model: ModelSpec, answer, path: Path) -> dict[str, np.ndarray]:
    """result.npz of eight frames, with a trigger at frame 5."""
    frames = np.stack([np.full(SIZE, 10 + k, np.uint8) for k in range(8)])
    cine = Cine(frames, 20.0 * np.arange(8), None, "none", np.ones(SIZE, bool))
    collector = Collector(cine, Geometry(SIZE, SIZE, SIZE), model, keep=True)
    stream = Stream(Recorder(answer), model)
    for k, frame in enumerate(frames):
        collector.add(stream.push(frame, beat=k == 5))
    arrays = collector.finish().arrays
    assert arrays is not None
    arrays.write(path, {})
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def test_a_beat_belongs_to_the_frame_that_came_also_where_results_are_late(tmp_path: Path) -> None:
    arrays = collected(
        spec(), lambda inputs: {"out": inputs["clip"][0, -2, 0, 0, :1]}, tmp_path / "a.npz"
    )
    np.testing.assert_array_equal(arrays["beat_info.frame"], np.arange(8))
    np.testing.assert_array_equal(arrays["beat_info"][:, 0], [0, 0, 0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(arrays["indices.frame"], np.arange(8))
    np.testing.assert_array_equal(arrays["out.frame"], [1, 3, 5])
    np.testing.assert_array_equal(arrays["out"][:, 0], [11, 13, 15])  # that frame's grey level


def test_what_is_read_off_late_outputs_belongs_to_the_frame_that_they_describe(
    tmp_path: Path,
) -> None:
    def answer(inputs):
        grey = inputs["clip"][0, :, 0, 0, 0]
        return {"out": np.broadcast_to(grey[None, :, None, None], (1, 3, 2, 2)).copy()}

    arrays = collected(spec(role="points", time_axis=1), answer, tmp_path / "a.npz")
    np.testing.assert_array_equal(arrays["points.frame"], [1, 3, 5])
    np.testing.assert_array_equal(arrays["points"][:, 0, 0], [11, 13, 15])
    np.testing.assert_array_equal(arrays["lengths.frame"], [1, 3, 5])


def test_frames_past_the_end_have_no_row_and_describe_only_the_clip(tmp_path: Path) -> None:
    """Six frames and one more, which fills the last window."""
    model = spec(role="points", time_axis=1)
    frames = np.stack([np.full(SIZE, 10 + k, np.uint8) for k in range(6)])
    cine = Cine(frames, 20.0 * np.arange(6), None, "none", np.ones(SIZE, bool))
    collector = Collector(cine, Geometry(SIZE, SIZE, SIZE), model, keep=True)

    def answer(inputs):
        level = inputs["clip"].mean(axis=(0, 2, 3, 4))
        return {"out": np.broadcast_to(level[None, :, None, None], (1, 3, 2, 2)).copy()}

    stream = Stream(Recorder(answer), model)
    for k in [*range(6), *past_the_end(model, 6)]:
        collector.add(stream.push(frames[min(k, 5)], k))
    found = collector.finish()
    assert len(found.rows) == 6
    assert found.readings is not None
    points = {frame: float(one[0, 0]) for frame, one in sorted(found.readings.points.items())}
    assert points == {0: 10, 1: 11, 2: 12, 3: 13, 4: 14, 5: 15}
    assert found.arrays is not None
    found.arrays.write(tmp_path / "r.npz", {})
    with np.load(tmp_path / "r.npz") as file:
        assert file["out.frame"].tolist() == [1, 3, 5]
        assert file["indices"].shape == (6, 7)


def test_how_many_frames_fill_the_last_window() -> None:
    model = spec()  # three frames, and two more each time
    assert [len(past_the_end(model, frames)) for frames in range(2, 9)] == [1, 0, 1, 0, 1, 0, 1]
    single = ModelSpec("single", "", (image(),), model.outputs, feed=Feed("frame", ("image",)))
    assert len(past_the_end(single, 2)) == 0


def test_a_window_says_how_long_a_frame_waits_and_how_its_last_one_was_filled() -> None:
    model = spec()
    still = np.full((6, *SIZE), 90, np.uint8)
    cine = Cine(still, 20.0 * np.arange(6), None, "none", np.ones(SIZE, bool))
    waits, filled = clip_notes(model, cine, [])[:2]
    assert "runs once for 2 frames: a frame waits for its result for one more frame" in waits
    assert "The last frame was sent 1 times more" in filled


@pytest.mark.parametrize("time_axis", [None, 1])
def test_a_single_number_stands_in_the_row_of_its_frame(time_axis: int | None) -> None:
    """The mean grey level, of the frame that a late window describes or of each of its frames."""
    out = TensorSpec(
        "mean", "float32", (1, 3) if time_axis else (1,), "grey level", tolerance=0.1,
        time_axis=time_axis,
    )  # fmt: skip
    model = replace(spec(), outputs=(out,))
    frames = np.stack([np.full(SIZE, 10 + k, np.uint8) for k in range(6)])
    cine = Cine(frames, 20.0 * np.arange(6), None, "none", np.ones(SIZE, bool))
    collector = Collector(cine, Geometry(SIZE, SIZE, SIZE), model, keep=False)

    def answer(inputs):
        levels = inputs["clip"][0, :, 0, 0, 0]
        return {"mean": levels[None] if time_axis else levels[1:2]}

    stream = Stream(Recorder(answer), model)
    for frame in [*frames, frames[-1]]:  # the last one fills the last window
        collector.add(stream.push(frame))
    rows = collector.finish().rows
    found = [row.get("mean [grey level]") for row in rows]
    wanted = [10.0 + k for k in range(6)]
    if time_axis is None:  # windows of 3, every 2, that describe the frame before the newest
        wanted = [level if k % 2 else None for k, level in enumerate(wanted)]
    assert found == wanted
