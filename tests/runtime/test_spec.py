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
    with pytest.raises(ArgumentError, match=r"width = 48 .*, not 64"):
        OUT.check(np.zeros((1, 4, 32, 64), np.float32), sizes)


# --- feeds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "movie"}, "a feed of frame, pair"),
        ({"kind": "pair"}, "two inputs .* for the feed pair"),
        ({"kind": "frame", "inputs": ("a", "b")}, "one input for the feed frame"),
        ({"kind": "pair", "inputs": ("a",)}, "a time_axis exactly where"),
        ({"kind": "window", "inputs": ("a",), "length": 3}, "a time_axis exactly where"),
        ({"kind": "frame", "inputs": ("a",), "length": 3}, "with the feed window, not frame"),
        ({"kind": "window", "inputs": ("a",), "length": 3, "latency": 3}, "latency < length"),
        ({"kind": "frame", "inputs": ("a",), "scale": 0.0}, "a scale other than 0"),
        ({"kind": "frame", "inputs": ("a",), "offset": 1.0}, "also where an offset"),
        ({"kind": "frame", "inputs": ("a",), "scale": float("nan")}, "a finite scale"),
        ({"kind": "frame", "inputs": ("a",), "grey": (255.0, 0.0)}, "lowest to a higher"),
        ({"kind": "frame", "inputs": "image"}, "names as its inputs"),
    ],
)
def test_a_feed_that_contradicts_itself(settings: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Feed(**settings)


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
    ],
)
def test_an_output_that_its_role_contradicts(changes: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        spec(outputs=(replace(OUT, **changes),))


def test_inputs_and_states_have_no_role() -> None:
    with pytest.raises(SpecError, match="roles of outputs only"):
        spec(inputs=(replace(IMAGE, role="heat_maps"),))
