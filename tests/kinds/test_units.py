"""A vendor's files through `import`, `repo`, the real server and the client: units are kept.

Each model returns the picture that it saw, or a motion that is known, so that a conversion that is
left out shows as a wrong number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.export.bundle.imported import import_bundle
from cineflow.serving import TritonServer
from cineflow_client import Client

H, W = 16, 24
FRAMES = np.random.default_rng(0).integers(0, 256, (3, H, W)).astype(np.uint8)

SEES = "main (float[1,{c},16,24] image) => (float[1,{c},16,24] seen) {{ seen = Identity (image) }}"
MOVES = (
    "main (float[1,1,16,24] a, float[1,1,16,24] b) => (float[1,2,16,24] move)"
    " <float zero = {{0.0}}, float first = {{{0}}}, float second = {{{1}}}>"
    " {{ d = Sub (a, b) n = Mul (d, zero) u = Add (n, first) v = Add (n, second)"
    " move = Concat <axis = 1> (u, v) }}"
)


def image(name: str = "image", channels: int = 1, unit: str = "grey level") -> dict[str, Any]:
    return {"name": name, "dtype": "float32", "unit": unit, "shape": [1, channels, H, W]}


def sees(feed: dict[str, Any], channels: int = 1, unit: str = "grey level") -> dict[str, Any]:
    """A model that returns its input."""
    seen = image("seen", channels, unit) | {"tolerance": 0.01}
    feed = {"inputs": ["image"], **feed}
    spec = {"inputs": [image(channels=channels, unit=unit)], "outputs": [seen], "feed": feed}
    return {"graph": SEES.format(c=channels), "spec": spec}


def moves(first: float, second: float, **flow: Any) -> dict[str, Any]:
    """A model whose flow has the same two components everywhere."""
    move = image("move", 2, "px") | {"tolerance": 0.01, "role": "flow", **flow}
    spec = {
        "inputs": [image("a"), image("b")],
        "outputs": [move],
        "feed": {"kind": "pair", "inputs": ["a", "b"]},
    }
    return {"graph": MOVES.format(first, second), "spec": spec}


FRAME = {"kind": "frame"}
CONVERTED = {
    "unit_interval": sees(FRAME, unit="0..1"),
    "signed": sees(FRAME, unit="-1..1"),
    "scaled": sees({**FRAME, "scale": 0.5, "offset": -3.0}, unit="dB"),
    "colour": sees({**FRAME, "scale": 1 / 255}, channels=3, unit="share of white"),
    "stacked": sees({"kind": "pair", "time_axis": 1}, channels=2),
    "normalised": moves(2 * 2.0 / W, 2 * -1.0 / H, unit="normalised"),
    "rows_first": moves(-1.0, 2.0, components=["y", "x"]),
}
REFUSED = {
    "in_db": (sees(FRAME, unit="dB"), ["scale and offset", "'dB'", "scale=1 / 255"]),
    "two_channels": (sees(FRAME, channels=2), ["1 or 3 channels", "[1, 2, 16, 24]"]),
    "in_mm": (moves(1.0, 1.0, unit="mm"), ["motion in 'px'", "'mm'"]),
}


def imported(name: str, model: dict[str, Any], folder: Path) -> Path:
    """The file and its spec as a bundle."""
    text = f'<ir_version: 10, opset_import: ["" : 20]> {model["graph"]}'
    onnx.save(onnx.parser.parse_model(text), folder / f"{name}.onnx")
    spec = {"name": name, "summary": "A vendor's model.", "source": "A vendor", **model["spec"]}
    (folder / f"{name}.yaml").write_text(json.dumps(spec))  # JSON is YAML
    import_bundle(folder / f"{name}.onnx", folder / f"{name}.yaml", folder / name)
    return folder / name


def repo(*bundles: Path, out: Path) -> Any:
    return CliRunner().invoke(_app(), ["repo", *map(str, bundles), "--out", str(out)])


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("units")
    bundles = [imported(name, model, folder) for name, model in CONVERTED.items()]
    done = repo(*bundles, out=folder / "models")
    assert done.exit_code == 0, done.output
    with TritonServer(folder / "models") as server, Client(server.url) as client:
        yield client


@pytest.mark.parametrize(
    ("name", "scale", "offset", "channels"),
    [
        ("unit_interval", 1 / 255, 0.0, 1),
        ("signed", 2 / 255, -1.0, 1),
        ("scaled", 0.5, -3.0, 1),
        ("colour", 1 / 255, 0.0, 3),
    ],
)
def test_grey_levels_become_what_the_model_wants(
    units: Client, name: str, scale: float, offset: float, channels: int
) -> None:
    with units.stream(name) as stream:
        seen = stream.push(FRAMES[0]).outputs["seen"].values
    wanted = np.broadcast_to(FRAMES[0] * scale + offset, (1, channels, H, W))
    np.testing.assert_allclose(seen, wanted, atol=1e-4)


def test_both_frames_of_a_pair_in_one_input(units: Client) -> None:
    with units.stream("stacked") as stream:
        assert "seen" not in stream.push(FRAMES[0]).outputs
        np.testing.assert_array_equal(
            stream.push(FRAMES[1]).outputs["seen"].values[0], FRAMES[:2].astype(np.float32)
        )


@pytest.mark.parametrize("name", ["normalised", "rows_first"])
def test_a_flow_reaches_the_client_in_pixels(units: Client, name: str) -> None:
    with units.stream(name) as stream:
        results = [stream.push(frame) for frame in FRAMES]
    np.testing.assert_allclose(results[1].flow[:, 8, 12], [2.0, -1.0], rtol=1e-4)
    np.testing.assert_allclose(results[2].displacement[:, 8, 12], [4.0, -2.0], rtol=1e-4)


@pytest.mark.parametrize("name", REFUSED)
def test_repo_refuses_what_the_stream_cannot_convert(name: str, tmp_path: Path) -> None:
    model, words = REFUSED[name]
    done = repo(imported(name, model, tmp_path), out=tmp_path / "models")
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    for word in words:
        assert word in said
    assert not (tmp_path / "models").exists()
