"""A network with correlation and warp at every level, through the whole export path."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.export import export_bundle, load_recipe, write_repository
from cineflow.export.check import check_file
from cineflow.export.engines.build import build_engines
from cineflow.models.flow_pwc import SMALL, FlowPwc, FlowPwcStream
from cineflow.runtime import Bundle
from cineflow.runtime.store import EngineStore
from cineflow.serving import TritonServer
from cineflow_client import Client, UntrainedWeights
from tests.export.steps import step_counts
from tests.models.streams import cine_mr
from tests.models.test_flow_pwc import constant

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed"
)
SIZES = {"height": 64, "width": 128}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("pwc") / "bundle"
    return export_bundle("flow_pwc", out, precision="fp16", sizes=SIZES, split_ops=True)


def test_every_runtime_is_within_tolerance_in_half_precision(bundle: Bundle) -> None:
    rows = bundle.manifest["parity"]
    assert {row["runtime"] for row in rows} == {"onnxruntime", "onnxruntime-segments"}
    for row in rows:
        assert 1e-4 < row["worst"] <= 0.05, "it is not in half precision"


def test_graph_keeps_our_ops_and_their_bodies(bundle: Bundle) -> None:
    operators = bundle.manifest["operators"]
    assert (operators["cineflow::Correlation"], operators["cineflow::Warp"]) == (5, 4)
    assert check_file(bundle.onnx_path) == []


def test_it_is_cut_at_every_op(bundle: Bundle) -> None:
    counts = step_counts(bundle)
    assert (counts["Correlation"], counts["Warp"]) == (5, 4)


@pytest.mark.slow
def test_a_served_stream_gives_the_flow_of_its_pairs(
    write_dicom: Callable[..., Path], tmp_path: Path
) -> None:
    bundle = export_bundle("flow_pwc_stream", tmp_path / "b", sizes=SIZES, variant="small")
    repository = write_repository([bundle], tmp_path / "models")
    network = FlowPwc(SMALL).eval()
    frames = np.random.default_rng(0).integers(0, 256, (4, 64, 128)).astype(np.uint8)
    with (
        TritonServer(repository) as server,
        Client(server.url) as client,
        torch.inference_mode(),
    ):
        with pytest.warns(UntrainedWeights, match="outputs are meaningless"):
            stream = client.stream(bundle.served_name)
        assert client.model(bundle.served_name).spec["weights"]["trained"] is False
        results = [stream.push(frame) for frame in frames]
        for (before, after), result in zip(itertools.pairwise(frames), results[1:], strict=True):
            pair = (torch.from_numpy(one).float()[None, None] for one in (before, after))
            np.testing.assert_allclose(result.flow, network(*pair)[0].numpy(), atol=0.05)
        clip, out = write_dicom(cine_mr(64, 128), PixelSpacing=[0.5, 0.5]), tmp_path / "out"
        command = ["stream", clip, "--url", server.url, "--model", bundle.spec.name, "--out", out]
        done = CliRunner().invoke(_app(), list(map(str, command)))
    assert done.exit_code == 0, done.output
    untrained = "Untrained weights: outputs are meaningless"
    assert untrained in " ".join(done.output.split())
    page = (out / "report.html").read_text()
    assert untrained in page
    assert "seed 0 (untrained)" in page


@pytest.mark.slow
def test_the_client_gets_the_planted_flow_at_every_size(tmp_path: Path) -> None:
    kinds = {"flow_pwc": FlowPwc, "flow_pwc_stream": FlowPwcStream}
    bundles = []
    for name, kind in kinds.items():
        recipe = load_recipe(name, "small")
        spec = replace(recipe.spec, name=f"probe_{name}")
        probe = replace(recipe, spec=spec, build=lambda kind=kind: constant(kind(SMALL)))
        bundles.append(export_bundle(probe, tmp_path / name))
    repository = write_repository(bundles, tmp_path / "models")
    with TritonServer(repository) as server, Client(server.url) as client:
        for name, size in itertools.product(kinds, ((64, 128), (128, 64), (100, 90))):
            frames = np.random.default_rng(0).integers(0, 256, (2, *size)).astype(np.uint8)
            with client.stream(f"probe_{name}") as stream:
                _, result = (stream.push(frame) for frame in frames)
            assert result.flow.shape == (2, *size), "padded, and cropped back"
            np.testing.assert_allclose(result.flow[0], 3.0, atol=1e-3)
            np.testing.assert_allclose(result.flow[1], -2.0, atol=1e-3)


@needs_rtx
def test_tensorrt_rtx_builds_the_whole_graph(bundle: Bundle, tmp_path: Path) -> None:
    store = EngineStore(tmp_path / "engines")
    ((engine, _),) = build_engines(bundle, "tensorrt-rtx", [86], store=store)
    assert engine.bytes > 4_000_000, "the weights are inside"


@needs_rtx
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_stream_form_builds_for_three_generations(tmp_path: Path, precision: str) -> None:
    found = export_bundle(
        "flow_pwc_stream", tmp_path / "b", sizes=SIZES, precision=precision, variant="small"
    )
    store = EngineStore(tmp_path / "engines")
    built = build_engines(found, "tensorrt-rtx", [86, 89, 120], store=store)
    assert len(built) == 3
    assert all(not engine.fault for engine, _ in built)


@needs_rtx
def test_every_segment_builds_for_three_generations(bundle: Bundle, tmp_path: Path) -> None:
    store = EngineStore(tmp_path / "engines")
    built = build_engines(bundle, "tensorrt-rtx", [86, 89, 120], store=store, split_ops=True)
    segments = step_counts(bundle)["segment"]
    assert len(built) == 3 * segments
    assert all(not engine.fault for engine, _ in built)
