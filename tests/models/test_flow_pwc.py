"""The untrained PWC-style network: its layout, the spread of its flow, and its label."""

from __future__ import annotations

import pytest
import torch

from cineflow.export.recipe import load_recipe
from cineflow.export.recipes._speckle import moved_speckle
from cineflow.models.flow_pwc import LEVELS, RADIUS, FlowPwc


@pytest.fixture(scope="module")
def network() -> FlowPwc:
    return FlowPwc().eval()


def flow_of(network: FlowPwc, height: int, width: int, seed: int) -> torch.Tensor:
    with torch.inference_mode():
        return network(*moved_speckle(height, width, seed))


@pytest.mark.parametrize("size", [(256, 256), pytest.param((256, 384), marks=pytest.mark.slow)])
def test_flow_spreads_over_pixels(network: FlowPwc, size: tuple[int, int]) -> None:
    """At the benchmarks' size and above. On coarse levels smaller frames are mostly border."""
    for seed in (0, 1):
        flow = flow_of(network, *size, seed)
        assert flow.shape == (1, 2, *size)
        assert 2.0 <= flow.std() < 8.0
        assert flow.isfinite().all()


def test_weights_follow_the_seed() -> None:
    same, other = FlowPwc(), FlowPwc(seed=1)
    one, two = (torch.cat([p.flatten() for p in m.parameters()]) for m in (same, other))
    again = torch.cat([p.flatten() for p in FlowPwc().parameters()])
    assert torch.equal(one, again)
    assert not torch.equal(one, two)


def test_layout_is_the_published_one(network: FlowPwc) -> None:
    assert LEVELS == 5
    assert network.estimator.first[0].in_channels == (2 * RADIUS + 1) ** 2 + 32 + 2
    assert [block[0][0].out_channels for block in network.encoder] == [16, 32, 64, 96, 128, 192]
    assert [layer[0].dilation[0] for layer in network.context[:-1]] == [1, 2, 4, 8, 16, 1]


def test_second_frame_matters(network: FlowPwc) -> None:
    previous, current = moved_speckle(128, 128, 0)
    with torch.inference_mode():
        still, moved = network(previous, previous), network(previous, current)
    assert (still - moved).abs().mean() > 0.005


def test_recipe_says_untrained() -> None:
    assert load_recipe("flow_pwc").spec.weights.describe() == "seed 0 (untrained)"
