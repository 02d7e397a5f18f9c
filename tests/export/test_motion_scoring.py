"""System C through export, the real server, the client and `cineflow call`."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.export import export_bundle, write_repository
from cineflow.export.check import check_file
from cineflow.export.engines.build import build_engines
from cineflow.export.recipe import Recipe
from cineflow.export.recipes.motion_scoring import example_study, spec_of
from cineflow.models.motion_scoring import SMALL, MotionScoring
from cineflow.motion.aha import NAMES
from cineflow.runtime import Bundle
from cineflow.runtime.store import EngineStore
from cineflow.serving import TritonServer
from cineflow_client import Client, UntrainedWeights
from cineflow_client.errors import FrameRejected
from tests.models.known_scores import AKINETIC, MOTION, TINY, planted, sees_brightness

# Tracing the network takes about half a minute of a core, in every size.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

FRAMES = 8
SIZES = {"frames": FRAMES, "height": 96, "width": 104}

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed"
)


def recipe_of(name: str, build: Callable[[], torch.nn.Module]) -> Recipe:
    """The recipe with few polar samples; every part of the built-in ones is in it."""
    return Recipe(replace(spec_of(), name=name), build, example_study)


def seeded() -> MotionScoring:
    return MotionScoring(SMALL, TINY)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """With seeded weights, and its sizes left open."""
    out = tmp_path_factory.mktemp("scores") / "bundle"
    return export_bundle(recipe_of("motion_scoring", seeded), out)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """With known scores."""
    recipe = recipe_of("probe_scoring", lambda: sees_brightness(seeded()))
    return export_bundle(recipe, tmp_path_factory.mktemp("probe") / "bundle", sizes=SIZES)


@pytest.fixture(scope="module")
def server(
    bundle: Bundle, probe: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    repository = write_repository([bundle, probe], tmp_path_factory.mktemp("served") / "models")
    with TritonServer(repository) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.url, timeout_s=60) as connection:
        yield connection


def arrays_of(cines: torch.Tensor, landmarks: torch.Tensor) -> dict[str, np.ndarray]:
    return {"cines": cines.numpy(), "landmarks": landmarks.numpy()}


def akinetic(client: Client, arrays: dict[str, np.ndarray]) -> list[int]:
    """The segments that the server calls akinetic; all others must be normal."""
    outputs = client.call("probe_scoring", **arrays)
    scores = outputs["segment_scores"].values[0]
    assert set(scores) <= {1, AKINETIC + 1}
    np.testing.assert_array_equal(outputs["abnormal"].values[0], scores > 1)
    np.testing.assert_allclose(outputs["motion_score_index"].values, scores.mean())
    return (np.flatnonzero(scores == AKINETIC + 1) + 1).tolist()


@pytest.mark.parametrize(("anterior_deg", "mirrored"), [(-90, False), (35, False), (200, True)])
def test_a_planted_sector_is_scored_in_its_segment(
    client: Client, anterior_deg: float, mirrored: bool
) -> None:
    """All 16, of which 1, 7 and 13 straddle the seam of the ring."""
    for segment in range(1, 17):
        study = planted(segment, anterior_deg=anterior_deg, mirrored=mirrored)
        assert akinetic(client, arrays_of(*study)) == [segment]


def test_swapped_inputs_give_another_segment(client: Client) -> None:
    arrays = arrays_of(*planted(3))
    assert akinetic(client, arrays) == [3]
    slices = np.ascontiguousarray(arrays["cines"][:, [1, 0, 2]])
    assert akinetic(client, arrays | {"cines": slices}) == [9], "basal and mid"
    junctions = np.ascontiguousarray(arrays["landmarks"][:, :, [1, 0, 2]])
    assert akinetic(client, arrays | {"landmarks": junctions}) == [2], "anterior and inferior"
    upside_down = arrays["landmarks"][..., ::-1].copy()
    assert akinetic(client, arrays | {"landmarks": upside_down}) != [3], "x and y"


def test_the_client_gets_the_planted_motion_at_every_segment(client: Client) -> None:
    motion = client.call("probe_scoring", **arrays_of(*planted(5)))["segment_motion"]
    assert motion.values.shape == (1, 16, FRAMES, 2)
    np.testing.assert_allclose(motion.values, np.broadcast_to(MOTION, motion.values.shape))
    assert motion.unit == "polar samples"
    assert motion.places == NAMES[:16]


def test_an_apex_turned_by_a_quarter_is_scored_one_segment_on(client: Client) -> None:
    """With seeded weights, all of whose parts are at work: crop, ring, flow, attention, scores."""
    study = arrays_of(*example_study({"frames": FRAMES, "height": 96, "width": 104}, 0).values())
    landmarks = study["landmarks"].copy()
    landmarks[0, 2] = landmarks[0, 2, 2] + [[-20, -12], [-20, 12], [0, 0]]
    turned = landmarks.copy()
    turned[0, 2, :2] = landmarks[0, 2, 2] + [[12, -20], [-12, -20]]  # clockwise
    usual = client.call("motion_scoring", **study | {"landmarks": landmarks})
    moved = client.call("motion_scoring", **study | {"landmarks": turned})
    for name in ("probabilities", "segment_motion"):
        one, other = usual[name].values[0], moved[name].values[0]
        np.testing.assert_allclose(other[:12], one[:12], atol=1e-4)
        # The septum is now where the anterior wall was: a segment shows what the one before it did.
        np.testing.assert_allclose(other[12:], np.roll(one[12:], 1, axis=0), atol=2e-3)
        assert np.abs(one[12:] - np.roll(one[12:], 1, axis=0)).max() > 0.02, "segments differ"


def test_a_served_call_is_the_network_in_torch(client: Client, bundle: Bundle) -> None:
    study = example_study({"frames": 11, "height": 70, "width": 93}, 3)
    with torch.inference_mode():
        wanted = seeded().eval()(*study.values())
    found = client.call("motion_scoring", **arrays_of(*study.values()))
    for tensor, values in zip(bundle.spec.outputs, wanted, strict=True):
        np.testing.assert_allclose(found[tensor.name].values, values, atol=1e-3)


def test_bad_studies_are_refused_in_words(client: Client) -> None:
    arrays = arrays_of(*planted(1))
    outside, nowhere = arrays["landmarks"].copy(), arrays["landmarks"].copy()
    outside[0, 2, 1] = (300, 12)
    nowhere[0, 0, 0] = np.nan
    same = arrays["landmarks"].copy()
    same[0, 1, 1] = same[0, 1, 2]
    short = np.ascontiguousarray(arrays["cines"][:, :, :5])
    for change, said in (
        ({"landmarks": outside}, r"landmarks\[0, 2, 1\] at \(300, 12\), outside the 96 x 104"),
        ({"landmarks": nowhere}, "finite"),
        ({"landmarks": same}, r"points 1 and 2 of landmarks\[0, 1\] less than a pixel apart"),
        ({"cines": short}, "frames 8..40"),
    ):
        with pytest.raises(FrameRejected, match=said) as refused:
            client.call("motion_scoring", **arrays | change)
        assert refused.value.remedy
    with pytest.raises(FrameRejected, match="landmarks") as refused:
        client.call("motion_scoring", cines=arrays["cines"])
    assert refused.value.remedy


def test_the_call_command_writes_a_bulls_eye_and_says_untrained(
    server: TritonServer, tmp_path: Path
) -> None:
    study, page = tmp_path / "study.npz", tmp_path / "report.html"
    np.savez(study, **arrays_of(*planted(8)))
    out = tmp_path / "scores.npz"
    arguments = ["call", "probe_scoring", "--url", server.url, "--input", study, "--out", out]
    done = CliRunner().invoke(_app(), list(map(str, [*arguments, "--report", page])))
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    untrained = "Untrained weights: outputs are meaningless"
    for words in ("mid anteroseptal", "motion_score_index 1.125", untrained, "short-axis"):
        assert words in text, text
    html = page.read_text()
    for words in (
        untrained, "Bull's eye of probabilities",
        "1 normal, 2 hypokinetic, 3 akinetic, 4 dyskinetic", "Research use, not for diagnosis",
    ):  # fmt: skip
        assert words in html, words
    assert html.count("data:image/png") == 2 + 3, "scores, abnormal; three slices with landmarks"
    with np.load(out) as arrays:
        about = json.loads(str(arrays["about"]))
        assert arrays["segment_scores"][0, 7] == AKINETIC + 1
    assert about["weights"] == "seed 0 (untrained)"
    assert about["arrays"]["probabilities"]["places"][7] == "mid anteroseptal"


def test_everything_that_names_the_model_says_untrained(
    server: TritonServer, bundle: Bundle
) -> None:
    assert bundle.spec.weights.describe() == "seed 0 (untrained)"
    with Client(server.url) as client:
        info = client.model("motion_scoring")
        assert info.spec["weights"] == {
            "source": "seed 0", "licence": "Apache-2.0", "trained": False,
        }  # fmt: skip
        assert info.untrained
        study = arrays_of(*planted(1))
        with pytest.warns(UntrainedWeights, match="outputs are meaningless"):
            client.call("probe_scoring", **study)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UntrainedWeights)
            client.call("probe_scoring", **study)


def test_every_runtime_is_within_tolerance_with_and_without_the_library(bundle: Bundle) -> None:
    rows = bundle.manifest["parity"]
    assert {row["kernels"].split()[0] for row in rows} == {"bodies", "cineflow"}
    assert {row["output"] for row in rows} == {one.name for one in bundle.spec.outputs}
    assert len({tuple(row["sizes"].values()) for row in rows}) == 3, "sizes are free"
    assert all(row["passed"] for row in rows)
    assert all(row["spread"] > 0.05 for row in rows if row["output"] == "probabilities")
    assert check_file(bundle.onnx_path) == []


def test_the_graph_has_every_convolution_once(bundle: Bundle) -> None:
    """Two passes of the encoder for one frame would show as eight more."""
    counts = Counter(node.op_type for node in onnx.load(bundle.onnx_path).graph.node)
    modules = [one for one in seeded().modules() if isinstance(one, torch.nn.Conv2d)]
    assert counts["Conv"] == len(modules) == 2 * 4 + 2 * 3 + 3 + 2 * 4 + 3 * 3 + 4
    assert counts["PolarResample"] == 1


@needs_rtx
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_rtx_builds_for_three_generations(
    bundle: Bundle, precision: str, tmp_path: Path
) -> None:
    store = EngineStore(tmp_path / "engines")
    built = build_engines(bundle, "tensorrt-rtx", [86, 89, 120], precision=precision, store=store)
    assert len(built) == 3
    assert all(not engine.fault for engine, _ in built)


@pytest.mark.parametrize(("variant", "frames"), [("small", 25), ("paper", 8)])
def test_the_built_in_sizes_export(variant: str, frames: int, tmp_path: Path) -> None:
    """Of `paper` the shortest study: 25 frames are three times the work."""
    sizes = {"frames": frames, "height": 160, "width": 160}
    made = export_bundle("motion_scoring", tmp_path / "bundle", variant=variant, sizes=sizes)
    rows = made.manifest["parity"]
    assert {row["kernels"].split()[0] for row in rows} == {"bodies", "cineflow"}
    assert all(row["passed"] for row in rows)
