"""Frames of a size between two that the model takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream
from cineflow.serving import TritonServer
from cineflow_client import Client, FrameRejected


@pytest.mark.parametrize("transport", ["shm", "grpc"])
def test_it_is_padded_and_the_results_are_cropped(
    server: TritonServer, moving_frames: np.ndarray, transport: Any
) -> None:
    """As if the caller had padded it with black, below and to the right."""
    bundle = Bundle.load("lucas_kanade")
    engine = Stream(open_engine(bundle), bundle.spec, readings=("strain",))
    with (
        Client(server.url) as client,
        client.stream("lucas_kanade", transport, readings=("strain",)) as stream,
    ):
        for frame in moving_frames[:3]:
            odd = frame[:121, :150]
            padded = np.zeros((128, 160), np.uint8)
            padded[:121, :150] = odd
            there, here = stream.push(odd), engine.push(padded)
        assert there.flow is not None
        assert there.flow.shape == (2, 121, 150)
        for name in ("flow", "displacement", "strain"):
            np.testing.assert_array_equal(
                getattr(there, name), getattr(here, name)[..., :121, :150]
            )
        np.testing.assert_array_equal(there.outputs["flow"].values, there.flow)
        with pytest.raises(FrameRejected, match="121x150"):  # the caller's own sizes are compared
            stream.push(padded)
        assert stream.push(moving_frames[3, :121, :150]).current == 3


@pytest.mark.parametrize("size", [(40, 160), (128, 5000), (1, 1)])
def test_a_size_out_of_the_models_range_is_refused(
    server: TritonServer, size: tuple[int, int]
) -> None:
    with Client(server.url) as client, client.stream("lucas_kanade") as stream:
        with pytest.raises(FrameRejected, match="by 16"):
            stream.push(np.zeros(size, np.uint8))
        assert stream.push(np.zeros((100, 100), np.uint8)).current == 0


def test_derived_sizes_and_leading_axes_are_cropped() -> None:
    """Labels at a quarter of the frame's size, with batch and channel axes."""
    from cineflow_client.metadata import ModelInfo
    from cineflow_client.padding import Padding
    from cineflow_client.served import Output, Result

    height = {"name": "height", "minimum": 16, "maximum": 64, "multiple": 16}
    width = {**height, "name": "width"}
    quarter = [{"axis": axis, "numerator": 1, "denominator": 4} for axis in (height, width)]
    frame = {"name": "frame", "shape": [1, 1, height, width]}
    feed = {"kind": "frame", "inputs": ["frame"], "volume": False}
    spec = {
        "feed": feed,
        "inputs": [frame],
        "outputs": [
            {"name": "labels", "shape": [1, *quarter]},
            {"name": "scores", "shape": [1, 7]},
        ],
    }
    padding = Padding(ModelInfo("m", "m-1", spec, 0.0), (30, 17))
    assert padding.size == (32, 32)
    outputs = {
        "labels": Output(np.zeros((1, 8, 8)), "1"),
        "scores": Output(np.zeros((1, 7)), "1"),
    }
    cropped = padding.crop(Result(outputs=outputs, current=0, previous=0, reference=0, described=0))
    assert cropped.outputs["labels"].values.shape == (1, 8, 5)
    assert cropped.outputs["scores"].values.shape == (1, 7)
    whole = Padding(ModelInfo("m", "m-1", spec, 0.0), (32, 48))
    assert not whole
    given = {**spec, "inputs": [frame, {"name": "mask", "shape": [height, width]}]}
    assert Padding(ModelInfo("m", "m-1", given, 0.0), (30, 17)).size == (30, 17)
