"""The way through for models that are to come: one small, seeded recipe of each kind.

Each is a file as a user writes it. It must export, verify against torch, run at every size of its
spec, and get a repository for Triton's own backend.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from cineflow.export import export_bundle, load_recipe, write_repository
from cineflow.export.bundle import build_module
from cineflow.export.check.inputs import random_inputs
from cineflow.export.recipe import parity_sizes
from cineflow.export.verify import verify_bundle
from cineflow.runtime import open_engine
from cineflow.runtime.bundle import graph_outputs
from cineflow.runtime.engines.torch import TorchEngine

HEAD = """
import torch
from torch import nn

from cineflow import ops
from cineflow.spec import Axis, ModelSpec, TensorSpec


def noise(shape, seed, scale=1.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def build():
    torch.manual_seed(0)
    return Net()
"""

#: Kind -> recipe. Tolerances are in the unit of the output, a thousandth of its spread or less.
RECIPES = {
    "recurrent": """
W = Axis("width", 16, 64, 16)
SPEC = ModelSpec(
    name="recurrent",
    summary="Two states: hidden features, and the displacement composed so far.",
    inputs=(TensorSpec("frame", "float32", (1, 1, 16, W), "grey level"),),
    outputs=(TensorSpec("flow", "float32", (1, 2, 16, W), "px", tolerance=1e-3),),
    states=(
        TensorSpec("displacement", "float32", (1, 2, 16, W), "px", tolerance=1e-3),
        TensorSpec("hidden", "float32", (1, 4, 16, W), "1", tolerance=1e-3),
    ),
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Conv2d(5, 4, 3, padding=1)
        self.new = nn.Conv2d(5, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, frame, displacement, hidden):
        both = torch.cat([frame / 255.0, hidden], dim=1)
        gate = torch.sigmoid(self.gate(both))
        hidden = gate * hidden + (1 - gate) * torch.tanh(self.new(both))
        flow = self.head(hidden)
        return flow, ops.compose_flow(displacement, flow), hidden


def example_inputs(sizes, seed):
    w = sizes["width"]
    return {
        "frame": 128 + noise((1, 1, 16, w), seed, 30.0),
        "displacement_in": noise((1, 2, 16, w), seed + 100),
        "hidden_in": noise((1, 4, 16, w), seed + 200),
    }
""",
    "volume": """
D, W = Axis("depth", 4, 16, 4), Axis("width", 8, 32, 8)
VOLUME = (1, 1, D, 8, W)
SPEC = ModelSpec(
    name="volume",
    summary="A 3-D network that samples the second volume where the flow points.",
    inputs=(
        TensorSpec("previous", "float32", VOLUME, "grey level"),
        TensorSpec("current", "float32", VOLUME, "grey level"),
    ),
    outputs=(
        TensorSpec("flow", "float32", (1, 3, D, 8, W), "px", tolerance=1e-3),
        TensorSpec("moved", "float32", VOLUME, "grey level", tolerance=0.1),
    ),
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv3d(2, 4, 3, stride=2, padding=1)
        self.head = nn.Conv3d(4, 3, 3, padding=1)

    def forward(self, previous, current):
        both = torch.cat([previous, current], dim=1) / 255.0
        small = self.head(torch.relu(self.down(both)))
        flow = nn.functional.interpolate(small, scale_factor=2.0, mode="trilinear")
        size = current.shape[2:]
        axes = [torch.arange(n, dtype=torch.float32) for n in size]
        z, y, x = torch.meshgrid(*axes, indexing="ij")
        points = torch.stack([x + flow[:, 0], y + flow[:, 1], z + flow[:, 2]], dim=-1)
        points = points.clamp(-16.0, 64.0)
        count = torch.tensor([size[2], size[1], size[0]], dtype=torch.float32)
        grid = (2 * points + 1) / count - 1
        return flow, nn.functional.grid_sample(current, grid, align_corners=False)


def example_inputs(sizes, seed):
    shape = (1, 1, sizes["depth"], 8, sizes["width"])
    names = ("previous", "current")
    return {name: 128 + noise(shape, seed + 50 * k, 30.0) for k, name in enumerate(names)}
""",
    "outputs": """
H = Axis("height", 16, 64, 16)
SPEC = ModelSpec(
    name="outputs",
    summary="Several outputs of several units, types and sizes from one frame.",
    inputs=(TensorSpec("frame", "float32", (1, 1, H, 32), "grey level"),),
    outputs=(
        TensorSpec("wall", "float32", (1, 1, H, 32), "probability", tolerance=1e-4),
        TensorSpec("points", "float32", (1, 4, 2), "px", tolerance=1e-2),
        TensorSpec("view", "int64", (1,), "class", tolerance=0.0),
    ),
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(1, 4, 3, padding=1)
        self.wall = nn.Conv2d(4, 1, 1)
        self.view = nn.Linear(4, 3)

    def forward(self, frame):
        features = torch.relu(self.features(frame / 255.0))
        weights = torch.softmax(features.flatten(2), dim=2)
        rows = torch.arange(frame.shape[2], dtype=torch.float32)
        columns = torch.arange(frame.shape[3], dtype=torch.float32)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        points = torch.stack([(weights * g.flatten()).sum(2) for g in (x, y)], dim=2)
        view = self.view(features.mean((2, 3))).argmax(1)
        return torch.sigmoid(self.wall(features)), points, view


def example_inputs(sizes, seed):
    return {"frame": 128 + noise((1, 1, sizes["height"], 32), seed, 30.0)}
""",
    "clip": """
T, W = Axis("frames", 2, 12), Axis("width", 16, 48, 16)
SPEC = ModelSpec(
    name="clip",
    summary="A whole clip at once: attention over time, one curve and one number out.",
    inputs=(TensorSpec("clip", "float32", (1, T, 1, 16, W), "grey level"),),
    outputs=(
        TensorSpec("curve", "float32", (1, T, 2), "1", tolerance=1e-4),
        TensorSpec("fraction", "float32", (1,), "probability", tolerance=1e-4),
    ),
)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.frame = nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.ask, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))
        self.curve = nn.Linear(8, 2)

    def forward(self, clip):
        frames = torch.relu(self.frame(clip[0] / 255.0)).mean((2, 3))[None]
        scores = self.ask(frames) @ self.key(frames).transpose(1, 2) / 8**0.5
        seen = torch.softmax(scores, dim=2) @ self.value(frames)
        return self.curve(seen), torch.sigmoid(seen.mean((1, 2)))


def example_inputs(sizes, seed):
    return {"clip": 128 + noise((1, sizes["frames"], 1, 16, sizes["width"]), seed, 30.0)}
""",
}


@pytest.mark.parametrize("kind", RECIPES)
def test_kind_exports_verifies_and_runs(kind: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.py"
    recipe.write_text(HEAD + RECIPES[kind])
    bundle = export_bundle(recipe, tmp_path / "bundle")
    report = verify_bundle(bundle, recipe, write_to=tmp_path / "report")
    assert report.passed, [*map(str, report.findings), *report.refusals]
    assert report.reference == "torch"
    outputs = {tensor.name for tensor in graph_outputs(bundle.spec)}
    assert {row.output for row in report.parity} == outputs
    engine = open_engine(bundle)
    for sizes in parity_sizes(bundle.spec):
        for name, value in engine.run(random_inputs(bundle.spec, sizes, 0)).items():
            assert np.isfinite(value).all(), name
    write_repository([bundle], tmp_path / "repo", backend="onnxruntime")


def test_state_carried_over_frames_stays_with_torch(tmp_path: Path) -> None:
    """Eight frames: an error per frame would compose."""
    recipe_file = tmp_path / "recipe.py"
    recipe_file.write_text(HEAD + RECIPES["recurrent"])
    bundle = export_bundle(recipe_file, tmp_path / "bundle")
    assert bundle.manifest["operators"]["cineflow::ComposeFlow"] == 1
    recipe = load_recipe(recipe_file)
    engines = (TorchEngine(build_module(recipe), recipe.spec), open_engine(bundle))
    states = [recipe.examples({"width": 32}, seed=0)] * 2
    values = [{name: tensor.numpy() for name, tensor in state.items()} for state in states]
    for frame in range(8):
        new = recipe.examples({"width": 32}, seed=frame)["frame"].numpy()
        for position, engine in enumerate(engines):
            outputs = engine.run(values[position] | {"frame": new})
            values[position] = {
                name.replace("_out", "_in"): value
                for name, value in outputs.items()
                if name.endswith("_out")
            }
            values[position]["frame"] = new
    one, other = (value["displacement_in"] for value in values)
    assert np.abs(one).max() > 0.5
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_volume_names_what_cannot_take_it(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.py"
    recipe.write_text(HEAD + RECIPES["volume"])
    report = verify_bundle(export_bundle(recipe, tmp_path / "bundle"), recipe)
    assert any("rank" in against for against in report.targets["TensorRT 10"]["against"])
    assert report.targets["TensorRT-RTX 1.7"]["against"] == []
    model = onnx.load(tmp_path / "bundle" / "model.onnx")
    assert "GridSample" in {node.op_type for node in model.graph.node}
