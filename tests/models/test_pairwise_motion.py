"""System D: both decoders and the second stage, and what each part changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cineflow.errors import ExportError
from cineflow.export.bundle import load_weights
from cineflow.export.recipe import load_recipe
from cineflow.models.blocks import ConvGru, TemporalAttention, time_code
from cineflow.models.pairwise_motion import (
    PAPER,
    SMALL,
    WINDOW,
    PairwiseMotion,
    PairwiseMotionWindow,
    RefineSeries,
    Size,
)
from tests.models.streams import (
    as_input,
    cine_mr,
    require_all_alive,
    require_states_matter,
    run_through,
)

SPECS = {
    "successive": load_recipe("pairwise_motion").spec,
    "reference": load_recipe("pairwise_motion_reference").spec,
}
SIZES = [
    pytest.param(SMALL, id="small"),
    pytest.param(PAPER, id="paper", marks=pytest.mark.slow),
]


def window_of(frames: np.ndarray) -> torch.Tensor:
    """Frames as the transformer's window, [1, T, H, W]."""
    return torch.cat([as_input(frame) for frame in frames], dim=1)


# --- recurrent decoder ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_untrained_motion_is_alive_at_full_size(size: Size) -> None:
    spec = load_recipe("pairwise_motion", "small" if size is SMALL else "paper").spec
    results = run_through(PairwiseMotion(size).eval(), spec, cine_mr(192, 192))
    assert results[0][0].shape == (1, 2, 192, 192)
    assert not results[0][0].any(), "the first frame is not a pair"
    for motion, *_ in results[1:]:
        assert 2.0 <= motion.std() < 8.0
    assert (results[1][0] - results[2][0]).abs().mean() > 0.1


@pytest.mark.parametrize("pairing", SPECS)
def test_every_parameter_and_every_state_changes_the_motion(pairing: str) -> None:
    network, spec = PairwiseMotion(pairing=pairing).eval(), SPECS[pairing]
    frames = cine_mr(64, 64)
    *_, last = run_through(network, spec, frames[:2])
    motion, *_ = network(as_input(frames[2]), *(one.clone() for one in last[1:]))
    require_all_alive(network, [motion])
    require_states_matter(network, spec, frames, leave=["begun"])


@pytest.mark.slow
def test_untrained_motion_from_a_reference_is_alive_at_full_size() -> None:
    network = PairwiseMotion(pairing="reference").eval()
    for motion, *_ in run_through(network, SPECS["reference"], cine_mr(192, 192))[1:]:
        assert 2.0 <= motion.std() < 8.0


def test_pairs_are_successive_or_share_their_first_image() -> None:
    frames = cine_mr(64, 64)
    for pairing, spec in SPECS.items():
        network = PairwiseMotion(pairing=pairing).eval()
        passes: list[int] = []
        hook = network.encoder[0].register_forward_hook(
            lambda block, given, made, passes=passes: passes.append(given[0].shape[0])
        )
        results = run_through(network, spec, frames)
        hook.remove()
        assert passes == [1, 1, 1], "the encoder runs once for each frame"
        with torch.inference_mode():
            wanted = network.encoder[0](as_input(frames[2 if pairing == "successive" else 0]))
        torch.testing.assert_close(results[2][2], wanted)


def test_the_first_frame_leaves_the_hidden_states_at_zero() -> None:
    results = run_through(PairwiseMotion().eval(), SPECS["successive"], cine_mr(64, 64)[:2])
    assert not any(one.any() for one in results[0][-5:])
    assert all(one.any() for one in results[1][-5:])


def test_an_unknown_pairing_is_refused() -> None:
    with pytest.raises(ValueError, match="successive or reference, not 'all'"):
        PairwiseMotion(pairing="all")


@pytest.mark.parametrize("size", [(32, 48), (64, 64)])
def test_a_constant_head_is_that_motion_at_every_size(size: tuple[int, int]) -> None:
    network = constant(PairwiseMotion().eval())
    results = run_through(network, SPECS["successive"], cine_mr(*size)[:2])
    assert (results[1][0][0, 0] == 3.0).all()
    assert (results[1][0][0, 1] == -2.0).all()


def constant(network: nn.Module) -> nn.Module:
    """The motion head set to (3, -2) px."""
    head = network.decoder.motion
    with torch.no_grad():
        head.weight.zero_()
        head.bias[:] = torch.tensor([3.0, -2.0])
    return network


def test_a_convgru_is_the_formula() -> None:
    """h' = (1 - z) h + z tanh(W [x, r h]), here with weights that make each part known."""
    unit = ConvGru(1)
    with torch.no_grad():
        for one in unit.parameters():
            one.zero_()
        unit.gates.weight[0, 0, 1, 1] = 1.0  # z = s(x)
        unit.gates.weight[1, 1, 1, 1] = 1.0  # r = s(h)
        unit.candidate.weight[0, 0, 1, 1] = 1.0
        unit.candidate.weight[0, 1, 1, 1] = 2.0
        x, h = torch.tensor([[[[0.5]]]]), torch.tensor([[[[-0.25]]]])
        z, r = torch.sigmoid(x), torch.sigmoid(h)
        wanted = (1 - z) * h + z * torch.tanh(x + 2.0 * r * h)
        torch.testing.assert_close(unit(x, h), wanted)


