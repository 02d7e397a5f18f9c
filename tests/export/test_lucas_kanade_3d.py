"""The default tracker of volumes: exported, streamed in process, and behind a real server."""

from __future__ import annotations

import importlib.util
import json
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.export import export_bundle, write_repository
from cineflow.export.check import check_file
from cineflow.export.engines.build import build_engines
from cineflow.motion.compose import compose
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.store import EngineStore
from cineflow.runtime.stream import Stream
from cineflow.serving import TritonServer
from cineflow_client import Client
from tests.export.steps import step_counts

pytestmark = pytest.mark.slow  # one export, of which the trace takes most

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt-rtx-cu13 is not installed"
)

SIZES = {"depth": 24, "height": 32, "width": 40}
#: Motion of the texture from one volume to the next, (x, y, z) voxels.
STEP = (0.8, -0.4, 0.5)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("volumes") / "bundle"
    return export_bundle("lucas_kanade_3d", out, sizes=SIZES, split_ops=True)


@pytest.fixture(scope="module")
def volumes() -> np.ndarray:
    """A texture that moves by `STEP`, through the Fourier shift theorem, u8 [4, D, H, W]."""
    whole = tuple(extent + 16 for extent in SIZES.values())  # its faces wrap around
    fz, fy, fx = np.meshgrid(*map(np.fft.fftfreq, whole), indexing="ij")
    spectrum = np.fft.fftn(np.random.default_rng(2).standard_normal(whole))
    spectrum = spectrum * np.exp(-300 * (fx**2 + fy**2 + fz**2))
    turn = -2j * np.pi * (fx * STEP[0] + fy * STEP[1] + fz * STEP[2])
    moved = np.stack([np.fft.ifftn(spectrum * np.exp(k * turn)).real for k in range(4)])
    moved = moved[:, 8:-8, 8:-8, 8:-8]
    return np.clip(128 + 40 * moved / moved.std(), 1, 255).astype(np.uint8)


def test_every_form_of_the_graph_agrees_with_torch(bundle: Bundle) -> None:
    rows = bundle.manifest["parity"]
    forms = {(row["runtime"], row["kernels"]) for row in rows}
    assert {runtime for runtime, _ in forms} == {"onnxruntime", "onnxruntime-segments"}
    assert ("onnxruntime", "bodies in the graph") in forms
    assert len(forms) == 3, "with the op library as well"
    assert all(row["passed"] and row["worst"] <= 0.01 < row["spread"] for row in rows)


def test_the_graph_keeps_our_warp(bundle: Bundle) -> None:
    assert bundle.manifest["operators"]["cineflow::Warp"] == 8
    assert step_counts(bundle)["Warp"] == 8
    assert not [found for found in check_file(bundle.onnx_path) if found.severity == "error"]


@needs_rtx
def test_every_segment_builds_for_three_generations(bundle: Bundle, tmp_path: Path) -> None:
    store = EngineStore(tmp_path / "engines")
    built = build_engines(bundle, "tensorrt-rtx", [86, 89, 120], store=store, split_ops=True)
    assert len(built) == 3 * step_counts(bundle)["segment"]
    assert all(not engine.fault for engine, _ in built)


def test_a_stream_is_the_clip_pair_by_pair(bundle: Bundle, volumes: np.ndarray) -> None:
    engine = open_engine(bundle)
    stream = Stream(engine, bundle.spec)
    results = [stream.push(volume) for volume in volumes]
    composed = np.zeros((3, *volumes.shape[1:]), np.float32)
    for result, (a, b) in zip(results[1:], pairwise(volumes.astype(np.float32)), strict=True):
        pair = {"previous": a[None, None], "current": b[None, None]}
        flow = engine.run(pair)["flow"][0]
        composed = compose(composed, flow)
        np.testing.assert_array_equal(result.flow, flow)
        np.testing.assert_allclose(result.displacement, composed, atol=1e-4)
        middle = result.flow[:, 8:-8, 8:-8, 8:-8].reshape(3, -1).mean(axis=1)
        np.testing.assert_allclose(middle, STEP, atol=0.05)
    assert results[-1].absent["quality_parts"] == "volumes do not have it yet"


def test_a_nifti_file_goes_through_the_server(
    bundle: Bundle, volumes: np.ndarray, tmp_path: Path
) -> None:
    image = nibabel.Nifti1Image(volumes.transpose(3, 2, 1, 0).copy(), np.eye(4))
    image.header.set_zooms((0.5, 1.0, 2.0, 0.04))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, tmp_path / "volumes.nii.gz")
    local = Stream(open_engine(bundle), bundle.spec)
    write_repository([bundle], tmp_path / "models")
    with TritonServer(tmp_path / "models") as server:
        with Client(server.url) as client, client.stream("lucas_kanade_3d") as stream:
            for volume in volumes:
                served, here = stream.push(volume), local.push(volume)
                np.testing.assert_array_equal(served.flow, here.flow)
                np.testing.assert_array_equal(served.displacement, here.displacement)
        command = ["stream", tmp_path / "volumes.nii.gz", "--url", server.url]
        command += ["--model", "lucas_kanade_3d", "--out", tmp_path / "out"]
        done = CliRunner().invoke(_app(), list(map(str, command)))
    assert done.exit_code == 0, done.output
    with np.load(tmp_path / "out" / "result.npz") as file:
        moved = file["displacement"][3, :, 8:-8, 8:-8, 8:-8].reshape(3, -1).mean(axis=1)
        about = json.loads(str(file["about"]))
    np.testing.assert_allclose(moved, 3 * np.array(STEP), atol=0.15)
    assert about["spacing_mm"] == [2.0, 1.0, 0.5]
    assert "z = 12, x = 20, y = 16" in (tmp_path / "out" / "report.html").read_text()
