"""The PWC-style network: its layout, the spread of its untrained flow, its checkpoints."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from cineflow.errors import ExportError
from cineflow.export.bundle import build_module, load_weights
from cineflow.export.recipe import load_recipe
from cineflow.export.recipes._speckle import moved_speckle
from cineflow.models.flow_pwc import (
    LEVELS,
    PAPER,
    RADIUS,
    SMALL,
    FlowPwc,
    FlowPwcStream,
    Size,
    pwclite_keys,
)
from tests.models.streams import require_all_alive


@pytest.fixture(scope="module")
def network() -> FlowPwc:
    return FlowPwc().eval()


@pytest.fixture(scope="module")
def small() -> FlowPwc:
    return FlowPwc(SMALL).eval()


def flow_of(network: FlowPwc, height: int, width: int, seed: int) -> torch.Tensor:
    with torch.inference_mode():
        return network(*moved_speckle(height, width, seed))


@pytest.mark.parametrize("size", [(256, 256), pytest.param((256, 384), marks=pytest.mark.slow)])
@pytest.mark.parametrize("which", ["network", "small"])
def test_flow_spreads_over_pixels(
    request: pytest.FixtureRequest, which: str, size: tuple[int, int]
) -> None:
    """At the benchmarks' size and above. On coarse levels smaller frames are mostly border."""
    for seed in (0, 1):
        flow = flow_of(request.getfixturevalue(which), *size, seed)
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


def test_small_has_the_layout_of_paper_and_at_least_a_quarter_of_its_widths(
    network: FlowPwc, small: FlowPwc
) -> None:
    shapes = {name: one.shape for name, one in network.named_parameters()}
    assert [name for name, _ in small.named_parameters()] == [*shapes]
    for name, one in small.named_parameters():
        assert all(4 * a >= b for a, b in zip(one.shape, shapes[name], strict=True)), name


def test_every_parameter_changes_the_flow(small: FlowPwc) -> None:
    network = FlowPwc(SMALL).eval()
    require_all_alive(network, [network(*moved_speckle(128, 128, 0))])


def constant(network: FlowPwc) -> FlowPwc:
    """The flow heads set to (3, -2) px."""
    grown = 4 * sum(2**level for level in range(LEVELS))
    with torch.no_grad():
        for head in (network.estimator.flow, network.context[-1]):
            head.weight.zero_()
        network.estimator.flow.bias.copy_(torch.tensor([3.0, -2.0]) / grown)
    return network


@pytest.mark.parametrize("size", [(64, 128), (128, 64)])
def test_a_constant_head_is_that_flow(size: tuple[int, int]) -> None:
    """In pixels, x first. Each of the five levels adds the constant and doubles what it was given;
    the flow then grows to the full resolution."""
    flow = flow_of(constant(FlowPwc(SMALL).eval()), *size, 0)
    torch.testing.assert_close(flow[:, 0], torch.full((1, *size), 3.0))
    torch.testing.assert_close(flow[:, 1], torch.full((1, *size), -2.0))


def test_second_frame_matters(network: FlowPwc) -> None:
    previous, current = moved_speckle(128, 128, 0)
    with torch.inference_mode():
        still, moved = network(previous, previous), network(previous, current)
    assert (still - moved).abs().mean() > 0.005


@pytest.mark.parametrize("size", [SMALL, pytest.param(PAPER, marks=pytest.mark.slow)])
def test_a_stream_encodes_each_frame_once_and_gives_the_same_flow(size: Size) -> None:
    network, pairs = FlowPwcStream(size).eval(), FlowPwc(size).eval()
    first, second = moved_speckle(64, 128, 0)
    frames = [first, second, moved_speckle(64, 128, 1)[0]]
    passes: list[int] = []
    network.encoder[0].register_forward_hook(lambda *seen: passes.append(seen[1][0].shape[0]))
    states = [torch.zeros(1, 1, 1, 1)]
    states += [
        torch.zeros(1, channels, 64 >> level, 128 >> level)
        for level, channels in enumerate(size.channels[1:], start=2)
    ]
    with torch.inference_mode():
        flow, *states = network(frames[0], *states)
        assert not flow.any(), "the first frame makes no pair"
        for previous, current in itertools.pairwise(frames):
            flow, *states = network(current, *states)
            torch.testing.assert_close(flow, pairs(previous, current))
    assert passes == [1, 1, 1]