# --- transformer ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("size", [SMALL, PAPER], ids=["small", "paper"])
def test_untrained_window_is_alive_at_full_size(size: Size) -> None:
    frames = cine_mr(192, 192, WINDOW, 3)
    with torch.inference_mode():
        fields = PairwiseMotionWindow(size).eval()(as_input(frames[0]), window_of(frames))
    assert fields.shape == (1, WINDOW, 2, 192, 192)
    assert 2.0 <= fields.std() < 8.0
    assert (fields[:, 1:] - fields[:, :-1]).abs().mean() > 0.05


def test_every_parameter_of_the_transformer_changes_a_field_and_frames_exchange() -> None:
    network = PairwiseMotionWindow().eval()
    frames = cine_mr(32, 48, WINDOW, 3)
    fields = network(as_input(frames[0]), window_of(frames))
    require_all_alive(network, [fields])
    later = frames.copy()
    later[-1] = 255 - later[-1]
    with torch.inference_mode():
        other = network(as_input(frames[0]), window_of(later))
        swapped = network(as_input(frames[0]), window_of(frames[::-1]))
    assert (other[0, 0] - fields[0, 0]).abs().max() > 1e-3, "the first frame attends to the last"
    assert (swapped.flip(1) - fields).abs().max() > 1e-3, "the order of the frames counts"


def test_a_window_encodes_each_of_its_frames_once_and_its_reference() -> None:
    network, frames = PairwiseMotionWindow().eval(), cine_mr(32, 48, WINDOW, 3)
    passes: list[int] = []
    network.encoder[0].register_forward_hook(lambda *seen: passes.append(seen[1][0].shape[0]))
    with torch.inference_mode():
        network(as_input(frames[0]), window_of(frames))
    assert passes == [1 + WINDOW]


def test_attention_is_torchs_own() -> None:
    """Against `nn.MultiheadAttention` with the same weights, for every pixel as a sequence."""
    torch.manual_seed(0)
    block = TemporalAttention(8, heads=2).eval()
    peer = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    with torch.no_grad():
        peer.in_proj_weight.copy_(block.projection.weight[:, :, 0, 0])
        peer.in_proj_bias.copy_(block.projection.bias)
        peer.out_proj.weight.copy_(block.output.weight[:, :, 0, 0])
        peer.out_proj.bias.copy_(block.output.bias)
        x = torch.randn(5, 8, 3, 4)
        pixels = x.permute(2, 3, 0, 1).reshape(12, 5, 8)
        seen = peer(pixels, pixels, pixels, need_weights=False)[0]
        seen = x + seen.reshape(3, 4, 5, 8).permute(2, 3, 0, 1)
        torch.testing.assert_close(block(x), seen + block.space(seen), atol=1e-5, rtol=1e-4)


def test_time_codes_tell_frames_apart() -> None:
    codes = time_code(WINDOW, SMALL.hidden)[:, :, 0, 0]
    assert codes.shape == (WINDOW, SMALL.hidden)
    assert torch.cdist(codes, codes)[~torch.eye(WINDOW, dtype=torch.bool)].min() > 0.1


# --- second stage ---------------------------------------------------------------------------------


def test_the_second_stage_returns_as_many_fields_and_each_sees_the_others() -> None:
    network = RefineSeries().eval()
    fields = 3.0 * torch.randn(6, 2, 16, 24, generator=torch.Generator().manual_seed(0))
    corrected = network(fields)
    assert corrected.shape == fields.shape
    require_all_alive(network, [corrected])
    changed = fields.clone()
    changed[3] += 1.0
    with torch.inference_mode():
        moved = (network(changed) - corrected).abs().amax(dim=(1, 2, 3))
    assert (moved > 1e-4).all()


def test_a_correction_of_zero_leaves_the_fields() -> None:
    network = RefineSeries().eval()
    with torch.no_grad():
        network.correction.weight.zero_()
        fields = torch.randn(3, 2, 8, 8)
        assert torch.equal(network(fields), fields)


def test_sizes_and_labels() -> None:
    assert tuple(4 * width for width in SMALL.widths) == PAPER.widths
    assert 4 * SMALL.hidden == PAPER.hidden
    for stem in ("", "_reference", "_window", "_refine"):
        for variant, added in (("", ""), ("paper", "_paper")):
            spec = load_recipe(f"pairwise_motion{stem}", variant).spec
            assert spec.name == f"pairwise_motion{stem}{added}"
            assert spec.weights.describe() == "seed 0 (untrained)"


# --- checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [PairwiseMotion, PairwiseMotionWindow, RefineSeries])
def test_a_checkpoint_loads_and_one_of_another_variant_is_refused(
    tmp_path: Path, build: Callable[..., nn.Module]
) -> None:
    file = tmp_path / "pairs.pth"
    state = {name: torch.full_like(one, 2) for name, one in build(SMALL).state_dict().items()}
    torch.save(state, file)
    network = build(SMALL)
    load_weights(network, file)
    assert all((one == 2).all() for one in network.parameters())
    with pytest.raises(ExportError, match=r"mis-shaped: \w+.*weight") as refused:
        load_weights(build(PAPER), file)
    assert "--variant" in refused.value.remedy
    first, *others = state
    torch.save({name: state[name] for name in others}, file)
    with pytest.raises(ExportError, match=f"missing: {re.escape(first)}"):
        load_weights(network, file)
