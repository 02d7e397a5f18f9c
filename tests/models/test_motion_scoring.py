"""System C: equalisation, layout and rings, what each part changes, and that it is all alive."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from cineflow import ops
from cineflow.errors import ExportError, SpecError
from cineflow.export.bundle.weights import load_weights
from cineflow.export.recipe import load_recipe
from cineflow.export.recipes.motion_scoring import example_study
from cineflow.models.clahe import ALPHA, LEVELS, Clahe
from cineflow.models.motion_scoring import (
    DISTANCE,
    KERNEL_FRAMES,
    PAPER,
    SCORES,
    SMALL,
    MotionScoring,
    Size,
    on_kernel_frames,
)
from cineflow.models.short_axis import PolarSlices, crop_places, to_segments
from cineflow.motion.aha import NAMES
from cineflow.motion.polar import segment_sequences
from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec
from tests.models.known_scores import AKINETIC, MOTION, TINY, planted, sees_brightness
from tests.models.streams import require_all_alive

FRAMES = 5


@pytest.fixture(scope="module")
def network() -> MotionScoring:
    return MotionScoring(layout=TINY).eval()


@pytest.fixture(scope="module")
def study() -> tuple[torch.Tensor, torch.Tensor]:
    """A phantom's beat, [1, 3, 5, 64, 72], and its landmarks."""
    made = example_study({"frames": FRAMES, "height": 64, "width": 72}, 0)
    return made["cines"], made["landmarks"]


