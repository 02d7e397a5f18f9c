"""System B through export, the real server and the client."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.export import export_bundle, write_repository
from cineflow.export.engines.build import build_engines
from cineflow.export.recipe import load_recipe
from cineflow.models.joint_motion_seg import CLASSES, JointMotionSeg
from cineflow.runtime import Bundle
from cineflow.runtime.store import EngineStore
from cineflow.serving import TritonServer
from cineflow_client import Client
from tests.export.refusals import require_refused
from tests.export.smaller import up_to
from tests.export.untrained import require_said
from tests.models.streams import cine_mr, run_through
from tests.models.test_joint_motion_seg import constant

HEIGHT, WIDTH = 32, 48
SIZES = {"height": HEIGHT, "width": WIDTH}

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed"
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("seg") / "bundle"
    return export_bundle("joint_motion_seg", out, sizes=SIZES)


@pytest.fixture(scope="module")
def client(
    bundle: Bundle, probe: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    repository = write_repository([bundle, probe], tmp_path_factory.mktemp("served") / "models")
    with TritonServer(repository) as server, Client(server.url) as connection:
        yield connection


def probe_network() -> torch.nn.Module:
    """Motion of (3, -2) px everywhere, and one class: the myocardium."""
    network = constant(JointMotionSeg(), HEIGHT, WIDTH)
    with torch.no_grad():
        assert network.recurrence is not None
        network.recurrence.weight.zero_()
        network.conv8s.weight.zero_()
        assert network.conv8s.bias is not None
        network.conv8s.bias[:] = torch.tensor([0.0, 1.0, 3.0, 2.0])
    return network


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    recipe = load_recipe("joint_motion_seg")
    recipe = replace(recipe, spec=replace(recipe.spec, name="probe_seg"), build=probe_network)
    return export_bundle(recipe, tmp_path_factory.mktemp("probe") / "bundle", sizes=SIZES)


def test_sums_with_the_reference_are_part_of_the_convolutions(
    bundle: Bundle, tmp_path: Path
) -> None:
    """No ReLU is left alone, so the sum before it did not leave the layout of the convolutions."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(bundle.onnx_path), options, ["CPUExecutionProvider"])
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    if not any(node.domain == "com.microsoft.nchwc" for node in nodes):
        pytest.skip("on this processor ONNX Runtime has no other layout for convolutions")
    assert not [node.name for node in nodes if node.op_type == "Relu"]


def test_onnx_runtime_is_within_tolerance_with_our_library_and_without(bundle: Bundle) -> None:
    rows = bundle.manifest["parity"]
    assert {row["kernels"].split()[0] for row in rows} == {"bodies", "cineflow"}
    for row in rows:
        allowed = next(one for one in all_tensors(bundle) if one.name == stem(row["output"]))
        assert row["worst"] <= (allowed.tolerance or 0.0), row


def all_tensors(bundle: Bundle):
    return (*bundle.spec.outputs, *bundle.spec.states)


def stem(name: str) -> str:
    return name.removesuffix("_out")


def test_the_graph_has_every_convolution_once(bundle: Bundle) -> None:
    """Two passes of the encoder for one frame would show as 13 more.

    Both branches have one for each scale, then one for each scale in place of conv6 and conv7, then
    the last one. The motion branch has one of each frame's features at each scale.
    """
    graph = onnx.load(bundle.onnx_path).graph
    counts = Counter(node.op_type for node in graph.node)
    assert counts["Conv"] == 13 + (2 * 5 + 5 + 1) + (5 + 5 + 1) + 1
    assert counts["Warp"] == 1
    weights = {one.name for one in graph.initializer}
    assert all(node.input[1] in weights for node in graph.node if node.op_type == "Conv")


def test_a_served_stream_is_the_clip_in_torch(client: Client, bundle: Bundle) -> None:
    frames = cine_mr(HEIGHT, WIDTH)
    wanted = run_through(JointMotionSeg().eval(), bundle.spec, frames)
    with client.stream("joint_motion_seg", readings=("strain",)) as stream:
        found = [stream.push(frame) for frame in frames]
    for result, (displacement, labels, probabilities, aligned, *_) in zip(
        found, wanted, strict=True
    ):
        np.testing.assert_allclose(result.displacement, displacement[0], atol=1e-3)
        assert (result.outputs["labels"].values == labels.numpy()).mean() > 0.99
        np.testing.assert_allclose(result.outputs["probabilities"].values, probabilities, atol=1e-4)
        np.testing.assert_allclose(result.outputs["aligned"].values, aligned, atol=1e-3)
        counts = np.bincount(result.outputs["labels"].values.ravel(), minlength=len(CLASSES))
        np.testing.assert_array_equal(result.areas, counts)
        assert result.strain.shape == (3, HEIGHT, WIDTH)
    assert [result.reference for result in found] == [0, 0, 0]


