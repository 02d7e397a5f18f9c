"""System D through export, the real server and the client."""

from __future__ import annotations

import importlib.util
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
from cineflow.export.engines.build import build_engines
from cineflow.export.recipe import load_recipe
from cineflow.models.pairwise_motion import (
    SMALL,
    WINDOW,
    PairwiseMotion,
    PairwiseMotionWindow,
    RefineSeries,
)
from cineflow.motion.compose import compose_all
from cineflow.runtime import Bundle
from cineflow.runtime.store import EngineStore
from cineflow.serving import TritonServer
from cineflow_client import Client
from tests.export.refusals import require_refused
from tests.export.smaller import up_to
from tests.export.untrained import require_said
from tests.models.streams import as_input, cine_mr, run_through
from tests.models.test_pairwise_motion import constant, window_of

HEIGHT, WIDTH = 32, 48
SIZES = {"height": HEIGHT, "width": WIDTH}

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_bundle("pairwise_motion", tmp_path_factory.mktemp("pair") / "b", sizes=SIZES)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The variant with a reference frame, its motion head set to (3, -2) px."""
    recipe = load_recipe("pairwise_motion_reference")
    recipe = replace(
        recipe,
        spec=replace(recipe.spec, name="probe_pairs"),
        build=lambda: constant(PairwiseMotion(pairing="reference")),
    )
    return export_bundle(recipe, tmp_path_factory.mktemp("probe") / "b", sizes=SIZES)


@pytest.fixture(scope="module")
def client(
    bundle: Bundle, probe: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    repository = write_repository([bundle, probe], tmp_path_factory.mktemp("served") / "models")
    with TritonServer(repository) as server, Client(server.url) as connection:
        yield connection


def test_onnx_runtime_is_within_tolerance(bundle: Bundle) -> None:
    rows = bundle.manifest["parity"]
    assert {row["output"] for row in rows} >= {"flow", "features1_out", "hidden5_out"}
    assert all(row["worst"] <= row["tolerance"] for row in rows)


def test_the_graph_has_every_convolution_once(bundle: Bundle) -> None:
    """Two passes of the encoder for one frame would show as 13 more.

    Each scale has two halves of each of its three convolutions, and one in place of `join` and
    `mix`.
    """
    graph = onnx.load(bundle.onnx_path).graph
    counts = Counter(node.op_type for node in graph.node)
    assert counts["Conv"] == 13 + 5 * 2 * 3 + 5 + 1
    weights = {one.name for one in graph.initializer}
    assert all(node.input[1] in weights for node in graph.node if node.op_type == "Conv")


def require_stream_is_clip(client: Client, model: str, bundle: Bundle) -> None:
    """A served stream gives what the network gives in torch, and composes it."""
    frames = cine_mr(HEIGHT, WIDTH)
    wanted = [
        one[0][0].numpy() for one in run_through(PairwiseMotion().eval(), bundle.spec, frames)
    ]
    with client.stream(model) as stream:
        found = [stream.push(frame) for frame in frames]
    for result, flow in zip(found, wanted, strict=True):
        np.testing.assert_allclose(result.flow, flow, atol=2e-3)
    assert not found[0].flow.any(), "nothing moved yet"
    assert np.abs(wanted[2]).max() > 0.5
    # Composed by warping. The sum of the fields is another displacement.
    composed = compose_all(wanted[1:])[-1]
    np.testing.assert_allclose(found[2].displacement, composed, atol=5e-3)
    assert np.abs(wanted[1] + wanted[2] - composed).max() > 0.05


def test_a_served_stream_is_the_clip_in_torch(client: Client, bundle: Bundle) -> None:
    require_stream_is_clip(client, "pairwise_motion", bundle)


class Crossed(PairwiseMotion):
    """Takes two of its states for each other, as a server would that pairs them wrongly."""

    def forward(
        self,
        current,
        begun,
        features1,
        features2,
        features3,
        features4,
        features5,
        hidden1,
        hidden2,
        hidden3,
        hidden4,
        hidden5,
    ):
        features = (hidden1, features2, features3, features4, features5)
        hidden = (features1, hidden2, hidden3, hidden4, hidden5)
        return super().forward(current, begun, *features, *hidden)


@pytest.mark.slow
def test_crossed_states_are_seen_through_the_server(bundle: Bundle, tmp_path: Path) -> None:
    """Both have one shape, so only their values tell: the test above fails on such a model."""
    recipe = load_recipe("pairwise_motion")
    recipe = replace(recipe, spec=replace(recipe.spec, name="crossed"), build=Crossed)
    made = export_bundle(recipe, tmp_path / "b", sizes=SIZES)
    with (
        TritonServer(write_repository([made], tmp_path / "models")) as server,
        Client(server.url) as connection,
        pytest.raises(AssertionError, match="Not equal to tolerance"),
    ):
        require_stream_is_clip(connection, "crossed", bundle)


def test_the_client_gets_the_planted_motion_and_a_beat_renews_the_reference(
    client: Client,
) -> None:
    frames = cine_mr(HEIGHT, WIDTH)
    with client.stream("probe_pairs", readings=("strain",)) as stream:
        results = [stream.push(frame, beat=k == 2) for k, frame in enumerate([*frames, frames[0]])]
    assert [result.reference for result in results] == [0, 0, 2, 2]
    for result in (results[0], results[2]):
        assert not result.displacement.any(), "a reference has not moved from itself"
    for result in (results[1], results[3]):
        assert (result.displacement[0] == 3.0).all()
        assert (result.displacement[1] == -2.0).all()
        assert np.abs(result.strain).max() < 1e-6


@pytest.mark.slow
def test_the_client_gets_the_planted_flow_at_every_size(tmp_path: Path) -> None:
    recipe = load_recipe("pairwise_motion")
    spec = replace(up_to(recipe.spec, 64), name="probe_flow")
    recipe = replace(recipe, spec=spec, build=lambda: constant(PairwiseMotion()))
    repository = write_repository([export_bundle(recipe, tmp_path / "b")], tmp_path / "models")
    with TritonServer(repository) as server, Client(server.url) as connection:
        for size in ((32, 48), (48, 32), (50, 45)):
            with connection.stream("probe_flow") as stream:
                _, result = (stream.push(frame) for frame in cine_mr(*size)[:2])
            assert result.flow.shape == (2, *size), "padded, and cropped back"
            assert (result.flow[0] == 3.0).all()
            assert (result.flow[1] == -2.0).all()


def test_frames_that_do_not_fit_are_refused_and_the_stream_goes_on(client: Client) -> None:
    first, second, _ = cine_mr(HEIGHT, WIDTH)
    with client.stream("pairwise_motion") as stream:

        def refused(frame: np.ndarray, said: str, advice: str) -> None:
            require_refused(lambda: stream.push(frame), said, advice)

        refused(cine_mr(HEIGHT, 64)[0], r"a width of 48.*got 64", "fit_to")
        stream.push(first)
        refused(cine_mr(HEIGHT, 64)[0], r"32x48.*got 32x64", "open a new one")
        refused(np.stack([second] * 3, axis=-1), r"a grey frame \[H, W\]", "Convert colour")
        refused(np.where(second > 90, np.nan, second).astype(np.float32), "finite", "nan_to_num")
        assert stream.push(second).flow.any()


def test_everything_that_names_the_model_says_untrained(client: Client, bundle: Bundle) -> None:
    require_said(client, bundle)


def test_the_stream_command_says_untrained_and_shows_the_motion(
    client: Client, write_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    clip = write_dicom(cine_mr(HEIGHT, WIDTH), PixelSpacing=[0.5, 0.5])
    out = tmp_path / "out"
    arguments = ["stream", clip, "--url", client.url, "--model", "pairwise_motion", "--out", out]
    done = CliRunner().invoke(_app(), list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    page = (out / "report.html").read_text()
    for words in (
        "Untrained weights: outputs are meaningless", "is for one view: cine-MR",
        "displacement since the reference frame", "data:image/jpeg",
    ):  # fmt: skip
        assert words in page, words


# --- the transformer and the second stage ---------------------------------------------------------


def planted_window() -> torch.nn.Module:
    """Motion of (3, -2) px in every frame."""
    return constant(PairwiseMotionWindow())


def planted_refine() -> torch.nn.Module:
    """A correction of (0.5, -0.25) px everywhere."""
    network = RefineSeries()
    with torch.no_grad():
        network.correction.weight.zero_()
        assert network.correction.bias is not None
        network.correction.bias[:] = torch.tensor([0.5, -0.25])
    return network


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("others")
    names = ("pairwise_motion_window", "pairwise_motion_refine")
    bundles = [export_bundle(name, folder / name, sizes=SIZES) for name in names]
    probes = {"window": planted_window, "refine": planted_refine}
    for name, build in probes.items():
        recipe = load_recipe(f"pairwise_motion_{name}")
        recipe = replace(recipe, spec=replace(recipe.spec, name=f"probe_{name}"), build=build)
        bundles.append(export_bundle(recipe, folder / f"probe_{name}", sizes=SIZES))
    with (
        TritonServer(write_repository(bundles, folder / "models")) as server,
        Client(server.url) as connection,
    ):
        yield connection


@pytest.mark.slow
def test_a_served_window_is_the_window_in_torch(others: Client) -> None:
    frames = cine_mr(HEIGHT, WIDTH, 2 * WINDOW, 2)
    network = PairwiseMotionWindow().eval()
    with others.stream("pairwise_motion_window") as stream:
        results = [stream.push(frame) for frame in frames]
    ran = [result for result in results if result.outputs]
    assert [result.current for result in ran] == [WINDOW - 1, 2 * WINDOW - 1]
    assert f"1 of its {WINDOW} frames" in results[0].absent["fields"]
    for result, window in zip(ran, (frames[:WINDOW], frames[WINDOW:]), strict=True):
        with torch.inference_mode():
            wanted = network(as_input(frames[0]), window_of(window)).numpy()
        np.testing.assert_allclose(result.outputs["fields"].values, wanted, atol=5e-3)
        np.testing.assert_allclose(result.displacement, wanted[0, -1], atol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("count", [4, 9])
def test_the_second_stage_is_a_call_on_a_series_of_any_length(others: Client, count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    fields = 3.0 * torch.randn(count, 2, HEIGHT, WIDTH, generator=generator)
    corrected = others.call("pairwise_motion_refine", fields=fields.numpy())["corrected"]
    with torch.inference_mode():
        wanted = RefineSeries(SMALL).eval()(fields).numpy()
    np.testing.assert_allclose(corrected.values, wanted, atol=2e-3)
    assert corrected.unit == "px"


@pytest.mark.slow
def test_series_that_do_not_fit_are_refused(others: Client) -> None:
    for shape, said in (
        ((1, 2, HEIGHT, WIDTH), "time 2..64"),
        ((65, 2, HEIGHT, WIDTH), "time 2..64"),
        ((4, 3, HEIGHT, WIDTH), r"got float32 \[4, 3, 32, 48\]"),
        ((4, 2, HEIGHT, 64), r"got float32 \[4, 2, 32, 64\]"),
    ):
        fields = np.zeros(shape, np.float32)

        def call(fields: np.ndarray = fields) -> object:
            return others.call("pairwise_motion_refine", fields=fields)

        require_refused(call, said, "axes in this order")


@pytest.mark.slow
def test_the_client_gets_the_planted_fields_and_correction(others: Client) -> None:
    with others.stream("probe_window") as stream:
        *_, result = (stream.push(frame) for frame in cine_mr(HEIGHT, WIDTH, WINDOW, 2))
    fields = result.outputs["fields"].values
    assert fields.shape == (1, WINDOW, 2, HEIGHT, WIDTH)
    assert (fields[:, :, 0] == 3.0).all()
    assert (fields[:, :, 1] == -2.0).all()
    series = np.random.default_rng(0).normal(0, 3, (4, 2, HEIGHT, WIDTH)).astype(np.float32)
    corrected = others.call("probe_refine", fields=series)["corrected"].values
    np.testing.assert_allclose(corrected[:, 0] - series[:, 0], 0.5, atol=1e-5)
    np.testing.assert_allclose(corrected[:, 1] - series[:, 1], -0.25, atol=1e-5)


@needs_rtx
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("stem", ["", "_reference", "_window", "_refine"])
def test_tensorrt_rtx_builds_for_three_generations(
    tmp_path: Path, stem: str, precision: str
) -> None:
    found = export_bundle(
        f"pairwise_motion{stem}", tmp_path / "b", sizes=SIZES, precision=precision
    )
    built = build_engines(
        found, "tensorrt-rtx", [86, 89, 120], store=EngineStore(tmp_path / "engines")
    )
    assert len(built) == 3
    assert all(not engine.fault for engine, _ in built)
