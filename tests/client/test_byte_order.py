"""Arrays in the other order of bytes, as DICOM and NIfTI readers give them, leave in this one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec
from cineflow_client import FrameRejected
from cineflow_client.frames import checked_arrays, checked_frame
from cineflow_client.metadata import ModelInfo

H, W = Axis("height", 16, 64), Axis("width", 16, 64)
SPEC = ModelSpec(
    "model", "A model.",
    (TensorSpec("image", "float32", (1, 1, H, W), "grey level"),
     TensorSpec("marks", "float32", (2,), "px"), TensorSpec("count", "int32", (2,), "1")),
    (TensorSpec("out", "float32", (1,), "1", tolerance=0.1),),
    feed=Feed("frame", ("image",)),
)  # fmt: skip
MODEL = ModelInfo("model", "model-1", json.loads(SPEC.to_json()), 60.0)


def test_given_arrays() -> None:
    given = {"marks": np.array([1, 2], ">f4"), "count": np.array([3, 4], ">i4")}
    sent = checked_arrays("model", MODEL.spec["inputs"][1:], given, {})
    assert np.frombuffer(sent["marks"].tobytes(), "<f4").tolist() == [1, 2]
    assert np.frombuffer(sent["count"].tobytes(), "<i4").tolist() == [3, 4]
    with pytest.raises(FrameRejected, match="float64"):
        checked_arrays("model", MODEL.spec["inputs"][1:2], {"marks": np.array([1, 2], ">f8")}, {})


def test_frames() -> None:
    frame = np.arange(32 * 48, dtype=np.float32).reshape(32, 48) % 256
    sent = checked_frame(frame.astype(">f4"), MODEL, None, dark=True)
    assert sent.dtype.isnative
    np.testing.assert_array_equal(sent, frame)
    with pytest.raises(FrameRejected, match="NaN"):
        checked_frame(np.full((32, 48), np.nan, ">f4"), MODEL, None, dark=True)
