"""What the export tests share: one small user's recipe, exported once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cineflow.export import export_bundle
from cineflow.runtime import Bundle

#: A recipe file as a user writes it: a filter with a state, a dynamic width, and our warp.
RECIPE = """
import torch

from cineflow.spec import Axis, ModelSpec, TensorSpec
import cineflow.ops.torch_library

WIDTH = Axis("width", 8, 64, 8)
SPEC = ModelSpec(
    name="smoother",
    summary="Moves an image and blends it with what came before.",
    inputs=(
        TensorSpec("image", "float32", (1, 1, 16, WIDTH), "grey level"),
        TensorSpec("flow", "float32", (1, 2, 16, WIDTH), "px"),
    ),
    outputs=(TensorSpec("edges", "float32", (1, 2, 16, WIDTH), "grey level", tolerance=1e-2),),
    states=(TensorSpec("past", "float32", (1, 1, 16, WIDTH), "grey level", tolerance=1e-2),),
)


class Smoother(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.edges = torch.nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, image, flow, past):
        past = 0.5 * past + 0.5 * torch.ops.cineflow.warp(image, flow, "zeros")
        return self.edges(past), past


def build():
    return Smoother()


def example_inputs(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 1, 16, sizes["width"])
    return {
        "image": 255 * torch.rand(shape, generator=generator),
        "flow": 3 * torch.randn((1, 2, 16, sizes["width"]), generator=generator),
        "past_in": 255 * torch.rand(shape, generator=generator),
    }
"""


@pytest.fixture(scope="session", autouse=True)
def quick_exports(operator_table_read_once: None) -> None:
    """Every test here may export."""


@pytest.fixture(scope="session")
def recipe_text() -> str:
    """Source of the user's recipe, to be varied."""
    return RECIPE


@pytest.fixture(scope="session")
def smoother(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The user's recipe, exported."""
    folder = tmp_path_factory.mktemp("export")
    recipe = folder / "my_model.py"
    recipe.write_text(RECIPE)
    return export_bundle(recipe, folder / "smoother")


@pytest.fixture(scope="session")
def fresh_default(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The default model, exported in this run, whole and split."""
    out = tmp_path_factory.mktemp("export") / "lucas_kanade"
    return export_bundle("lucas_kanade", out, split_ops=True)


@pytest.fixture
def write_recipe(tmp_path: Path):
    """Write a recipe file; returns its path."""

    def write(text: str) -> Path:
        file = tmp_path / "recipe.py"
        file.write_text(text)
        return file

    return write