def test_every_state_of_a_stream_changes_the_flow() -> None:
    network, (first, second) = FlowPwcStream(SMALL).eval(), moved_speckle(64, 128, 0)
    given = load_recipe("flow_pwc_stream", "small").example_inputs({"height": 64, "width": 128}, 0)
    assert torch.equal(given["current"], second)
    with torch.inference_mode():
        usual = network(**{name.removesuffix("_in"): one for name, one in given.items()})[0]
        torch.testing.assert_close(usual, FlowPwc(SMALL).eval()(first, second))
        for name in [name for name in given if name != "current"]:
            changed = given | {name: given[name] - 1.0}
            other = network(**{key.removesuffix("_in"): one for key, one in changed.items()})[0]
            assert (other - usual).abs().max() > 1e-3, name


def test_recipe_says_untrained() -> None:
    for variant, name in (("paper", "flow_pwc"), ("small", "flow_pwc_small")):
        spec = load_recipe("flow_pwc", variant).spec
        assert spec.name == name
        assert spec.weights.describe() == "seed 0 (untrained)"


def public_pwclite() -> dict[str, torch.Tensor]:
    """A state dict with the keys and shapes of the public network, from its description."""
    state: dict[str, torch.Tensor] = {}

    def conv(name: str, a: int, b: int, kernel: int = 3) -> None:
        state[f"{name}.0.weight"] = torch.full((b, a, kernel, kernel), 0.01)
        state[f"{name}.0.bias"] = torch.full((b,), 0.5)

    widths = (3, 16, 32, 64, 96, 128, 192)
    for k in range(6):
        conv(f"feature_pyramid_extractor.convs.{k}.0", widths[k], widths[k + 1])
        conv(f"feature_pyramid_extractor.convs.{k}.1", widths[k + 1], widths[k + 1])
    for k, (a, b) in enumerate(((115, 128), (128, 128), (256, 96), (224, 64), (160, 32)), start=1):
        conv(f"flow_estimators.conv{k}", a, b)
    conv("flow_estimators.predict_flow", 96, 2)
    around = (34, 128, 128, 128, 96, 64, 32, 2)
    for k in range(7):
        conv(f"context_networks.convs.{k}", around[k], around[k + 1])
    for k, width in enumerate((192, 128, 96, 64, 32)):
        conv(f"conv_1x1.{k}", width, 32, 1)
    return state


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_public_checkpoint_loads(tmp_path: Path, prefix: str) -> None:
    file = tmp_path / "pwclite.pth.tar"
    state = {prefix + name: one for name, one in public_pwclite().items()}
    torch.save({"epoch": 1, "state_dict": state}, file)
    module = build_module(load_recipe("flow_pwc"), file)
    for name, one in module.named_parameters():
        wanted = 0.5 if name.endswith("bias") else 0.01
        if name == "encoder.0.0.0.weight":  # red, green and blue in one
            wanted = 0.03
        assert one.unique().tolist() == pytest.approx([wanted]), name


def test_its_own_checkpoint_loads_and_anothers_is_refused(tmp_path: Path, small: FlowPwc) -> None:
    file = tmp_path / "flow.pth"
    torch.save(FlowPwc(SMALL, seed=3).state_dict(), file)
    loaded = build_module(load_recipe("flow_pwc", "small"), file)
    assert not torch.equal(loaded.estimator.flow.weight, small.estimator.flow.weight)
    with pytest.raises(ExportError, match=r"mis-shaped: encoder\.0\.0\.0\.weight"):
        load_weights(FlowPwc(PAPER), file)
    dense = public_pwclite() | {"flow_estimators.conv_last.0.weight": torch.zeros(2, 563, 3, 3)}
    torch.save(dense, file)
    with pytest.raises(ExportError, match=r"unexpected: flow_estimators\.conv_last"):
        load_weights(FlowPwc(PAPER), file, pwclite_keys)
