"""keypoint_tracking through the whole path: bundle, real server, client, `cineflow stream`."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.export import export_bundle, write_repository
from cineflow.export.check import check_file
from cineflow.export.engines.build import build_engines
from cineflow.export.recipe import Recipe, load_recipe
from cineflow.export.recipes.keypoint_tracking import example_clip, spec_of
from cineflow.models.keypoint_tracking import PAPER, REFINEMENTS, KeypointTracking
from cineflow.motion.ventricle import BORDERS
from cineflow.runtime import Bundle
from cineflow.runtime.store import EngineStore
from cineflow.serving import TritonServer
from cineflow_client import Client, FrameRejected
from tests.export.untrained import require_said
from tests.models.known_points import STEPS, blobs, passes_the_picture
from tests.models.test_keypoint_tracking import FRAMES, SIZE, TINY

# Tracing five refinements and every exchange takes a minute of a core, also in the smallest size.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed"
)
MOVES = np.arange(8.0).reshape(4, 2) / 16  # of TR-net, px in each refinement


def recipe_of(build: Callable[[], torch.nn.Module]) -> Recipe:
    """The recipe in the tests' size, which every part of the built-in ones is in."""
    return Recipe(
        spec_of(FRAMES, *SIZE),
        build,
        lambda sizes, seed: example_clip(seed, FRAMES, *SIZE),
    )


def known() -> KeypointTracking:
    """Heat maps are the picture, moved by `STEPS`; TR-net moves the points by `MOVES`."""
    network = KeypointTracking(TINY, FRAMES)
    passes_the_picture(network)
    with torch.no_grad():
        network.tr.mixer.head.bias.copy_(torch.from_numpy(MOVES.ravel()))
    return network


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """With seeded weights."""
    out = tmp_path_factory.mktemp("points") / "bundle"
    return export_bundle(recipe_of(lambda: KeypointTracking(TINY, FRAMES)), out, split_ops=True)


@pytest.fixture(scope="module")
def known_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """With known points."""
    return export_bundle(recipe_of(known), tmp_path_factory.mktemp("known") / "bundle")


