"""System B: its layout, its direction and unit, what each part changes, and public checkpoints."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from cineflow.errors import ExportError
from cineflow.export.bundle.weights import load_weights
from cineflow.export.recipe import load_recipe
from cineflow.export.recipes.joint_motion_seg import spec_of
from cineflow.models.blocks import pyramid_of
from cineflow.models.joint_motion_seg import CLASSES, PAPER, SMALL, JointMotionSeg, Size
from tests.models.streams import (
    as_input,
    cine_mr,
    no_states,
    require_all_alive,
    require_states_matter,
    run_through,
)

SPEC = load_recipe("joint_motion_seg").spec
PUBLIC = load_recipe("joint_motion_seg", "public").spec
PUBLIC_SMALL = spec_of(SMALL, recurrent=False)


@pytest.fixture(scope="module")
def network() -> JointMotionSeg:
    return JointMotionSeg().eval()


@pytest.mark.parametrize(
    ("variant", "size"),
    [("small", SMALL), pytest.param("paper", PAPER, marks=pytest.mark.slow)],
)
def test_untrained_outputs_are_alive_at_full_size(variant: str, size: Size) -> None:
    spec = load_recipe("joint_motion_seg", variant).spec
    results = run_through(JointMotionSeg(size).eval(), spec, cine_mr(192, 192))
    for displacement, labels, probabilities, aligned, *_ in results:
        assert displacement.shape == (1, 2, 192, 192)
        assert 2.0 <= displacement.std() < 8.0
        assert len(labels.unique()) > 1
        assert probabilities.amax(dim=1).mean() > 0.3
        assert probabilities.std(dim=(2, 3)).max() > 0.01
        assert aligned.std() > 0.01
    assert (results[1][0] - results[2][0]).abs().mean() > 0.05, "the current frame matters"


def test_small_has_the_stages_of_the_papers_at_a_quarter_of_the_width() -> None:
    small, paper = JointMotionSeg(SMALL), JointMotionSeg(PAPER)
    assert [name for name, _ in small.named_parameters()] == [
        name for name, _ in paper.named_parameters()
    ]
    assert tuple(4 * width for width in SMALL.widths) == PAPER.widths == (64, 128, 256, 512, 512)
    assert 4 * SMALL.hidden == PAPER.hidden == 64


def test_every_parameter_and_every_state_changes_an_output(network: JointMotionSeg) -> None:
    frames = cine_mr(64, 64)
    *_, last = run_through(network, SPEC, frames[:2])
    states = [one.clone() for one in last[len(SPEC.outputs) :]]
    displacement, _, probabilities, aligned, *_ = network(as_input(frames[2]), *states)
    require_all_alive(network, [displacement, probabilities, aligned])
    require_states_matter(network, SPEC, frames, leave=["begun"])


def test_the_first_frame_is_its_own_reference(network: JointMotionSeg) -> None:
    """Where nothing is kept, the current frame stands in."""
    frame, other = cine_mr(64, 64)[:2]
    with torch.inference_mode():
        first = network(as_input(frame), *no_states(SPEC, 64, 64))
        later = network(as_input(other), *first[4:])
        features = pyramid_of(network.conv_blocks, as_input(frame))
        target = network.target_of(features)
        motion = network.motion_of(features, target, torch.zeros(1, 2, 64, 64))
    assert torch.equal(first[4], torch.ones(1, 1, 1, 1))
    assert torch.equal(first[-1], motion)
    for one, two, wanted in zip(first[5:10], later[5:10], target, strict=True):
        assert torch.equal(one, wanted)
        assert torch.equal(one, two), "what the reference adds stays"


@pytest.mark.parametrize("size", [(32, 48), (64, 64), (96, 48)])
def test_a_constant_head_is_that_displacement(size: tuple[int, int]) -> None:
    """In pixels, x first: 1 of the head is half the distance of the corner pixels' centres."""
    height, width = size
    network = constant(JointMotionSeg(recurrent=False), height, width).eval()
    frame, *_ = cine_mr(height, width)
    (displacement, _, _, aligned, *_), *_ = run_through(network, PUBLIC_SMALL, [frame])
    torch.testing.assert_close(displacement[0, 0], torch.full(size, 3.0))
    torch.testing.assert_close(displacement[0, 1], torch.full(size, -2.0))
    # aligned(p) = current(p + displacement(p))
    torch.testing.assert_close(aligned[0, 0, 2:, :-3], as_input(frame)[0, 0, :-2, 3:])


def constant(network: JointMotionSeg, height: int, width: int) -> JointMotionSeg:
    """The head set to (3, -2) px for frames of this size."""
    with torch.no_grad():
        network.conv8.weight.zero_()
        assert network.conv8.bias is not None
        network.conv8.bias[0] = math.atanh(3.0 * 2.0 / (width - 1))
        network.conv8.bias[1] = math.atanh(-2.0 * 2.0 / (height - 1))
    return network


