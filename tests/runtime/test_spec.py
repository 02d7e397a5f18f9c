"""A spec says what feeds a model and what its outputs mean, and refuses what contradicts itself."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cineflow.errors import ArgumentError, SpecError
from cineflow.runtime import Bundle
from cineflow.spec import Axis, AxisPart, Feed, ModelSpec, Role, TensorSpec
from cineflow.spec.feed import frame_layout

H, W = Axis("height", 16, 64, 16), Axis("width", 16, 64, 16)
IMAGE = TensorSpec("image", "float32", (1, 1, H, W), "grey level")
OUT = TensorSpec("out", "float32", (1, 4, H, W), "1", tolerance=0.1)


def spec(**changes) -> ModelSpec:
    settings = {
        "name": "model",
        "summary": "A model.",
        "inputs": (IMAGE,),
        "outputs": (OUT,),
        "feed": Feed("frame", ("image",)),
    }
    return ModelSpec(**(settings | changes))


# --- specs of older bundles -----------------------------------------------------------------------


def older(model: ModelSpec) -> str:
    """The JSON of a spec as it was written before there were feeds and roles."""
    data = json.loads(model.to_json())
    del data["feed"]
    for tensor in (*data["inputs"], *data["outputs"], *data["states"]):
        for field in ("role", "names", "components", "time_axis"):
            del tensor[field]
    return json.dumps(data)


def test_a_pair_with_a_flow_is_recognised_in_an_older_spec() -> None:
    model = Bundle.load("lucas_kanade").spec
    assert ModelSpec.from_json(older(model)) == model
    assert model.feed == Feed("pair", ("previous", "current"))
    assert model.outputs[0].role == Role.FLOW


def test_any_other_older_spec_is_a_call() -> None:
    read = ModelSpec.from_json(older(spec(states=(replace(OUT, name="memory"),))))
    assert read.feed.kind == "call"
    assert read.outputs[0].role == ""


def test_json_goes_there_and_back() -> None:
    model = spec(
        inputs=(replace(IMAGE, shape=(1, 4, 3, H, W)), TensorSpec("gain", "float32", (1,), "dB")),
        outputs=(
            TensorSpec(
                "points", "float32", (1, 4, 2, 2), "px", tolerance=0.1, role="points",
                names=("a", "b"), components=("y", "x"), time_axis=1,
            ),
        ),
        states=(TensorSpec("memory", "float32", (1, 8, H / 4, W * 2), "1", tolerance=0.1),),
        feed=Feed("window", ("image",), length=4, hop=2, latency=1, time_axis=1, scale=0.5,
                  offset=-1.0, grey=(0.0, 4095.0), at_start=("gain",)),
    )  # fmt: skip
    read = ModelSpec.from_json(model.to_json())
    assert read == model
    assert read.to_json() == model.to_json()


# --- sizes that follow an axis --------------------------------------------------------------------


def test_a_part_of_an_axis_follows_it() -> None:
    quarter = H / 4
    assert (quarter.name, quarter.describe()) == ("height / 4", "4..16 by 4")
    assert quarter.accepts(8)
    assert not quarter.accepts(6)
    sizes = {"height": 32}
    tensor = TensorSpec("map", "float32", (1, H, quarter), "1")
    tensor.check(np.zeros((1, 32, 8), np.float32), sizes)
    with pytest.raises(ArgumentError, match=r"height / 4 = 8 \(because height is 32\), not 16"):
        tensor.check(np.zeros((1, 32, 16), np.float32), sizes)


def test_a_part_must_be_whole_for_every_size() -> None:
    with pytest.raises(SpecError, match=r"in multiples of 32.*got multiples of 16"):
        _ = H / 32
    assert AxisPart(H, 3, 2).size(32) == 48


def test_tensors_of_one_call_agree_on_their_axes() -> None:
    sizes: dict[str, int] = {}
    IMAGE.check(np.zeros((1, 1, 32, 48), np.float32), sizes)
    with pytest.raises(ArgumentError, match=r"width = 48, not 64"):
        OUT.check(np.zeros((1, 4, 32, 64), np.float32), sizes)


# --- feeds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "movie"}, "a feed of frame, pair"),
        ({"kind": "pair"}, "two inputs .* for the feed pair"),
        ({"kind": "frame", "inputs": ("a", "b")}, "one input for the feed frame"),
        ({"kind": "pair", "inputs": ("a", "b"), "time_axis": 1}, "a time_axis exactly where"),
        ({"kind": "window", "inputs": ("a",), "length": 3}, "a time_axis exactly where"),
        ({"kind": "frame", "inputs": ("a",), "length": 3}, "with the feed window, not frame"),
        ({"kind": "window", "inputs": ("a",), "length": 3, "latency": 3}, "latency < length"),
        ({"kind": "frame", "inputs": ("a",), "scale": 0.0}, "a scale other than 0"),
        ({"kind": "frame", "inputs": ("a",), "offset": 1.0}, "also where an offset"),
        ({"kind": "frame", "inputs": ("a",), "scale": float("nan")}, "a finite scale"),
        ({"kind": "frame", "inputs": ("a",), "grey": (255.0, 0.0)}, "lowest to a higher"),
        ({"kind": "frame", "inputs": "image"}, "names as its inputs"),
        ({"kind": "frame", "inputs": ("a",), "grey": (0,)}, r"two grey levels.*got \(0,\)"),
        ({"kind": "frame", "inputs": ("a",), "grey": 255}, "two grey levels"),
        ({"kind": "frame", "inputs": ("a",), "volume": "no"}, "volume True or False; got 'no'"),
        ({"kind": "pair", "inputs": ("a",), "time_axis": "1"}, "whole time_axis .*got '1'"),
        ({"kind": "pair", "inputs": ("a",), "time_axis": -1}, "whole time_axis of 0 or more"),
    ],
)
def test_a_feed_that_contradicts_itself(settings: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Feed(**settings)


@pytest.mark.parametrize("kind", ["pair", "reference"])
def test_a_model_that_sees_the_current_frame_alone_keeps_the_other_in_a_state(kind: str) -> None:
    feed = Feed(kind, ("image",))
    assert feed.remembered
    assert not feed.stacked
    with pytest.raises(SpecError, match=r"keeps what the model needs.*got no states"):
        ModelSpec("m", "s", (IMAGE,), (OUT,), feed=feed)


def test_a_feed_names_the_models_own_inputs() -> None:
    with pytest.raises(SpecError, match=r"names inputs of \['image'\]; got \['picture'\]"):
        spec(feed=Feed("frame", ("picture",)))
    with pytest.raises(SpecError, match="each input once"):
        spec(feed=Feed("frame", ("image",), at_start=("image",)))


@pytest.mark.parametrize("shape", [(H, W), (1, H, W), (1, 3, H, W), (Axis("batch", 1, 8), 1, H, W)])
def test_frames_find_their_place(shape: tuple) -> None:
    layout = frame_layout(replace(IMAGE, shape=shape), Feed("frame", ("image",)))
    assert layout.size == (H, W)
    assert layout.channels == (3 if 3 in shape else 1)


@pytest.mark.parametrize("shape", [(W,), (2, 1, H, W), (1, 4, H, W), (Axis("b", 2, 8), H, W)])
def test_a_shape_without_room_for_frames(shape: tuple) -> None:
    with pytest.raises(SpecError, match="1 or 3 channels, and height, width last"):
        frame_layout(replace(IMAGE, shape=shape), Feed("frame", ("image",)))


@pytest.mark.parametrize(
    ("dtype", "unit", "feed"),
    [
        ("uint8", "0..1", Feed("frame", ("image",))),
        ("int32", "-1..1", Feed("frame", ("image",))),
        ("uint8", "share of white", Feed("frame", ("image",), scale=1 / 255)),
        ("bool", "grey level", Feed("frame", ("image",))),
    ],
)
def test_whole_numbers_do_not_hold_a_frame_in_0_to_1(dtype: str, unit: str, feed: Feed) -> None:
    with pytest.raises(SpecError, match=r"image: .*that can hold .*got " + dtype):
        frame_layout(replace(IMAGE, dtype=dtype, unit=unit), feed)


def test_whole_numbers_hold_grey_levels() -> None:
    frame_layout(replace(IMAGE, dtype="uint8"), Feed("frame", ("image",)))
    wide = Feed("frame", ("image",), scale=255 / 4095, grey=(0.0, 4095.0))
    frame_layout(replace(IMAGE, dtype="uint8", unit="byte"), wide)


@pytest.mark.parametrize("shape", [(-1, 0), (1, 0), (1, -1, H)])
def test_a_size_counts_elements(shape: tuple) -> None:
    with pytest.raises(SpecError, match="whole numbers or axes, of 1 or more"):
        TensorSpec("x", "float32", shape, "1")


@pytest.mark.parametrize("field", ["names", "components"])
def test_names_in_json_are_a_list(field: str) -> None:
    data = json.loads(spec().to_json())
    data["outputs"][0][field] = "xyzw"
    with pytest.raises(SpecError, match=f"names as its {field}.*'xyzw'"):
        ModelSpec.from_json(json.dumps(data))
    data = json.loads(spec().to_json())
    data["feed"]["inputs"] = "image"
    with pytest.raises(SpecError, match=r"names as its inputs.*'image'"):
        ModelSpec.from_json(json.dumps(data))


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("feed", "grey", [0]), ("feed", "grey", None), ("feed", "grey", ["a", "b"]),
        ("feed", "volume", "no"), ("feed", "time_axis", "1"), ("feed", "inputs", 5),
        ("tensor", "shape", None), ("tensor", "name", ["a"]), ("tensor", "components", ["x", 1]),
        ("tensor", "dtype", ["float32"]), ("tensor", "role", None), ("tensor", "time_axis", [1]),
    ],
)  # fmt: skip
def test_json_that_is_no_spec_is_a_spec_error(part: str, key: str, value: object) -> None:
    data = json.loads(spec().to_json())
    (data["feed"] if part == "feed" else data["outputs"][0])[key] = value
    with pytest.raises(SpecError):
        ModelSpec.from_json(json.dumps(data))


def test_another_byte_order_is_named() -> None:
    tensor = TensorSpec("x", "float32", (2,), "1")
    with pytest.raises(ArgumentError, match="big-endian"):
        tensor.check(np.zeros(2, ">f4"))


# --- roles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"role": "movement"}, "a role of flow, displacement"),
        ({"role": "flow"}, "2 components before the sizes"),
        ({"role": "labels", "shape": (1, H, W)}, "a dtype of uint8"),
        ({"role": "points", "shape": (1, 4, 3)}, "2 coordinates last"),
        ({"role": "heat_maps", "names": ("one",)}, "4 names"),
        ({"role": "probabilities", "shape": (2, 4, H, W)}, "leading axes of 1"),
        ({"role": "heat_maps", "shape": (H, W)}, "3 axes for each frame"),
        ({"components": ("y", "z")}, "components x, y and"),
        ({"time_axis": 7}, "a time axis of 0 to 3"),
        ({"role": "flow", "shape": (1, 2, H / 4, W / 4)}, r"grid of the frames.*height / 4"),
        ({"role": "displacement", "shape": (1, 2, H, 48)}, r"\[height 16..64.*48"),
        ({"time_axis": 1}, r"out: 1 frame along its time axis 1.*got 4"),
    ],
)
def test_an_output_that_its_role_contradicts(changes: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(outputs=(replace(OUT, **changes),))


@pytest.mark.parametrize("frames", [3, 5, H, H / 4])
def test_a_time_axis_has_the_frames_of_the_window(frames) -> None:
    feed = Feed("window", ("clip",), length=4, latency=3, time_axis=1)
    clip = replace(IMAGE, name="clip", shape=(1, 4, 1, H, W))
    points = TensorSpec("at", "float32", (1, frames, 2, 2), "px", tolerance=0.1, time_axis=1)
    with pytest.raises(SpecError, match="at: 4 frames along its time axis 1"):
        spec(inputs=(clip,), outputs=(points,), feed=feed)
    spec(inputs=(clip,), outputs=(replace(points, shape=(1, 4, 2, 2)),), feed=feed)


def test_a_time_axis_may_be_the_axis_of_the_windows_input() -> None:
    time = Axis("time", 1, 16)
    feed = Feed("window", ("clip",), length=4, time_axis=1)
    clip = replace(IMAGE, name="clip", shape=(1, time, 1, H, W))
    points = TensorSpec("at", "float32", (1, time, 2, 2), "px", tolerance=0.1, time_axis=1)
    spec(inputs=(clip,), outputs=(points,), feed=feed)


def test_inputs_and_states_have_no_role() -> None:
    with pytest.raises(SpecError, match="roles of outputs only"):
        spec(inputs=(replace(IMAGE, role="heat_maps"),))


def test_a_view_is_kept_and_specs_without_one_keep_their_text() -> None:
    assert "view" not in spec().to_json()
    seen = spec(view="parasternal long axis")
    assert ModelSpec.from_json(seen.to_json()) == seen
    assert ModelSpec.from_json(spec().to_json()).view == ""
    with pytest.raises(SpecError, match="view"):
        spec(view=3)
