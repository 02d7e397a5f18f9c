"""The sizes at which a model is traced and compared tell its axes apart, or the report says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cineflow.errors import ExportError
from cineflow.export import export_bundle, load_recipe
from cineflow.export.recipe import Recipe, axes_not_told_apart, parity_sizes, trace_sizes
from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec


def model(*axes: Axis, volume: bool = False) -> ModelSpec:
    shape = (1, 1, *axes)
    inputs = (TensorSpec("image", "float32", shape, "0..1"),)
    output = TensorSpec("same", "float32", shape, "0..1", tolerance=0.1)
    return ModelSpec("net", "s", inputs, (output,), feed=Feed("frame", ("image",), volume=volume))


@pytest.mark.parametrize("maximum", [16, 64, 128, 1024])
def test_sizes_of_a_volume_all_differ(maximum: int) -> None:
    axes = [Axis(name, 8, maximum, 4) for name in ("depth", "height", "width")]
    spec = model(*axes, volume=True)
    sizes = trace_sizes(spec)
    assert len(set(sizes.values())) == 3
    assert all(axis.accepts(sizes[axis.name]) for axis in axes)
    assert axes_not_told_apart(spec) == ""


def test_an_axis_with_few_sizes_chooses_first() -> None:
    wide, narrow = Axis("wide", 8, 16, 4), Axis("narrow", 16, 16, 4)
    assert trace_sizes(model(wide, narrow)) == {"wide": 12, "narrow": 16}


def test_axes_that_have_one_size_between_them_are_named() -> None:
    axes = [Axis(name, 64, 64, 64) for name in ("height", "width")]
    assert axes_not_told_apart(model(*axes)) == "height, width are all 64"


def test_the_default_model_is_traced_as_before() -> None:
    """Its committed manifest has figures of these sizes."""
    spec = load_recipe("lucas_kanade").spec
    assert trace_sizes(spec) == {"height": 128, "width": 144}
    assert {"height": 256, "width": 288} in parity_sizes(spec)


LINSPACE = """
import torch

from cineflow.spec import Axis, ModelSpec, TensorSpec

WIDTH = Axis("width", 8, 64, 8)
SPEC = ModelSpec(
    name="home_made",
    summary="Samples at coordinates of its own.",
    inputs=(TensorSpec("image", "float32", (1, 1, 16, WIDTH), "0..1"),),
    outputs=(TensorSpec("moved", "float32", (1, 1, 16, WIDTH), "0..1", tolerance=0.01),),
)


class Net(torch.nn.Module):
    def forward(self, image):
        x = torch.linspace(-1, 1, image.shape[-1])
        return image.mean(dim=-1, keepdim=True) * x


def build():
    return Net()


def example_inputs(sizes, seed):
    return {"image": torch.rand((1, 1, 16, sizes["width"]))}
"""


def test_a_frozen_axis_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "home_made.py").write_text(LINSPACE)
    with pytest.raises(ExportError, match="wanted home_made to trace for every width") as caught:
        export_bundle(tmp_path / "home_made.py", tmp_path / "out")
    assert "width frozen at 64" in caught.value.got
    assert "of home_made.py: x = torch.linspace(-1, 1, image.shape[-1])" in caught.value.got
    assert "torch.arange(width)" in caught.value.remedy
    assert "--size" in caught.value.remedy


def double() -> ModelSpec:
    """A model of frames with a state at a quarter of them."""
    height, width = Axis("height", 32, 512, 8), Axis("width", 32, 512, 8)
    image = TensorSpec("image", "float32", (1, 1, height, width), "0..1")
    out = TensorSpec("out", "float32", (1, 1, height, width), "1", tolerance=0.001)
    memory = TensorSpec("memory", "float32", (1, 1, height / 4, width / 4), "1")
    return ModelSpec("net", "s", (image,), (out,), (memory,), feed=Feed("frame", ("image",)))


@pytest.mark.parametrize(
    ("image", "memory", "message"),
    [
        ((64, 96), (16, 24), r"height = 128, not 64"),
        ((128, 144), (64, 72), r"height / 4 = 32 \(because height is 128\), not 64"),
        ((128, 144), (32, 48), r"width / 4 = 36 \(because width is 144\), not 48"),
    ],
)
def test_examples_must_have_the_sizes_that_were_asked_for(image, memory, message) -> None:
    recipe = Recipe(
        double(),
        torch.nn.Identity,
        lambda sizes, seed: {"image": torch.zeros(1, 1, *image),
                             "memory_in": torch.zeros(1, 1, *memory)},
    )  # fmt: skip
    with pytest.raises(ExportError, match=message):
        recipe.examples({"height": 128, "width": 144}, seed=0)


def test_examples_of_the_right_sizes_are_taken() -> None:
    def made(sizes, seed):
        height, width = sizes["height"], sizes["width"]
        return {"image": torch.zeros(1, 1, height, width),
                "memory_in": torch.zeros(1, 1, height // 4, width // 4)}  # fmt: skip

    recipe = Recipe(double(), torch.nn.Identity, made)
    for sizes in ({"height": 128, "width": 144}, {"height": 32, "width": 32}):
        assert [*recipe.examples(sizes, seed=0)] == ["image", "memory_in"]
    fixed = recipe.with_sizes({"height": 64})
    assert fixed.examples({"width": 96}, seed=0)["memory_in"].shape == (1, 1, 16, 24)