def test_the_motion_samples_as_the_public_code_did(network: JointMotionSeg) -> None:
    """Its grid runs from -1 to 1 over the corner pixels' centres: align_corners=True."""
    (_, frame) = cine_mr(64, 96)[:2]
    results = run_through(network, SPEC, cine_mr(64, 96)[:2])
    motion, aligned = results[1][-1], results[1][3]
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 96), indexing="ij")
    grid = torch.stack([x + motion[0, 0], y + motion[0, 1]], dim=-1)[None]
    corners = F.grid_sample(as_input(frame), grid, align_corners=True)
    torch.testing.assert_close(aligned, corners, atol=1e-4, rtol=0)
    default = F.grid_sample(as_input(frame), grid, align_corners=False)
    assert (aligned - default).abs().max() > 0.02, "half a pixel shows at the border"


def test_the_motion_is_its_own_memory() -> None:
    """h_t = tanh(x_t + W h_(t-1) + b), two channels, each pixel by itself."""
    network, without = JointMotionSeg().eval(), JointMotionSeg().eval()
    assert network.recurrence is not None
    assert without.recurrence is not None
    with torch.no_grad():
        network.recurrence.bias.fill_(0.125)
        without.recurrence.weight.zero_()
    first, second = run_through(network, SPEC, cine_mr(64, 64)[:2])
    alone = run_through(without, SPEC, cine_mr(64, 64)[:2])[1][-1]
    weight, before, after = network.recurrence.weight[:, :, 0, 0].detach(), first[-1], second[-1]
    memory = torch.einsum("oi,bihw->bohw", weight, before.clone())
    wanted = torch.tanh(torch.atanh(alone) + memory + 0.125)
    assert memory.abs().max() > 0.005
    torch.testing.assert_close(after, wanted, atol=2e-5, rtol=1e-4)


def test_the_encoder_runs_once_for_each_frame(network: JointMotionSeg) -> None:
    passes: list[int] = []
    hook = network.conv_blocks[0].register_forward_hook(
        lambda block, given, made: passes.append(given[0].shape[0])
    )
    run_through(network, SPEC, cine_mr(64, 64))
    hook.remove()
    assert passes == [1, 1, 1]


# --- checkpoints ----------------------------------------------------------------------------------

WIDTHS = (64, 128, 256, 512, 512)
BLOCKS = (2, 2, 3, 3, 3)


def public_state(counters: bool = True) -> dict[str, torch.Tensor]:
    """A state dict in the layout of the public code's `Seg_Motion_Net`, written from its text."""
    state: dict[str, torch.Tensor] = {}

    def convolution(key: str, a: int, b: int, kernel: int, bias: bool) -> None:
        state[f"{key}.weight"] = torch.full((b, a, kernel, kernel), 0.25)
        if bias:
            state[f"{key}.bias"] = torch.full((b,), 0.5)

    def normalised(key: str, a: int, b: int, kernel: int = 3) -> None:
        convolution(f"{key}.0", a, b, kernel, bias=False)
        for name, value in {
            "weight": 1.0,
            "bias": 2.0,
            "running_mean": 3.0,
            "running_var": 4.0,
        }.items():
            state[f"{key}.1.{name}"] = torch.full((b,), value)
        if counters:
            state[f"{key}.1.num_batches_tracked"] = torch.tensor(7)

    before = 1
    for block, (width, count) in enumerate(zip(WIDTHS, BLOCKS, strict=True)):
        for layer in range(count):
            normalised(f"conv_blocks.{block}.{layer}", before, width)
            before = width
    for branch, factor, classes in (("", 2, 2), ("s", 1, 4)):
        for scale, width in enumerate(WIDTHS):
            normalised(f"conv{branch}.{scale}", factor * width, 64)
        convolution(f"conv6{branch}", 320, 64, 1, bias=True)
        normalised(f"conv7{branch}", 64, 64, 1)
        convolution(f"conv8{branch}", 64, classes, 1, bias=True)
    return state


@pytest.mark.parametrize("counters", [True, False], ids=["torch 0.4.1", "torch 0.3"])
def test_a_public_checkpoint_loads_as_it_is(tmp_path: Path, counters: bool) -> None:
    file = tmp_path / "joint_model.pth"
    torch.save(public_state(counters), file)
    network = JointMotionSeg(PAPER, recurrent=False)
    load_weights(network, file)
    assert network.conv_blocks[4][2][0].weight.unique().tolist() == [0.25]
    assert network.conv8s.bias is not None
    assert network.conv8s.bias.unique().tolist() == [0.5]
    assert network.conv7[1].running_var.unique().tolist() == [4.0]


def test_a_checkpoint_without_the_recurrence_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "joint_model.pth"
    torch.save(public_state(), file)
    with pytest.raises(ExportError, match=r"missing: recurrence\.weight, recurrence\.bias"):
        load_weights(JointMotionSeg(PAPER), file)


def test_a_checkpoint_of_another_size_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "joint_model.pth"
    torch.save(public_state(), file)
    with pytest.raises(ExportError, match=r"mis-shaped: conv_blocks\.0\.0\.0\.weight") as refused:
        load_weights(JointMotionSeg(SMALL, recurrent=False), file)
    assert "--variant" in refused.value.remedy


def test_recipes_say_untrained_and_name_the_classes() -> None:
    for variant, added in (("small", ""), ("paper", "_paper"), ("public", "_public")):
        spec = load_recipe("joint_motion_seg", variant).spec
        assert spec.name == f"joint_motion_seg{added}"
        assert spec.weights.describe() == "seed 0 (untrained)"
        assert spec.outputs[1].names == CLASSES
    assert [one.name for one in PUBLIC.states] == [one.name for one in SPEC.states[:-1]]
