"""System A through export, the real server, the client and `cineflow stream`."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections import Counter
from collections.abc import Iterator
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
from cineflow.models.flow4d import LAYERS, UPDATES, WINDOW, Flow4d, Flow4dWindow
from cineflow.runtime import Bundle
from cineflow.runtime.store import EngineStore
from cineflow.serving import TritonServer
from cineflow_client import Client
from tests.export.refusals import require_refused
from tests.export.smaller import up_to
from tests.models.test_flow4d import SHIFT, SIZE, beating, constant, moved, run_clip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # each export takes ten seconds of CPU

SIZES = dict(zip(("depth", "height", "width"), SIZE, strict=True))

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed"
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_bundle("flow4d", tmp_path_factory.mktemp("flow4d") / "b", sizes=SIZES)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_bundle("flow4d_window", tmp_path_factory.mktemp("window") / "b", sizes=SIZES)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """For every size, with its field layer set to `SHIFT`."""
    recipe = load_recipe("flow4d")
    spec = replace(up_to(recipe.spec, 40), name="probe_volumes")
    recipe = replace(recipe, spec=spec, build=lambda: constant(Flow4d()))
    return export_bundle(recipe, tmp_path_factory.mktemp("probe") / "b")


class Crossed(Flow4d):
    """Takes each of its states for the other, as a server would that pairs them wrongly."""

    def forward(self, reference, current, before1, before2):
        return super().forward(reference, current, before2, before1)


class CrossedWindow(Flow4dWindow):
    """The same for windows."""

    def forward(self, reference, volumes, before1, before2):
        return super().forward(reference, volumes, before2, before1)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The window with a planted field, and both forms with crossed states, by other names."""
    folder = tmp_path_factory.mktemp("others")
    bundles = []
    for name, source, build in (
        ("probe_window", "flow4d_window", lambda: constant(Flow4dWindow())),
        ("crossed_volumes", "flow4d", Crossed),
        ("crossed_window", "flow4d_window", CrossedWindow),
    ):
        recipe = load_recipe(source)
        recipe = replace(recipe, spec=replace(recipe.spec, name=name), build=build)
        bundles.append(export_bundle(recipe, folder / name, sizes=SIZES))
    with (
        TritonServer(write_repository(bundles, folder / "models")) as running,
        Client(running.url) as connection,
    ):
        yield connection


@pytest.fixture(scope="module")
def server(
    bundle: Bundle, window: Bundle, probe: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    folder = tmp_path_factory.mktemp("served") / "models"
    with TritonServer(write_repository([bundle, window, probe], folder)) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.url) as connection:
        yield connection


def clip(count: int) -> np.ndarray:
    """Volumes as they are pushed, uint8 [count, *SIZE]."""
    return beating(SIZE, count)[:, 0].numpy().astype(np.uint8)


# --- the graph ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bundle", "window", "probe"])
def test_onnx_runtime_is_within_tolerance_with_our_library_and_without(
    name: str, request: pytest.FixtureRequest
) -> None:
    found: Bundle = request.getfixturevalue(name)
    rows = found.manifest["parity"]
    assert {row["kernels"].split()[0] for row in rows} == {"bodies", "cineflow"}
    for row in rows:
        assert row["worst"] <= row["tolerance"], row
        assert name == "probe" or row["tolerance"] < row["spread"], row


@pytest.mark.parametrize("name", ["bundle", "window"])
def test_every_update_has_one_warp_and_runs_each_layer_once(
    name: str, request: pytest.FixtureRequest
) -> None:
    """A window of four volumes has as many nodes as one volume: they run as one batch."""
    found: Bundle = request.getfixturevalue(name)
    counts = Counter(node.op_type for node in onnx.load(found.onnx_path).graph.node)
    assert counts["Conv"] == sum(UPDATES) * (LAYERS + 1)  # and the gradient
    assert counts["Warp"] == sum(UPDATES) + 1  # and the reconstruction term


# --- the served model -----------------------------------------------------------------------------