def test_a_beat_renews_reference_and_memory(client: Client, bundle: Bundle) -> None:
    frames = cine_mr(HEIGHT, WIDTH)
    after = run_through(JointMotionSeg().eval(), bundle.spec, frames[1:])
    with client.stream("joint_motion_seg") as stream:
        found = [stream.push(frame, beat=k == 1) for k, frame in enumerate(frames)]
    assert [result.reference for result in found] == [0, 1, 1]
    for result, outputs in zip(found[1:], after, strict=True):
        np.testing.assert_allclose(result.displacement, outputs[0][0], atol=1e-3)


def test_the_client_gets_the_planted_motion_and_class(client: Client) -> None:
    with client.stream("probe_seg", spacing_mm=(2.0, 1.5)) as stream:
        results = [stream.push(frame) for frame in cine_mr(HEIGHT, WIDTH)]
    for result, frame in zip(results, cine_mr(HEIGHT, WIDTH), strict=True):
        np.testing.assert_allclose(result.displacement[0], 3.0, atol=1e-4)
        np.testing.assert_allclose(result.displacement[1], -2.0, atol=1e-4)
        aligned = result.outputs["aligned"].values[0, 0] * 255
        np.testing.assert_allclose(aligned[2:, :-3], frame[:-2, 3:], atol=0.1)
        assert (result.outputs["labels"].values == CLASSES.index("myocardium")).all()
        np.testing.assert_allclose(result.areas, [0, 0, HEIGHT * WIDTH * 3.0, 0])
        assert result.unit == "mm"


@pytest.mark.slow
def test_the_planted_motion_grows_with_the_frame(tmp_path: Path) -> None:
    """The head counts half the frame's width and height; see the model's docstring."""
    recipe = load_recipe("joint_motion_seg")
    recipe = replace(
        recipe, spec=replace(up_to(recipe.spec, 64), name="probe_sizes"), build=probe_network
    )
    repository = write_repository([export_bundle(recipe, tmp_path / "b")], tmp_path / "models")
    with TritonServer(repository) as server, Client(server.url) as connection:
        for size, (height, width) in (
            ((32, 48), (32, 48)), ((48, 32), (48, 32)), ((50, 45), (64, 48)),
        ):  # fmt: skip
            with connection.stream("probe_sizes") as stream:
                _, result = (stream.push(frame) for frame in cine_mr(*size)[:2])
            assert result.displacement.shape == (2, *size), "padded, and cropped back"
            right, down = 3.0 * (width - 1) / (WIDTH - 1), -2.0 * (height - 1) / (HEIGHT - 1)
            np.testing.assert_allclose(result.displacement[0], right, atol=1e-3)
            np.testing.assert_allclose(result.displacement[1], down, atol=1e-3)


def test_the_stream_command_shows_labels_and_strain(
    client: Client, write_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    clip = write_dicom(cine_mr(HEIGHT, WIDTH), PixelSpacing=[0.5, 0.5])
    out = tmp_path / "out"
    arguments = ["stream", clip, "--url", client.url, "--model", "joint_motion_seg", "--out", out]
    done = CliRunner().invoke(_app(), list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    for words in ("Untrained weights: outputs are meaningless", "short-axis slices of cine-MR"):
        assert words in " ".join(done.output.split())
    page = (out / "report.html").read_text()
    for words in (
        "Untrained weights: outputs are meaningless", "area strain -30 % or less",
        "paths of points", "data:image/webp",
    ):  # fmt: skip
        assert words in page, words
    assert page.index("outputs are meaningless") < page.index("<main>"), "above everything"
    assert any(f"</span>{name}</span>" in page for name in CLASSES[1:]), "a class in the legend"


def test_frames_that_do_not_fit_are_refused_and_the_stream_goes_on(client: Client) -> None:
    first, second, _ = cine_mr(HEIGHT, WIDTH)
    with client.stream("joint_motion_seg") as stream:

        def refused(frame: np.ndarray, said: str, advice: str) -> None:
            require_refused(lambda: stream.push(frame), said, advice)

        refused(cine_mr(HEIGHT, 64)[0], r"a width of 48.*got 64", "fit_to")
        stream.push(first)
        refused(cine_mr(HEIGHT, 64)[0], r"32x48.*got 32x64", "open a new one")
        refused(second / np.float32(255) + 255, "grey levels from 0 to 255", "Scale the frames")
        assert stream.push(second).current == 1


def test_everything_that_names_the_model_says_untrained(client: Client, bundle: Bundle) -> None:
    require_said(client, bundle)


@needs_rtx
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_rtx_builds_for_three_generations(tmp_path: Path, precision: str) -> None:
    found = export_bundle("joint_motion_seg", tmp_path / "b", sizes=SIZES, precision=precision)
    built = build_engines(
        found, "tensorrt-rtx", [86, 89, 120], store=EngineStore(tmp_path / "engines")
    )
    assert len(built) == 3
    assert all(not engine.fault for engine, _ in built)