@pytest.fixture(scope="module")
def server(
    known_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("served") / "models"
    with TritonServer(write_repository([known_bundle], folder)) as running:
        yield running


def places(count: int) -> list[tuple[float, float]]:
    return [(14.3 + 0.7 * t, 15.6 - 0.4 * t) for t in range(count)]


def test_planted_points_come_back_through_the_server(server: TritonServer) -> None:
    frames = blobs(places(2 * FRAMES + 1), SIZE)
    with Client(server.url) as client, client.stream("keypoint_tracking") as stream:
        results = [stream.push(frame) for frame in frames]
    ran = [result for result in results if result.outputs]
    assert [result.current for result in ran] == [FRAMES - 1, 2 * FRAMES - 1]
    assert "its 5 frames" in results[0].absent["points"]
    assert f"moves on by {FRAMES} frames" in results[-1].absent["points"]
    for result in ran:
        window = slice(result.current - FRAMES + 1, result.current + 1)
        planted = np.array(places(2 * FRAMES))[window, None] + STEPS
        static = result.outputs["static_points"].values[0]
        np.testing.assert_allclose(static, planted, atol=0.02)
        reference = int(result.outputs["reference_frame"].values[0])
        moved = np.tile(REFINEMENTS * MOVES, (FRAMES, 1, 1))
        moved[reference] = 0
        tracks = result.outputs["tracks"]
        np.testing.assert_allclose(tracks.values[0], planted + moved, atol=0.02)
        np.testing.assert_allclose(result.points, tracks.values[0, -1], atol=1e-5)
        assert tracks.names == BORDERS
        assert tracks.unit == "px"


def test_everything_that_names_the_model_says_untrained(
    server: TritonServer, known_bundle: Bundle
) -> None:
    with Client(server.url) as client:
        require_said(client, known_bundle)


def test_the_stream_command_writes_curves_and_says_what_it_did(
    server: TritonServer, write_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    count = FRAMES + 2
    clip = write_dicom(blobs(places(count), SIZE).astype(np.uint8), PixelSpacing=[0.5, 0.5])
    out = tmp_path / "out"
    arguments = ["stream", clip, "--url", server.url, "--model", "keypoint_tracking", "--out", out]
    done = CliRunner().invoke(_app(), list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "parasternal long axis" in text
    assert f"The last frame was sent {FRAMES - 2} times more" in text
    assert "Untrained weights: outputs are meaningless" in text
    with (out / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(count))
    lengths = np.linalg.norm(np.diff(STEPS, axis=0), axis=1) / 2
    moved = np.linalg.norm(np.diff(STEPS + REFINEMENTS * MOVES, axis=0), axis=1) / 2
    for row in rows:
        found = [float(row[f"{name} [mm]"]) for name in ("IVS", "LVID", "LVPW")]
        assert np.allclose(found, lengths, atol=0.03) or np.allclose(found, moved, atol=0.03)
    page = (out / "report.html").read_text()
    for word in ("LVID [mm]", "septum outer", "parasternal long axis", "(untrained)"):
        assert word in page
    with np.load(out / "result.npz") as arrays:
        assert arrays["tracks"].shape == (2, 1, FRAMES, 4, 2)
        assert json.loads(str(arrays["about"]))["frames"] == count


def test_points_of_a_larger_clip_are_mapped_back(
    server: TritonServer, write_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    """It is resized to what the model takes: one of its pixels is two of the clip's."""
    height, width = SIZE
    large = [(2 * x + 0.5, 2 * y + 0.5) for x, y in places(FRAMES)]
    frames = blobs(large, (2 * height, 2 * width), spread=12.0).astype(np.uint8)
    clip, out = write_dicom(frames, PixelSpacing=[0.5, 0.5]), tmp_path / "out"
    arguments = ["stream", clip, "--url", server.url, "--model", "keypoint_tracking", "--out", out]
    done = CliRunner().invoke(_app(), list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    lengths = np.linalg.norm(np.diff(STEPS, axis=0), axis=1)
    moved = np.linalg.norm(np.diff(STEPS + REFINEMENTS * MOVES, axis=0), axis=1)
    with (out / "curves.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            found = [float(row[f"{name} [mm]"]) for name in ("IVS", "LVID", "LVPW")]
            assert np.allclose(found, lengths, atol=0.1) or np.allclose(found, moved, atol=0.1)


def test_a_frame_of_another_size_is_refused_and_the_stream_goes_on(server: TritonServer) -> None:
    with Client(server.url) as client, client.stream("keypoint_tracking") as stream:
        with pytest.raises(FrameRejected, match=r"a height of 32.*got 33") as refused:
            stream.push(np.zeros((33, 40), np.uint8))
        assert "fit_to" in refused.value.remedy
        assert stream.push(np.zeros(SIZE, np.uint8)).current == 0


def test_a_clip_shorter_than_the_window_is_filled(
    server: TritonServer, write_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    clip = write_dicom(blobs(places(3), SIZE).astype(np.uint8), PixelSpacing=[0.5, 0.5])
    out = tmp_path / "out"
    arguments = ["stream", clip, "--url", server.url, "--model", "keypoint_tracking", "--out", out]
    done = CliRunner().invoke(_app(), list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert f"sent {FRAMES - 3} times more" in " ".join(done.output.split())
    rows = (out / "curves.csv").read_text().splitlines()
    assert len(rows) == 1 + 3
    assert all(not row.endswith(",") for row in rows)


def test_every_runtime_is_within_tolerance_with_and_without_the_library(bundle: Bundle) -> None:
    rows = bundle.manifest["parity"]
    assert {row["runtime"] for row in rows} >= {"onnxruntime", "onnxruntime-segments"}
    assert {row["output"] for row in rows} == {one.name for one in bundle.spec.outputs}
    assert all(row["passed"] for row in rows)
    assert all(row["spread"] > 1 for row in rows if row["unit"] == "px"), "points are alive"
    operators = bundle.manifest["operators"]
    assert operators["cineflow::PatchCorrelation"] == 5 * REFINEMENTS
    assert check_file(bundle.onnx_path) == []


@needs_rtx
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_rtx_builds_for_three_generations(
    bundle: Bundle, precision: str, tmp_path: Path
) -> None:
    made = bundle
    if precision == "fp16":
        recipe = recipe_of(lambda: KeypointTracking(TINY, FRAMES))
        made = export_bundle(recipe, tmp_path / "half", precision="fp16")
    store = EngineStore(tmp_path / "engines")
    built = build_engines(made, "tensorrt-rtx", [86, 89, 120], store=store)
    assert len(built) == 3
    assert all(not engine.fault for engine, _ in built)


def test_the_built_in_size_exports(tmp_path: Path) -> None:
    made = export_bundle("keypoint_tracking", tmp_path / "bundle")
    assert made.spec.inputs[0].shape == (1, 24, 1, 128, 128)
    assert all(row["passed"] for row in made.manifest["parity"])


def test_paper_exports_with_a_public_hrnet_and_stays_untrained(tmp_path: Path) -> None:
    """All of its layers, on the tests' frames: at full size a window is 3009 G multiply-adds."""
    public = KeypointTracking(PAPER, FRAMES, seed=3).sk.state_dict()
    public["conv1.weight"] = public["conv1.weight"].expand(-1, 3, -1, -1) / 3
    public["final_layer.weight"] = torch.zeros(17, 32, 1, 1)
    public["final_layer.bias"] = torch.zeros(17)
    torch.save(public, tmp_path / "hrnet.pth")
    built_in = load_recipe("keypoint_tracking", "paper")
    recipe = replace(
        recipe_of(lambda: KeypointTracking(PAPER, FRAMES)),
        own_keys=built_in.own_keys,
        may_lack=built_in.may_lack,
    )
    bundle = export_bundle(recipe, tmp_path / "bundle", weights=tmp_path / "hrnet.pth")
    rows = bundle.manifest["parity"]
    assert {row["kernels"].split()[0] for row in rows} == {"bodies", "cineflow"}
    assert all(row["passed"] for row in rows)
    said = bundle.spec.weights.describe()
    assert said.startswith("seed 0 for tr, sk.final_layer; hrnet.pth (SHA-256 "), said
    assert said.endswith("for the rest (untrained)")
    assert bundle.spec.weights.seeded