@pytest.fixture(scope="module")
def slices(network: MotionScoring, study: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    with torch.inference_mode():
        return network.polar(*study).clone()


# --- equalisation ---------------------------------------------------------------------------------


def slow_clahe(picture: np.ndarray, tiles: int, limit: int) -> np.ndarray:
    """The definition, tile by tile and pixel by pixel."""
    side = len(picture)
    tile = side // tiles
    maps = np.zeros((tiles, tiles, LEVELS))
    for y in range(tiles):
        for x in range(tiles):
            part = picture[y * tile : (y + 1) * tile, x * tile : (x + 1) * tile]
            counts = np.bincount(part.ravel(), minlength=LEVELS).astype(float)
            clipped = np.minimum(counts, limit) + np.maximum(counts - limit, 0).sum() / LEVELS
            share = np.minimum(np.cumsum(clipped) / tile**2, 1 - 1e-12)
            most = 1 - math.exp(-1 / (2 * ALPHA**2))
            maps[y, x] = np.sqrt(-2 * ALPHA**2 * np.log(1 - most * share))
    out = np.zeros(picture.shape)
    for i in range(side):
        for j in range(side):
            for y, down in near(i, tile, tiles):
                for x, across in near(j, tile, tiles):
                    out[i, j] += down * across * maps[y, x, picture[i, j]]
    return out


def near(pixel: int, tile: int, tiles: int) -> list[tuple[int, float]]:
    place = (pixel + 0.5) / tile - 0.5
    first = math.floor(place)
    share = place - first
    return [(max(first, 0), 1 - share), (min(first + 1, tiles - 1), share)]


def test_equalisation_is_its_definition() -> None:
    random = np.random.default_rng(0)
    pictures = (random.random((2, 32, 32)) ** 2 * 256).astype(np.int64)
    module = Clahe(32, tiles=4, clip_limit=0.1)
    found = module(torch.from_numpy(pictures).float())
    assert module.limit == 1 + round(0.1 * 63)
    for one, picture in zip(found, pictures, strict=True):
        np.testing.assert_allclose(one, slow_clahe(picture, 4, module.limit), atol=2e-6)


def test_equalisation_is_opencvs_with_another_distribution() -> None:
    """One tile, so that OpenCV's even distribution can be read off ours."""
    random = np.random.default_rng(1)
    picture = np.clip(random.normal(90, 30, (256, 256)), 0, 255).astype(np.uint8)
    module = Clahe(256, tiles=1, clip_limit=0.002)
    found = module(torch.from_numpy(picture).float()[None])[0].double().numpy()
    share = (1 - np.exp(-(found**2) / (2 * ALPHA**2))) / (1 - math.exp(-1 / (2 * ALPHA**2)))
    wanted = cv2.createCLAHE(module.limit * LEVELS / 256**2 + 1e-6, (1, 1)).apply(picture)
    assert np.abs(255 * share - wanted).max() < 1.2, "OpenCV counts whole pixels"


def test_the_papers_settings_clip_at_two_pixels() -> None:
    """MATLAB's adapthisteq: ceil(400 / 256) + round(0.001 * 398), for tiles of 20 x 20 pixels."""
    assert Clahe(160).limit == 2


# --- crop, orientation, layout --------------------------------------------------------------------


def test_the_crop_has_the_anterior_wall_up_and_the_septum_left() -> None:
    centre = np.array([50.0, 40.0])
    for anterior, mirrored in ((-90, False), (20, False), (160, True)):
        _, landmarks = planted(1, anterior_deg=anterior, mirrored=mirrored)
        shifted = landmarks[0] - landmarks[0, :, 2:] + torch.tensor(centre).float()
        places = crop_places(shifted, 64).double().numpy()[0]
        np.testing.assert_allclose(places.mean(axis=(0, 1)), centre, atol=1e-4)
        up = places[0, 32] - places[63, 32]
        right = places[32, 63] - places[32, 0]
        angle = np.deg2rad(anterior)
        np.testing.assert_allclose(up / np.hypot(*up), [np.cos(angle), np.sin(angle)], atol=1e-5)
        turn = -1 if mirrored else 1
        np.testing.assert_allclose(right, turn * np.array([-up[1], up[0]]), atol=1e-3)
        assert np.hypot(*up) == pytest.approx(2 * 1.65 * 26 * 63 / 64, rel=1e-5)


def test_opposite_junctions_still_give_a_crop() -> None:
    marks = torch.tensor([[[10.0, 20.0], [30.0, 20.0], [20.0, 20.0]]] * 3)
    assert crop_places(marks, 64).isfinite().all()


@pytest.mark.parametrize("channels", [1, 3])
def test_segments_are_those_of_the_reference_layout(channels: int) -> None:
    random = np.random.default_rng(0)
    slices = random.random((3, channels, 96, 10)).astype(np.float32)  # [slice, C, a, r]
    wanted = segment_sequences(*slices.transpose(0, 3, 2, 1))
    found = to_segments(torch.from_numpy(slices)).numpy()
    np.testing.assert_allclose(found, np.stack(wanted).transpose(0, 3, 2, 1), atol=1e-6)


def test_the_polar_slices_are_our_resampling_of_the_equalised_crop(
    network: MotionScoring, study: tuple[torch.Tensor, torch.Tensor], slices: torch.Tensor
) -> None:
    places = crop_places(study[1][0], TINY.side)
    size = torch.tensor([72.0, 64.0])
    crops = F.grid_sample(study[0][0], (2 * places + 1) / size - 1, align_corners=False)
    equal = network.polar.clahe(crops[:, 0])[:, None]
    grid = ops.PolarGrid(96, 32, last_radius=32.0, first_angle=-math.pi / 2, sweep=-2 * math.pi)
    wanted = ops.polar_resample(equal, (31.5, 31.5), grid, border="clamp")
    torch.testing.assert_close(slices[:, 0], wanted[:, 0])


@pytest.mark.parametrize("segment", range(1, 17))
def test_a_planted_spot_is_in_its_segment(segment: int) -> None:
    """Segments 1, 7 and 13 straddle the seam of the ring."""
    anterior, mirrored = ((-90.0, False), (35.0, False), (200.0, True))[segment % 3]
    study = planted(segment, anterior_deg=anterior, mirrored=mirrored, frames=1)
    segments = to_segments(PolarSlices(TINY)(*study))
    brightest = segments[:, :, :, 6:24].amax(dim=(1, 2, 3))
    assert int(brightest.argmax()) + 1 == segment, (anterior, mirrored)


# --- the network ----------------------------------------------------------------------------------


def test_shapes_and_how_the_outputs_hang_together(
    network: MotionScoring, study: tuple[torch.Tensor, torch.Tensor]
) -> None:
    with torch.inference_mode():
        probabilities, scores, abnormal, index, motion = network(*study)
    assert probabilities.shape == (1, 16, len(SCORES))
    torch.testing.assert_close(probabilities.sum(dim=2), torch.ones(1, 16))
    assert torch.equal(scores, probabilities.argmax(dim=2).int() + 1)
    assert torch.equal(abnormal, (scores > 1).int())
    assert float(index) == pytest.approx(float(scores.float().mean()))
    assert motion.shape == (1, 16, FRAMES, 2)


def test_a_ring_has_no_seam(network: MotionScoring, slices: torch.Tensor) -> None:
    """Turned by eight angles, the motion is turned by eight: nothing is special at the first."""
    with torch.inference_mode():
        flows = network.flow(slices)
        turned = network.flow(slices.roll(8, dims=2))
    for scale, (one, other) in enumerate(zip(flows, turned, strict=True)):
        torch.testing.assert_close(other, one.roll(8 // 2**scale, dims=3), atol=2e-5, rtol=1e-4)


def test_slices_do_not_see_one_another(network: MotionScoring, slices: torch.Tensor) -> None:
    changed = slices.clone()
    changed[1] = changed[1].flip(0)
    with torch.inference_mode():
        for one, other in zip(network.flow(slices), network.flow(changed), strict=True):
            torch.testing.assert_close(one[[0, 2]], other[[0, 2]])
            assert (one[1] - other[1]).abs().max() > 0.01


def test_time_is_circular_and_the_motion_leads_three_frames_on(
    network: MotionScoring, slices: torch.Tensor
) -> None:
    with torch.inference_mode():
        usual = network.flow(slices)[0]
        torch.testing.assert_close(
            network.flow(slices.roll(2, dims=1))[0], usual.roll(2, dims=1), atol=2e-5, rtol=1e-4
        )
        changed = slices.clone()
        changed[:, 1] = changed[:, 1].flip(1)
        moved = (network.flow(changed)[0] - usual).abs().amax(dim=(0, 2, 3, 4)) > 1e-3
    seen_from = (1 - DISTANCE) % FRAMES  # frame 3 + 3 is frame 1, around the beat
    assert moved.nonzero().flatten().tolist() == sorted([1, seen_from])


@pytest.mark.parametrize("frames", [20, KERNEL_FRAMES])
def test_frames_on_the_kernels_axis_are_a_stretched_kernel(frames: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((2, frames, 5, 6), generator=generator)
    kernel = torch.rand((4, KERNEL_FRAMES, 3, 3), generator=generator)
    stretched = F.interpolate(
        kernel.permute(0, 2, 3, 1).flatten(1, 2), frames, mode="linear", align_corners=True
    )
    wanted = F.conv2d(x, stretched.unflatten(1, (3, 3)).permute(0, 3, 1, 2)) * KERNEL_FRAMES
    torch.testing.assert_close(F.conv2d(on_kernel_frames(x), kernel), wanted / frames)
    if frames == KERNEL_FRAMES:
        torch.testing.assert_close(on_kernel_frames(x), x)


def test_every_parameter_changes_an_output(
    network: MotionScoring, study: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Also the attention and the flow behind it: they change the probabilities alone."""
    probabilities, *_ = network(*study)
    require_all_alive(network, [probabilities])


def test_the_motion_decides_where_the_features_are_looked_at(
    network: MotionScoring, slices: torch.Tensor
) -> None:
    generator = torch.Generator().manual_seed(0)
    attention = network.score.attention[0]
    x = torch.rand((16, SMALL.widths[0], 16, 32), generator=generator)
    motion = torch.zeros((16, FRAMES, 2, 16, 32))
    motion[:, :, :, 5, 7] = 4.0
    with torch.inference_mode():
        ratio = attention(x, motion) / x - 1.0  # the attention, the same for each channel
        still = attention(x, torch.zeros_like(motion)) / x - 1.0
    torch.testing.assert_close(ratio.mean(dim=1).sum(dim=(1, 2)), torch.ones(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(ratio[:, 0], ratio[:, 3], atol=1e-5, rtol=0.01)
    changed = (ratio / still)[:, 0]
    assert ((changed[:, 5, 7] / changed[:, 0, 0]).log().abs() > 0.03).all()


def test_the_encoder_runs_once_for_each_frame(network: MotionScoring, slices: torch.Tensor) -> None:
    passes: list[int] = []
    hooks = [
        block.register_forward_hook(lambda _, given, made: passes.append(given[0].shape[0]))
        for block in network.flow.encoder
    ]
    network.flow(slices)
    for hook in hooks:
        hook.remove()
    assert passes == [3 * FRAMES] * 4


@pytest.mark.parametrize("segment", [13])
def test_known_weights_score_the_planted_segment(segment: int) -> None:
    network = sees_brightness(MotionScoring(layout=TINY)).eval()
    with torch.inference_mode():
        probabilities, scores, abnormal, _, motion = network(*planted(segment, frames=4))
    wanted = torch.ones(1, 16, dtype=torch.int32)
    wanted[0, segment - 1] = AKINETIC + 1
    assert torch.equal(scores * abnormal, (wanted * (wanted > 1)).int()), probabilities[..., 2]
    assert probabilities[0, segment - 1, AKINETIC] > 0.7
    torch.testing.assert_close(motion, torch.tensor(MOTION).expand_as(motion))


def test_small_has_the_stages_of_the_paper_at_a_quarter_of_the_width_or_more() -> None:
    small, paper = MotionScoring(SMALL), MotionScoring(PAPER)
    names = [name for name, _ in small.named_parameters()]
    assert names == [name for name, _ in paper.named_parameters()]
    assert PAPER.widths == (32, 64, 128, 256)
    assert SMALL.widths == (PAPER.widths[0] // 2, *(width // 4 for width in PAPER.widths[1:]))
    assert 4 * SMALL.hidden == PAPER.hidden == 256


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("size", [SMALL, PAPER], ids=["small", "paper"])
def test_untrained_outputs_are_alive_at_full_size(size: Size) -> None:
    study = example_study({"frames": 25, "height": 160, "width": 168}, 0)
    network = MotionScoring(size).eval()
    seen: list[torch.Tensor] = []
    network.flow.register_forward_hook(lambda _, given, made: seen.extend((given[0], made[0])))
    with torch.inference_mode():
        probabilities, scores, *_ = network(*study.values())
    slices, flow = seen
    assert slices.std() > 0.1
    assert 2.0 <= flow.std() < 8.0, "polar samples"
    assert len(scores.unique()) >= 3
    assert probabilities.std(dim=1).min() > 0.05


# --- checkpoints, spec ----------------------------------------------------------------------------


def test_a_checkpoint_of_this_network_loads_and_another_size_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "scores.pth"
    trained = MotionScoring(SMALL, TINY, seed=5)
    torch.save({"state_dict": trained.state_dict()}, file)
    network = MotionScoring(SMALL, TINY)
    load_weights(network, file)
    for one, other in zip(network.parameters(), trained.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ExportError, match=r"mis-shaped: flow\.encoder\.0\.first") as refused:
        load_weights(MotionScoring(PAPER, TINY), file)
    assert "--variant" in refused.value.remedy
    with pytest.raises(ExportError, match=r"mis-shaped: score\.first\.weight"):
        load_weights(MotionScoring(SMALL), file)  # another layout


def test_recipes_say_untrained_and_name_scores_and_segments() -> None:
    for variant, name in (("", "motion_scoring"), ("paper", "motion_scoring_paper")):
        spec = load_recipe("motion_scoring", variant).spec
        assert spec.name == name
        assert spec.weights.describe() == "seed 0 (untrained)"
        assert spec.outputs[0].names == SCORES
        assert spec.outputs[0].places == NAMES[:16]
        assert spec.inputs[1].points_of == "cines"
        assert ModelSpec.from_json(spec.to_json()) == spec


def test_places_and_points_must_fit_the_spec() -> None:
    side = Axis("side", 8, 64)
    films = TensorSpec("films", "float32", (1, 2, side, side), "grey level")
    with pytest.raises(SpecError, match="one for each of its places"):
        TensorSpec("a", "float32", (1, 3), "mm", places=("x", "y"))
    for change in ({"points_of": "other"}, {"unit": "mm"}, {"shape": (1, 2, 3, 3)}):
        fields = {"shape": (1, 2, 3, 2), "unit": "px", "points_of": "films", **change}
        marks = TensorSpec("marks", "float32", **fields)
        with pytest.raises(SpecError, match="points of a picture"):
            ModelSpec("m", "", (films, marks), (), feed=Feed("call"))
    plain = ModelSpec("m", "", (films,), (), feed=Feed("call"))
    assert "points_of" not in plain.to_json(), "older specs keep their text"
