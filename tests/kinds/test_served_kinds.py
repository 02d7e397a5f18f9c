"""A stranger's models through the real server: every result is known in advance."""

from __future__ import annotations

import concurrent.futures
import runpy

import numpy as np
import pytest
import torch

from cineflow_client import Client, FrameRejected, ModelNotFound
from tests.kinds.conftest import RECIPES

SIZE = (48, 64)


def blob(x: float, y: float, size=SIZE, width: float = 6.0, level: float = 255.0) -> np.ndarray:
    """A bright spot on black, uint8 [H, W]."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    bright = level * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))
    return np.round(bright).astype(np.uint8)


def texture(seed: int = 0, size=(64, 80)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)


@pytest.fixture(params=["shm", "grpc"])
def transport(request) -> str:
    return request.param


def test_flow_of_a_pair_and_the_output_next_to_it(client: Client, transport: str) -> None:
    wide = texture()
    with client.stream("grid_sample_flow", transport) as stream:
        results = [
            stream.push(np.ascontiguousarray(wide[8 : 8 + 48, 10 - k : 10 - k + 64]))
            for k in range(4)
        ]
    first, last = results[0], results[-1]
    assert not first.outputs.keys() & {"mismatch"}
    assert "no frame before" in first.absent["mismatch"]
    assert not first.flow.any()
    np.testing.assert_allclose(last.flow[:, 24, 32], [1.0, 0.0], atol=0.01)
    np.testing.assert_allclose(last.displacement[:, 24, 20], [3.0, 0.0], atol=0.03)
    assert last.outputs["motion"].values is last.flow
    assert last.outputs["mismatch"].values.shape == (1, 1, 48, 64)
    assert last.outputs["mismatch"].values[0, 0, 4:-4, 4:-4].max() < 0.01
    assert last.outputs["mismatch"].unit == "0..1"
    assert last.quality > 0.5
    assert last.beat == 0


def test_a_state_runs_through_a_whole_sequence_as_in_torch(client: Client) -> None:
    recipe = runpy.run_path(str(RECIPES / "conv_gru.py"))
    module = recipe["build"]().eval()
    memory = torch.zeros(1, 4, 12, 16)
    frames = [texture(seed, SIZE) for seed in range(20)]
    with client.stream("conv_gru") as stream:
        for frame in frames:
            surprise = stream.push(frame).outputs["surprise"].values
            image = torch.from_numpy(frame).float()[None, None] * (2 / 255) - 1
            with torch.inference_mode():
                wanted, memory = module(image, memory)
            np.testing.assert_allclose(surprise, wanted.numpy(), atol=1e-4)


def test_a_displacement_from_a_reference_that_a_trigger_renews(client: Client) -> None:
    places = [(24, 20), (27, 22), (30, 21), (31, 24)]
    with client.stream("reference_shift", readings=("strain",)) as stream:
        results = [stream.push(blob(*at), beat=k == 2) for k, at in enumerate(places)]
    wanted = [(0, 0), (3, 2), (0, 0), (1, 3)]
    for result, move in zip(results, wanted, strict=True):
        np.testing.assert_allclose(result.displacement[:, 10, 10], move, atol=0.05)
    assert [result.reference for result in results] == [0, 0, 2, 2]
    assert [result.beat for result in results] == [0, 0, 1, 1]
    assert results[0].flow is None
    assert "no output with the role flow" in results[0].absent["flow"]
    assert results[3].strain.shape == (3, *SIZE)
    assert np.abs(results[3].strain).max() < 1e-4  # the whole picture moves as one


def test_given_points_through_a_window(client: Client) -> None:
    queries = np.float32([[[10, 12], [20, 30], [40, 8]]])
    with client.stream("point_tracker", spacing_mm=(0.5, 0.5)) as stream:
        with pytest.raises(FrameRejected, match=r"the inputs \['queries'\]"):
            stream.push(blob(24, 20))
        results = [
            stream.push(blob(24 + k, 20), given={"queries": queries} if k == 0 else None)
            for k in range(11)
        ]
    ran = [result for result in results if result.outputs]
    assert [result.current for result in ran] == [7, 9]
    assert [result.described for result in ran] == [6, 8]
    assert "3 of its 8 frames" in results[2].absent["points"]
    np.testing.assert_allclose(ran[0].points, queries[0] + [6, 0], atol=0.1)
    np.testing.assert_allclose(ran[1].points, queries[0] + [8, 0], atol=0.1)
    assert ran[0].outputs["tracks"].values.shape == (1, 8, 3, 2)
    assert ran[0].outputs["tracks"].names == ("septum", "apex", "lateral wall")
    lengths = np.linalg.norm(np.diff(queries[0], axis=0), axis=1) / 2
    assert ran[0].unit == "mm"
    np.testing.assert_allclose(ran[0].lengths, lengths, atol=0.01)


def test_labels_and_their_areas(client: Client) -> None:
    frame = np.full(SIZE, 128, np.uint8)
    frame[:16] = 0
    frame[32:, 32:] = 255
    with client.stream("segmentation") as stream:
        result = stream.push(frame)
    labels = result.outputs["labels"]
    assert labels.values.dtype == np.int64
    assert labels.names == ("blood", "tissue", "pericardium")
    assert labels.values[0, 8, 8] == 0
    assert labels.values[0, 24, 8] == 1
    assert labels.values[0, 40, 50] == 2
    counts = np.bincount(labels.values.ravel(), minlength=3)
    np.testing.assert_array_equal(result.areas, counts)
    assert result.areas.sum() == frame.size
    assert result.points is None


def test_heat_maps_give_points(client: Client) -> None:
    frame = np.clip(128.0 + blob(40.3, 12.6) / 2 - blob(15.8, 30.2) / 2, 0, 255).astype(np.uint8)
    with client.stream("heat_maps") as stream:
        result = stream.push(frame)
    np.testing.assert_allclose(result.points, [[40.3, 12.6], [15.8, 30.2]], atol=0.25)
    assert result.confidence.shape == (2,)
    assert result.outputs["maps"].names == ("bright", "dark")


def study(change: float, batch: int = 1, size=(32, 40)) -> dict[str, np.ndarray]:
    """Three cines whose brightness changes by a share of white around their landmarks."""
    curve = np.linspace(0.0, change, 6)
    cines = 255 * (0.2 + np.broadcast_to(curve[None, None, :, None, None], (batch, 3, 6, *size)))
    marks = np.full((batch, 3, 3, 2), 16.0)
    return {"cines": cines.astype(np.float32), "landmarks": marks.astype(np.float32)}


def test_a_call_gives_scores_and_calls_run_together(client: Client) -> None:
    changes = [0.3, 0.2, 0.1, 0.0] * 4
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda change: client.call("wall_scores", **study(change)), changes))
    for index, outputs in enumerate(found):
        scores = outputs["scores"]
        assert scores.values.shape == (1, 3, 4)
        assert (scores.values.argmax(axis=-1) == index % 4).all()
        np.testing.assert_allclose(scores.values.sum(axis=-1), 1.0, atol=1e-5)
    assert scores.names == ("normal", "hypokinetic", "akinetic", "dyskinetic")
    assert scores.unit == "probability"
    three = client.call("wall_scores", **study(0.2, batch=3))
    assert three["scores"].values.shape == (3, 3, 4)


def test_a_wrong_call_is_refused_by_the_client(client: Client) -> None:
    right = study(0.1)
    with pytest.raises(FrameRejected, match=r"the inputs \['cines', 'landmarks'\]"):
        client.call("wall_scores", cines=right["cines"])
    with pytest.raises(FrameRejected, match="unknown"):
        client.call("wall_scores", **right, unknown=np.zeros(3))
    with pytest.raises(FrameRejected, match=r"landmarks: float32 \[.*in px.*float64"):
        client.call("wall_scores", cines=right["cines"], landmarks=np.zeros((1, 3, 3, 2)))
    with pytest.raises(FrameRejected, match="with batch = 1"):
        client.call("wall_scores", cines=right["cines"], landmarks=study(0.1, 2)["landmarks"])
    with pytest.raises(FrameRejected, match=r"height 32..256 by 8"):
        client.call("wall_scores", **study(0.1, size=(33, 40)))
    with pytest.raises(ModelNotFound, match="takes calls"):
        client.stream("wall_scores")
    with pytest.raises(ModelNotFound, match="takes a stream"):
        client.call("segmentation", image=np.zeros(3))


def test_flow_of_volumes(client: Client, transport: str) -> None:
    grain = np.random.default_rng(1).integers(0, 256, (16, 40, 32)).astype(np.uint8)
    with client.stream("volume_flow", transport) as stream:
        results = [
            stream.push(np.ascontiguousarray(grain[:, 8 - k : 8 - k + 32])) for k in range(3)
        ]
        with pytest.raises(FrameRejected, match=r"\[D, H, W\]"):
            stream.push(grain[0])
    np.testing.assert_allclose(results[2].flow[:, 8, 16, 16], [0, 1, 0], atol=0.01)
    np.testing.assert_allclose(results[2].displacement[:, 8, 10, 16], [0, 2, 0], atol=0.03)
    assert results[2].quality is None
