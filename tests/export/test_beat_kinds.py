"""Which models are followed over a phantom beat: the feed and the roles of the spec say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cineflow.export import load_recipe
from cineflow.export.verify.beat import compare_beat, gives_motion, why_no_beat
from cineflow.runtime.engines.torch import TorchEngine

KINDS = Path(__file__).resolve().parents[2] / "examples" / "kinds"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("grid_sample_flow", ""),
        ("reference_shift", ""),
        ("volume_flow", "takes volumes"),
        ("segmentation", "no output of segmentation is a flow or a displacement"),
        ("point_tracker", "no output of point_tracker is a flow"),
        ("wall_scores", "no output"),
    ],
)
def test_feed_and_roles_decide(name: str, why: str) -> None:
    spec = load_recipe(KINDS / f"{name}.py").spec
    assert why in why_no_beat(spec)
    assert bool(why_no_beat(spec)) == bool(why)
    assert gives_motion(spec) == (name in ("grid_sample_flow", "reference_shift", "volume_flow"))


def test_a_normalised_displacement_is_compared_in_pixels() -> None:
    """The module gives half of it as the other runtime does; the stream makes pixels of both."""
    recipe = load_recipe(KINDS / "reference_shift.py")
    module = recipe.build().eval()
    right = TorchEngine(module, recipe.spec)
    half = TorchEngine(lambda *frames: module(*frames) / 2, recipe.spec)
    ((row,), refusals) = compare_beat(recipe.spec, right, [(half, "fp32")])
    assert not refusals
    assert row.motion_px > 0.3
    assert row.composed_px == pytest.approx(row.motion_px / 2, rel=1e-3)
    assert not row.passed