def require_stream_is_clip(client: Client, model: str) -> None:
    """Streaming and the clip-level result are the same, because the causal form never waits."""
    frames = clip(4)
    wanted = run_clip(Flow4d().eval(), torch.from_numpy(frames).float()[:, None], SIZE)
    with client.stream(model, readings=("strain",)) as stream:
        found = [stream.push(frame) for frame in frames]
    for k, (result, outputs) in enumerate(zip(found, wanted, strict=True)):
        assert (result.current, result.described, result.reference) == (k, k, 0)
        np.testing.assert_allclose(result.displacement, outputs[0][0], atol=2e-3)
        for name, value in zip(("reconstruction", "temporal"), outputs[1:3], strict=True):
            np.testing.assert_allclose(result.outputs[name].values, value, atol=2e-3)
        assert result.strain.shape == (6, *SIZE)
    assert found[0].outputs["reconstruction"].unit == "grey level"
    assert found[0].outputs["temporal"].unit == "px"


def test_a_served_stream_is_the_clip_in_torch(client: Client) -> None:
    require_stream_is_clip(client, "flow4d")


def test_a_beat_renews_the_reference_and_ends_the_memory(client: Client) -> None:
    frames = clip(4)
    after = run_clip(Flow4d().eval(), torch.from_numpy(frames[2:]).float()[:, None], SIZE)
    with client.stream("flow4d") as stream:
        found = [stream.push(frame, beat=k == 2) for k, frame in enumerate(frames)]
    assert [result.reference for result in found] == [0, 0, 2, 2]
    for result, outputs in zip(found[2:], after, strict=True):
        np.testing.assert_allclose(result.displacement, outputs[0][0], atol=2e-3)


def require_windows_go_on(client: Client, model: str) -> None:
    """A served window starts where the last one ended, as in torch."""
    frames = clip(2 * WINDOW)
    volumes = torch.from_numpy(frames).float()[:, None]
    wanted = run_clip(Flow4dWindow().eval(), volumes, SIZE, WINDOW)
    with client.stream(model) as stream:
        results = [stream.push(frame) for frame in frames]
    ran = [result for result in results if result.outputs]
    assert [result.current for result in ran] == [WINDOW - 1, 2 * WINDOW - 1]
    assert f"1 of its {WINDOW} frames" in results[0].absent["fields"]
    for result, (fields, rebuilt, uneven, *_) in zip(ran, wanted, strict=True):
        assert fields.shape == (1, WINDOW, 3, *SIZE)
        np.testing.assert_allclose(result.outputs["fields"].values, fields, atol=2e-3)
        np.testing.assert_allclose(result.displacement, fields[0, -1], atol=2e-3)
        np.testing.assert_allclose(result.outputs["reconstruction"].values, rebuilt, atol=2e-3)
        np.testing.assert_allclose(result.outputs["temporal"].values, uneven, atol=2e-3)


def test_served_windows_go_on_from_one_to_the_next(client: Client) -> None:
    require_windows_go_on(client, "flow4d_window")


def test_crossed_states_are_seen_through_the_server(others: Client) -> None:
    """Both have one shape, so only their values tell: the tests above fail on such a model."""
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        require_stream_is_clip(others, "crossed_volumes")
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        require_windows_go_on(others, "crossed_window")


@pytest.mark.parametrize("size", [SIZE, (40, 16, 24), (24, 24, 24)])
def test_the_client_gets_the_planted_field_at_every_size(
    client: Client, size: tuple[int, int, int]
) -> None:
    """The reconstruction term is zero only if x, y and z are the axes that they are called."""
    grain = np.random.default_rng(1).integers(0, 256, size).astype(np.uint8)
    with client.stream("probe_volumes", spacing_mm=(2.0, 1.0, 0.5)) as stream:
        results = [stream.push(moved(grain, [k * side for side in SHIFT])) for k in (1, 2, 1)]
    for result in results:
        assert result.displacement.shape == (3, *size)
        for component, wanted in zip(result.displacement, SHIFT, strict=True):
            assert (component == wanted).all()
    rebuilt = [float(result.outputs["reconstruction"].values[0]) for result in results]
    assert rebuilt[1] < 1e-3, "moved by the field since the reference, which is the first volume"
    assert min(rebuilt[0], rebuilt[2]) > 30.0
    length = float(np.linalg.norm(SHIFT))
    uneven = [float(result.outputs["temporal"].values[0]) for result in results]
    assert uneven == pytest.approx([length, length, 0.0], abs=1e-4)


