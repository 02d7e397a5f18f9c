"""System A: its update, its direction and unit, what each part changes, and both forms in time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cineflow.errors import ExportError
from cineflow.export.bundle.weights import load_weights
from cineflow.export.recipe import load_recipe
from cineflow.models.flow4d import (
    LAYERS,
    PAPER,
    SMALL,
    UPDATES,
    WINDOW,
    Flow4d,
    Flow4dWindow,
    Size,
    acceleration,
    reconstruction,
)
from cineflow.phantom import Beat, ventricle
from tests.models.streams import require_all_alive

#: Three different extents, so that swapped axes show.
SIZE = (16, 24, 32)
#: Motion of the planted field, (x, y, z) voxels. Whole voxels, so that a shift of an array is it.
SHIFT = (4.0, -2.0, 2.0)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # two wait for each other on a machine that is busy


#: The size that speed and liveness are stated for.
FULL = (64, 64, 64)


@cache
def _beat() -> np.ndarray:
    return ventricle(0, size=FULL, beat=Beat(frame_rate_hz=4.0)).frames[:4].astype(np.float32)


def beating(size: tuple[int, int, int], count: int) -> torch.Tensor:
    """Volumes of a beating ventricle, grey levels [count, 1, *size]: the middle of a phantom's.

    There are four of them; more are the same again.
    """
    corner = [(whole - part) // 2 for whole, part in zip(FULL, size, strict=True)]
    cut = tuple(slice(at, at + part) for at, part in zip(corner, size, strict=True))
    return torch.from_numpy(np.stack([_beat()[k % 4][cut] for k in range(count)]))[:, None]


def no_states(size: tuple[int, int, int]) -> list[torch.Tensor]:
    half = [extent // 2 for extent in size]
    return [torch.zeros(1, 3, *half), torch.zeros(1, 3, *half)]


def run_clip(
    network: nn.Module, volumes: torch.Tensor, size: tuple[int, int, int], at_once: int = 1
) -> list[tuple[torch.Tensor, ...]]:
    """Everything that a network returns for a clip [T, 1, D, H, W], in steps of `at_once`."""
    states = no_states(size)
    found = []
    with torch.inference_mode():
        for k in range(0, len(volumes), at_once):
            now = volumes[k : k + at_once]
            outputs = network(volumes[:1], now.transpose(0, 1), *states)
            states = list(outputs[3:])
            found.append(outputs)
    return found


def moved(volume: np.ndarray, shift: Sequence[float]) -> np.ndarray:
    """`volume` [D, H, W] moved by whole voxels (x, y, z); it wraps around at the faces."""
    x, y, z = map(round, shift)
    return np.roll(volume, (z, y, x), axis=(0, 1, 2))


def constant(network: nn.Module) -> nn.Module:
    """The field layer set to `SHIFT`, in the voxels of half the resolution."""
    update = getattr(network, "update", None) or network.window_update
    with torch.no_grad():
        update.field.weight.zero_()
        update.field.bias[:] = torch.tensor(SHIFT) / 2.0
    return network


# --- liveness -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size",
    [pytest.param(SMALL, id="small"), pytest.param(PAPER, id="paper")],
)
@pytest.mark.slow
def test_untrained_motion_is_alive_at_full_size(size: Size) -> None:
    results = run_clip(Flow4d(size).eval(), beating(FULL, 3), FULL)
    for displacement, rebuilt, uneven, *_ in results:
        assert displacement.shape == (1, 3, *FULL)
        assert 2.0 <= displacement.std() < 8.0
        assert rebuilt > 1.0
        assert uneven > 0.1
    assert (results[1][0] - results[2][0]).abs().mean() > 0.1, "the current volume matters"


@pytest.mark.slow
@pytest.mark.parametrize("size", [SMALL, PAPER], ids=["small", "paper"])
def test_an_untrained_window_is_alive_at_full_size(size: Size) -> None:
    ((fields, *_),) = run_clip(Flow4dWindow(size).eval(), beating(FULL, 4), FULL, WINDOW)
    for field in fields[0]:
        assert 2.0 <= field.std() < 8.0
    assert (fields[0, 1:] - fields[0, :-1]).abs().mean() > 0.1


@pytest.mark.slow
def test_untrained_fields_do_not_grow_from_volume_to_volume() -> None:
    size = (32, 32, 32)
    results = run_clip(Flow4d().eval(), beating(size, 40), size)
    spread = [one[0].std().item() for one in results]
    assert max(spread[-8:]) < 1.05 * max(spread[8:16])


def test_every_parameter_and_every_state_changes_an_output() -> None:
    network, volumes = Flow4d().eval(), beating(SIZE, 4)
    *_, last = run_clip(network, volumes[:3], SIZE)
    states = [one.clone() for one in last[3:]]
    displacement, *_ = network(volumes[:1], volumes[3:4], *states)
    require_all_alive(network, [displacement])
    with torch.inference_mode():
        for change in ([states[0] + 0.1, states[1]], [states[0], states[1] + 0.1], states[::-1]):
            other, *_ = network(volumes[:1], volumes[3:4], *change)
            assert (other - displacement).abs().max() > 1e-2


def test_every_parameter_and_every_state_of_a_window_changes_an_output() -> None:
    network, volumes = Flow4dWindow().eval(), beating(SIZE, 4)
    states = [one.clone() for one in run_clip(network, volumes, SIZE, WINDOW)[0][3:]]
    fields, _, uneven, *_ = network(volumes[:1], volumes.transpose(0, 1), *states)
    require_all_alive(network, [fields])
    with torch.inference_mode():
        other = network(volumes[:1], volumes.transpose(0, 1), states[0] + 0.1, states[1])
        assert (other[0] - fields).abs().max() > 1e-2
        swapped = network(volumes[:1], volumes.transpose(0, 1), *states[::-1])
        assert (swapped[0] - fields).abs().max() > 1e-2
        other = network(volumes[:1], volumes.transpose(0, 1), states[0], states[1] + 0.1)
        assert (other[2] - uneven)[0, 0].abs() > 1e-2
        assert not (other[2] - uneven)[0, 1:].any(), "only the first volume has it as a neighbour"


def test_small_has_the_stages_of_the_papers_at_a_quarter_of_the_width() -> None:
    small, paper = Flow4d(SMALL), Flow4d(PAPER)
    names = [name for name, _ in small.named_parameters()]
    assert names == [name for name, _ in paper.named_parameters()]
    assert 4 * SMALL.width == PAPER.width == 32
    assert sum(isinstance(one, nn.Conv3d) for one in paper.modules()) == LAYERS == 9


# --- the update -----------------------------------------------------------------------------------


def test_the_step_against_the_residual_is_tv_l1s() -> None:
    """Its three cases, written out for each voxel (Zach et al. 2007, eq. 15)."""
    network = Flow4d().eval().update
    rng = np.random.default_rng(0)
    reference, current = rng.random((2, 4, 5, 6), np.float32)
    seen: list[torch.Tensor] = []
    hook = network.hidden.register_forward_hook(lambda block, given, made: seen.append(given[0]))
    nothing = torch.zeros(1, 3, 4, 5, 6)
    reach, flat = 0.75, (2.0 / 255.0) ** 2
    network(
        torch.from_numpy(reference)[None, None], torch.from_numpy(current)[None, None], nothing,
        (nothing, nothing), torch.tensor(reach),
    )  # fmt: skip
    hook.remove()
    np.testing.assert_allclose(seen[0][0, 2], current - reference, atol=1e-6)
    found = seen[0][0, 3:6].detach().numpy() * 32.0
    padded = np.pad(current, 1, mode="edge")
    cases = set()
    for z, y, x in np.ndindex(4, 5, 6):
        at = padded[z : z + 3, y : y + 3, x : x + 3]
        slope = 0.5 * np.array(
            [at[1, 1, 2] - at[1, 1, 0], at[1, 2, 1] - at[1, 0, 1], at[2, 1, 1] - at[0, 1, 1]]
        )
        residual, square = current[z, y, x] - reference[z, y, x], slope @ slope + flat
        if residual < -reach * square:
            case, step = "below", reach * slope
        elif residual > reach * square:
            case, step = "above", -reach * slope
        else:
            case, step = "within", -residual * slope / square
        cases.add(case)
        np.testing.assert_allclose(found[:, z, y, x], step, atol=1e-5)
    assert cases == {"below", "above", "within"}


def test_updates_run_from_coarse_to_fine() -> None:
    network, sizes = Flow4d().eval(), []
    hook = network.update.field.register_forward_hook(
        lambda layer, given, made: sizes.append(tuple(made.shape[2:]))
    )
    run_clip(network, beating(SIZE, 4)[:1], SIZE)
    hook.remove()
    levels = [tuple(extent // shrink for extent in SIZE) for shrink in (8, 4, 2)]
    assert sizes == [
        level for level, count in zip(levels, UPDATES, strict=True) for _ in range(count)
    ]


@pytest.mark.parametrize("size", [SIZE, (24, 16, 16), (32, 40, 24)])
def test_a_constant_head_is_that_displacement(size: tuple[int, int, int]) -> None:
    """In voxels, x first: current(p + displacement(p)) shows what reference(p) shows."""
    grain = np.random.default_rng(1).integers(0, 256, size).astype(np.float32)
    clip = np.stack(
        [grain, moved(grain, SHIFT), moved(grain, SHIFT), moved(grain, [-s for s in SHIFT])]
    )
    results = run_clip(constant(Flow4d().eval()), torch.from_numpy(clip)[:, None], size)
    for displacement, *_ in results:
        for component, wanted in zip(displacement[0], SHIFT, strict=True):
            assert (component == wanted).all()
    rebuilt = [one[1].item() for one in results]
    assert rebuilt[1] < 1e-3
    assert rebuilt[2] < 1e-3
    assert min(rebuilt[0], rebuilt[3]) > 50.0, "not moved, and moved the other way"
    length = float(np.linalg.norm(SHIFT))
    # From rest by SHIFT at once; then u - 2u; then even.
    assert [one[2].item() for one in results] == pytest.approx([length, length, 0.0, 0.0], abs=1e-5)


def test_a_window_with_a_constant_head() -> None:
    grain = np.random.default_rng(1).integers(0, 256, SIZE).astype(np.float32)
    clip = torch.from_numpy(np.stack([grain, *[moved(grain, SHIFT)] * 3]))[:, None]
    ((fields, rebuilt, uneven, *_),) = run_clip(constant(Flow4dWindow().eval()), clip, SIZE, WINDOW)
    assert fields.shape == (1, WINDOW, 3, *SIZE)
    for k, wanted in enumerate(SHIFT):
        assert (fields[0, :, k] == wanted).all()
    assert (rebuilt[0, 1:] < 1e-3).all()
    length = float(np.linalg.norm(SHIFT))
    assert uneven[0].tolist() == pytest.approx([length, length, 0.0, 0.0], abs=1e-5)


# --- the terms ------------------------------------------------------------------------------------


def test_the_reconstruction_term_leaves_out_what_moves_in() -> None:
    reference = torch.full((2, 1, 4, 4, 8), 10.0)
    current = torch.full((2, 1, 4, 4, 8), 13.0)
    current[..., 7] = 113.0
    displacement = torch.zeros(2, 3, 4, 4, 8)
    displacement[1, 0] = 1.0  # the last column leaves, and the one before sees 113
    found = reconstruction(reference, current, displacement)
    assert found.tolist() == pytest.approx([(7 * 3 + 103) / 8, (6 * 3 + 103) / 7])
    displacement[:, 2] = 100.0
    assert reconstruction(reference, current, displacement).tolist() == [0.0, 0.0]


def test_the_temporal_term_is_the_length_of_the_second_difference() -> None:
    fields = torch.zeros(3, 1, 3, 2, 2, 2)
    for k in range(3):
        fields[k, 0, 0], fields[k, 0, 1] = 1.5 * k, 2.0 * k
    assert acceleration(fields[2], fields[1], fields[0]).tolist() == [0.0]
    fields[2, 0, 2] = 0.5
    assert acceleration(fields[2], fields[1], fields[0]).tolist() == [1.0]  # of the whole grid


# --- time -----------------------------------------------------------------------------------------


def test_a_window_looks_both_ways_and_goes_on_from_the_last() -> None:
    network, volumes = Flow4dWindow().eval(), beating(SIZE, 8)
    first, second = run_clip(network, volumes, SIZE, WINDOW)
    torch.testing.assert_close(2.0 * nn.functional.interpolate(
        first[3], scale_factor=2.0, mode="trilinear"), first[0][:, 3])  # fmt: skip
    torch.testing.assert_close(2.0 * nn.functional.interpolate(
        first[4], scale_factor=2.0, mode="trilinear"), first[0][:, 2])  # fmt: skip
    later = volumes[:WINDOW].clone()
    later[-1] = 255.0 - later[-1]
    (changed,) = run_clip(network, later, SIZE, WINDOW)
    assert (changed[0][:, 2] - first[0][:, 2]).abs().max() > 1e-2, "the volume before sees it"
    (alone,) = run_clip(network, torch.cat([volumes[:1], volumes[5:]]), SIZE, WINDOW)
    assert (alone[0][:, 1:] - second[0][:, 1:]).abs().max() > 1e-2, "the window before counts"


def test_the_causal_form_does_not_look_ahead() -> None:
    network, volumes = Flow4d().eval(), beating(SIZE, 4)
    whole = run_clip(network, volumes, SIZE)
    later = volumes.clone()
    later[3] = 255.0 - later[3]
    changed = run_clip(network, later, SIZE)
    for k in range(3):
        assert torch.equal(whole[k][0], changed[k][0])
    assert (whole[3][0] - changed[3][0]).abs().max() > 1e-2
    assert torch.equal(whole[2][3], whole[3][4]), "the last field becomes the one before it"


# --- recipes and checkpoints ----------------------------------------------------------------------


def test_recipes_say_untrained_and_take_volumes() -> None:
    for name, variant in itertools.product(("flow4d", "flow4d_window"), ("small", "paper")):
        spec = load_recipe(name, variant).spec
        assert spec.name == (name if variant == "small" else f"{name}_paper")
        assert spec.weights.describe() == "seed 0 (untrained)"
        assert spec.weights.seeded
        assert spec.feed.volume
        assert [one.unit for one in spec.outputs] == ["px", "grey level", "px"]
        assert [one.name for one in spec.states] == ["before1", "before2"]
    assert spec.feed.latency == 0
    assert (spec.feed.length, spec.feed.hop) == (WINDOW, WINDOW)


def test_a_checkpoint_loads_and_one_of_another_variant_is_refused(tmp_path: Path) -> None:
    state = {name: torch.full_like(one, 0.5) for name, one in Flow4d().state_dict().items()}
    assert [*state][:2] == ["update.reach", "update.hidden.0.weight"]
    torch.save(state, tmp_path / "flow4d.pth")
    network = Flow4d()
    load_weights(network, tmp_path / "flow4d.pth")
    assert all((one == 0.5).all() for one in network.parameters())
    with pytest.raises(ExportError, match=r"mis-shaped: update\.hidden\.0\.weight") as refused:
        load_weights(Flow4d(PAPER), tmp_path / "flow4d.pth")
    assert "--variant" in refused.value.remedy
    with pytest.raises(ExportError, match=r"missing: window_update\.reach"):
        load_weights(Flow4dWindow(), tmp_path / "flow4d.pth")
