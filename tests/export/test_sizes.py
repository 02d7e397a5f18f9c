"""The sizes at which a model is traced and compared tell its axes apart, or the report says so."""

from __future__ import annotations

import pytest

from cineflow.export import load_recipe
from cineflow.export.recipe import axes_not_told_apart, parity_sizes, trace_sizes
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