def test_the_client_gets_the_planted_field_of_a_window(others: Client) -> None:
    """In every volume of two windows, which move as it says from the second volume on."""
    still = np.random.default_rng(1).integers(0, 256, SIZE).astype(np.uint8)
    shifted = moved(still, SHIFT)
    with others.stream("probe_window", spacing_mm=(2.0, 1.0, 0.5)) as stream:
        frames = [still, *[shifted] * (2 * WINDOW - 1)]
        ran = [result for result in map(stream.push, frames) if result.outputs]
    assert [result.current for result in ran] == [WINDOW - 1, 2 * WINDOW - 1]
    length = float(np.linalg.norm(SHIFT))
    for result, uneven in zip(ran, ([length, length, 0, 0], [0, 0, 0, 0]), strict=True):
        fields = result.outputs["fields"]
        assert fields.values.shape == (1, WINDOW, 3, *SIZE)
        assert fields.unit == "px"
        for component, wanted in enumerate(SHIFT):
            assert (fields.values[:, :, component] == wanted).all()
            assert (result.displacement[component] == wanted).all()
        rebuilt = result.outputs["reconstruction"].values[0]
        assert (rebuilt[1:] < 1e-3).all(), "moved by the field, along the axes that it names"
        np.testing.assert_allclose(result.outputs["temporal"].values[0], uneven, atol=1e-4)
    first, second = (result.outputs["reconstruction"].values[0, 0] for result in ran)
    assert first > 30.0 > 1e-3 > second, "the first volume of all has not moved"


# --- bad input ------------------------------------------------------------------------------------


def test_volumes_that_do_not_fit_are_refused_and_the_stream_goes_on(client: Client) -> None:
    first, second = clip(2)
    flat, large = np.zeros((12, 24, 32), np.uint8), np.zeros((16, 24, 48), np.uint8)
    turned = np.ascontiguousarray(second.transpose(0, 2, 1))
    with client.stream("probe_volumes") as stream:

        def refused(volume: np.ndarray, said: str, advice: str) -> None:
            require_refused(lambda: stream.push(volume), said, advice)

        refused(flat, r"a depth of 16\.\.40 by 8.*got 12", "cineflow.cine.padded")
        refused(large, r"a width of 16\.\.40 by 8.*got 48", "resample")
        stream.push(first)
        refused(turned, r"16x24x32.*16x32x24", "open a new one")
        refused(second[0], r"\[D, H, W\]", "one volume at a time")
        refused(second.astype(np.uint16), "uint8 or float32", "float32")
        assert stream.push(second).displacement.shape == (3, *SIZE)


def test_a_volume_between_two_sizes_is_padded_and_cropped_back(client: Client) -> None:
    size = (20, 17, 30)
    volume = np.random.default_rng(1).integers(0, 256, size).astype(np.uint8)
    with client.stream("probe_volumes") as stream:
        for _ in range(2):
            displacement = stream.push(volume).displacement
            assert displacement.shape == (3, *size)
            for component, wanted in zip(displacement, SHIFT, strict=True):
                assert (component == wanted).all()


def stream_file(
    server: TritonServer, model: str, frames: np.ndarray, folder: Path
) -> tuple[dict[str, np.ndarray], list[dict[str, str]], str, str]:
    """What `cineflow stream` writes: result.npz, scalars.csv, report.html; and what it prints."""
    folder.mkdir()
    np.savez(folder / "v.npz", frames=frames, times_ms=50.0 * np.arange(len(frames)))
    command = ["stream", folder / "v.npz", "--url", server.url, "--model", model, "--out"]
    done = CliRunner().invoke(_app(), [*map(str, command), str(folder / "out")])
    assert done.exit_code == 0, done.output
    with np.load(folder / "out" / "result.npz") as file:
        arrays = {name: file[name] for name in file.files}
    with (folder / "out" / "scalars.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    page = (folder / "out" / "report.html").read_text()
    return arrays, rows, page, " ".join(done.output.split())


def test_the_report_has_three_planes_of_volumes_that_were_padded(
    server: TritonServer, tmp_path: Path
) -> None:
    frames = clip(4)[:, :13, :20, :31]
    arrays, rows, page, text = stream_file(server, "flow4d", frames, tmp_path / "one")
    assert "13x20x31 were padded to 16x24x32" in text
    assert "Untrained weights: outputs are meaningless" in text
    padded = np.pad(frames, [(0, 0), (0, 3), (0, 4), (0, 1)])
    wanted = run_clip(Flow4d().eval(), torch.from_numpy(padded).float()[:, None], SIZE)
    np.testing.assert_allclose(arrays["displacement"][3], wanted[3][0][0], atol=2e-3)
    for name in ("reconstruction [grey level]", "temporal [px]"):
        assert [float(row[name]) for row in rows] == pytest.approx(
            [float(one[1 if "grey" in name else 2]) for one in wanted], abs=2e-3
        )
    assert "volumes of 13×20×31 voxels: xy, z = 6; zy, x = 15; xz, y = 10" in page
    for words in (
        "Untrained weights: outputs are meaningless",
        "seed 0 (untrained)",
        "Wall points",
    ):
        assert words in page
    about = json.loads(str(arrays["about"]))
    assert about["picture"]["source"] == [13, 20, 31]
    assert about["weights"] == "seed 0 (untrained)"


def test_a_clip_that_is_not_a_whole_number_of_windows(server: TritonServer, tmp_path: Path) -> None:
    """Its last volume is sent again until the window is full; that is said, and cut off again."""
    frames = clip(WINDOW + 1)
    arrays, rows, _, text = stream_file(server, "flow4d_window", frames, tmp_path / "one")
    assert f"sees {WINDOW} frames at once. The last frame was sent {WINDOW - 1} times more" in text
    assert len(rows) == WINDOW + 1
    filled = np.concatenate([frames, *[frames[-1:]] * (WINDOW - 1)])
    wanted = run_clip(
        Flow4dWindow().eval(), torch.from_numpy(filled).float()[:, None], SIZE, WINDOW
    )
    terms = torch.cat([one[1][0] for one in wanted])[: WINDOW + 1]
    found = [float(row["reconstruction [grey level]"]) for row in rows]
    assert found == pytest.approx(terms.tolist(), abs=2e-3)
    assert arrays["fields"].shape == (2, 1, WINDOW, 3, *SIZE)


def test_everything_that_names_the_model_says_untrained(client: Client, bundle: Bundle) -> None:
    assert bundle.manifest["spec"]["weights"]["trained"] is False
    assert bundle.spec.weights.describe() == "seed 0 (untrained)"
    for name in ("flow4d", "flow4d_window"):
        weights = client.model(name).spec["weights"]
        assert weights == {"source": "seed 0", "licence": "Apache-2.0", "trained": False}


# --- engines --------------------------------------------------------------------------------------


@needs_rtx
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", ["flow4d", "flow4d_window"])
def test_tensorrt_rtx_builds_for_three_generations(
    tmp_path: Path, name: str, precision: str
) -> None:
    found = export_bundle(name, tmp_path / "b", sizes=SIZES, precision=precision)
    built = build_engines(
        found, "tensorrt-rtx", [86, 89, 120], store=EngineStore(tmp_path / "engines")
    )
    assert len(built) == 3
    assert all(not engine.fault for engine, _ in built)
