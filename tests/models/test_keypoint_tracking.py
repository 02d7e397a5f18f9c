"""SK-net and TR-net: layout, what each part does to the points, and that every weight counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cineflow.errors import ExportError
from cineflow.export.bundle.export import PARITY_SEEDS
from cineflow.export.bundle.module import build_module, load_into
from cineflow.export.recipe import load_recipe
from cineflow.export.recipes.keypoint_tracking import spec_of
from cineflow.models.heat_maps import heat_map_points
from cineflow.models.high_resolution import HighResolutionNet
from cineflow.models.keypoint_tracking import (
    PAPER,
    PATCH,
    POINTS,
    REFINEMENTS,
    SMALL,
    KeypointTracking,
    Size,
    patches,
)
from cineflow.motion.landmarks import chain_lengths, peaks
from cineflow.motion.ventricle import BORDERS
from cineflow.runtime.engines.torch import TorchEngine
from cineflow.runtime.stream import Stream
from tests.models.known_points import blobs, passes_the_picture

#: All stages, branches and layers of the others, and as little as that needs.
TINY = Size(width=8, stem=8, blocks=1, embedding=8, mixer=16, depth=2)
FRAMES, SIZE = 5, (32, 40)


@pytest.fixture(scope="module")
def clip() -> torch.Tensor:
    """Speckle that changes a little from frame to frame, [1, T, 1, H, W]."""
    generator = torch.Generator().manual_seed(0)
    still = torch.rand((1, 1, 1, *SIZE), generator=generator)
    change = torch.rand((1, FRAMES, 1, *SIZE), generator=generator)
    return 255 * (0.7 * still + 0.3 * change)


@pytest.fixture(scope="module")
def network() -> KeypointTracking:
    return KeypointTracking(TINY, FRAMES).eval()


def test_shapes_and_what_the_reference_is(network: KeypointTracking, clip: torch.Tensor) -> None:
    with torch.inference_mode():
        tracks, static, heights, reference = network(clip)
    assert tracks.shape == static.shape == (1, FRAMES, POINTS, 2)
    assert heights.shape == (1, FRAMES, POINTS)
    best = int(heights[0].sum(dim=1).argmax())
    assert reference.tolist() == [best]
    assert torch.equal(tracks[0, best], static[0, best])
    others = [frame for frame in range(FRAMES) if frame != best]
    moved = (tracks - static)[0, others].abs()
    assert 0.5 < moved.mean() < 20, "TR-net moves the points by a few pixels"
    assert tracks.isfinite().all()


class _PlainOps:
    """Our op in torch's own operators, which have gradients."""

    @staticmethod
    def patch_correlation(f1, f2, points1, points2, *, size, pool, scale):
        assert scale == "sqrt"
        first, second = (
            nn.functional.avg_pool2d(
                patches(maps, points).unflatten(2, (-1, size, size)).flatten(0, 1), pool
            ).flatten(2)
            for maps, points in ((f1.expand_as(f2), points1.expand_as(points2)), (f2, points2))
        )  # [T K, C, cells]
        return (first.transpose(1, 2) @ second / f1.shape[1] ** 0.5).unflatten(0, (len(f2), -1))


def test_every_weight_changes_the_points(
    network: KeypointTracking, clip: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every parameter gets a gradient from the points or the heights."""
    with torch.inference_mode():
        ours, *_ = network(clip)
    monkeypatch.setattr("cineflow.models.keypoint_tracking.ops", _PlainOps)
    network.zero_grad()
    tracks, _, heights, _ = network(clip)
    torch.testing.assert_close(tracks.detach(), ours, atol=1e-3, rtol=0)
    (tracks.sum() + heights.sum()).backward()
    silent = [
        name
        for name, one in network.named_parameters()
        if one.grad is None or not one.grad.abs().max() > 0
    ]
    assert not silent


def test_weights_follow_the_seed() -> None:
    same, again, other = (KeypointTracking(TINY, FRAMES, seed=seed) for seed in (0, 0, 1))
    one, two, three = (
        torch.cat([p.flatten() for p in m.parameters()]) for m in (same, again, other)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


def test_small_has_the_layout_of_paper_and_a_quarter_of_its_widths() -> None:
    with torch.device("meta"):
        small, paper = (
            {name: tuple(one.shape) for name, one in KeypointTracking(size).named_parameters()}
            for size in (SMALL, PAPER)
        )
    assert [*small] == [*paper]
    assert paper["sk.stage4.2.branches.3.3.conv2.weight"] == (256, 256, 3, 3)
    assert paper["tr.mixer.blocks.11.within.0.weight"] == (2048, 512)
    assert paper["tr.mixer.blocks.0.across.0.weight"] == (96, 24, 1)
    for name, shape in small.items():
        pairs = zip(shape, paper[name], strict=True)
        assert all(4 * a >= b for a, b in pairs), name


@pytest.mark.slow
@pytest.mark.parametrize("side", [128, 224])
def test_small_is_alive_at_full_size(side: int) -> None:
    """On a phantom's beat: TR-net moves the points, and they move over the beat."""
    sizes = {"height": side, "width": side}
    recipe = load_recipe("keypoint_tracking").with_sizes(sizes)
    network = build_module(recipe)
    with torch.inference_mode():
        tracks, static, heights, reference = network(recipe.examples({}, 0)["clip"])
    assert tracks.shape == (1, 24, POINTS, 2)
    others = [frame for frame in range(24) if frame != int(reference)]
    moved = (tracks - static)[0, others].norm(dim=-1)
    assert 1.0 < moved.mean() < 20.0
    assert tracks[0].std(dim=0).norm(dim=-1).min() > 1.0, "each of the points"
    assert heights.std() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("seed", PARITY_SEEDS)
def test_rounding_does_not_decide_on_the_peaks_of_an_example(seed: int) -> None:
    """An export compares runtimes on these clips. Their heat maps differ by about 5e-7."""
    recipe = load_recipe("keypoint_tracking")
    network = build_module(recipe)
    with torch.inference_mode():
        maps, _ = network.sk(recipe.examples({}, seed)["clip"][0] / 255.0)
    height, width = maps.shape[2:]
    top, at = maps.flatten(2).max(dim=2)
    rows = (torch.arange(height)[:, None] - (at // width)[..., None, None]).abs()
    columns = (torch.arange(width) - (at % width)[..., None, None]).abs()
    # Next to the peak a tie does no harm: the parabola's vertex is the same from either sample.
    rest = maps.masked_fill((rows <= 1) & (columns <= 1), -torch.inf).flatten(2).amax(dim=2)
    assert (top - rest).min() > 5e-6
    first, second = top.sum(dim=1).topk(2).values
    assert first - second > 5e-6, "the reference frame"


@pytest.mark.slow
def test_paper_runs_and_its_points_are_alive(clip: torch.Tensor) -> None:
    network = KeypointTracking(PAPER, FRAMES).eval()
    with torch.inference_mode():
        tracks, static, heights, _ = network(clip)
    assert tracks.shape == (1, FRAMES, POINTS, 2)
    assert tracks.isfinite().all()
    assert 0.5 < (tracks - static).abs().mean() < 20
    assert heights.std() > 1e-3


def test_frames_of_another_length_do_not_fit(network: KeypointTracking) -> None:
    with pytest.raises(RuntimeError):
        network(torch.zeros(1, FRAMES + 1, 1, *SIZE))


# --- what is known in advance -------------------------------------------------------------------


def test_peaks_are_those_of_the_reading() -> None:
    """Also at the border, on a plateau and between equals."""
    generator = torch.Generator().manual_seed(3)
    maps = torch.rand((6, 3, 9, 11), generator=generator)
    maps[0, 0, 0, 5] = maps[0, 1, 4, 0] = maps[1, 0, 8, 10] = 2.0
    maps[1, 1, 3, 3:6] = 2.0
    maps[2, 2] = 0.25
    points, heights = heat_map_points(maps)
    for n in range(len(maps)):
        wanted, tall = peaks(maps[n].numpy(), (9, 11))
        np.testing.assert_allclose(points[n].numpy(), wanted, atol=1e-4)
        np.testing.assert_array_equal(heights[n].numpy(), tall)


def test_planted_peaks_come_back_between_the_pixels() -> None:
    """The picture is its own heat map, moved by one known step for each point."""
    network = KeypointTracking(TINY, FRAMES).eval()
    steps = passes_the_picture(network)
    places = [(12.3 + 1.4 * t, 14.6 - 0.7 * t) for t in range(FRAMES)]
    with torch.inference_mode():
        tracks, static, _, reference = network(torch.from_numpy(blobs(places, SIZE))[None, :, None])
    wanted = np.array(places)[:, None] + steps
    np.testing.assert_allclose(static[0].numpy(), wanted, atol=0.02)
    np.testing.assert_allclose(tracks[0].numpy(), wanted, atol=0.02)
    # TR-net's own move, five times, for every frame but the reference.
    moves = torch.arange(2.0 * POINTS) / 8
    with torch.no_grad():
        network.tr.mixer.head.bias.copy_(moves)
    with torch.inference_mode():
        moved, *_ = network(torch.from_numpy(blobs(places, SIZE))[None, :, None])
    expected = np.tile(REFINEMENTS * moves.reshape(POINTS, 2).numpy(), (FRAMES, 1, 1))
    expected[int(reference)] = 0
    np.testing.assert_allclose((moved - tracks)[0].numpy(), expected, atol=1e-4)


def test_a_patch_around_a_whole_pixel_is_a_crop() -> None:
    picture = torch.arange(40.0 * 50).reshape(1, 1, 40, 50)
    found = patches(picture, torch.tensor([[[20.0, 18.0]]])).reshape(PATCH, PATCH)
    torch.testing.assert_close(found, picture[0, 0, 6:30, 8:32])
    for place in (float("nan"), float("inf"), -1e20, 1e4):
        assert not patches(picture + 1, torch.tensor([[[20.0, place]]])).any()


# --- as a stream ---


def test_sk_net_sees_each_frame_of_a_stream_once() -> None:
    """And the stream's points are those of the clip-level network, window by window."""
    network = KeypointTracking(TINY, FRAMES).eval()
    passes_the_picture(network)
    seen: list[int] = []
    network.sk.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    spec = spec_of(FRAMES, *SIZE)
    stream = Stream(TorchEngine(network, spec), spec, spacing_mm=(0.5, 0.5))
    places = [(12.3 + 0.8 * t, 14.6 - 0.4 * t) for t in range(3 * FRAMES)]
    frames = blobs(places, SIZE)
    results = [stream.push(frame) for frame in frames]
    assert seen == [FRAMES, FRAMES, FRAMES]
    ran = [result for result in results if result.outputs]
    for first, result in zip(range(0, 3 * FRAMES, FRAMES), ran, strict=True):
        window = torch.from_numpy(frames[first : first + FRAMES])[None, :, None]
        with torch.inference_mode():
            tracks = network(window)[0].numpy()
        np.testing.assert_allclose(result.outputs["tracks"].values, tracks, atol=1e-4)
        np.testing.assert_allclose(result.points, tracks[0, -1], atol=1e-4)
        assert result.unit == "mm"
        np.testing.assert_allclose(result.lengths, chain_lengths(tracks[0, -1]) / 2, atol=1e-3)


@pytest.mark.parametrize("variant", ["small", "paper"])
def test_recipes_say_what_they_are(variant: str) -> None:
    recipe = load_recipe("keypoint_tracking", variant)
    side = {"small": 128, "paper": 224}[variant]
    spec = recipe.spec
    assert spec.inputs[0].shape == (1, 24, 1, side, side)
    other = recipe.with_sizes({"height": 64})
    assert other.spec.inputs[0].shape == (1, 24, 1, 64, side)
    assert other.spec.name == spec.name
    assert other.examples({}, 0)["clip"].shape == (1, 24, 1, 64, side)
    with pytest.raises(ExportError, match=r"64\.\.512 by 8"):
        recipe.with_sizes({"width": 100})
    assert spec.weights.describe() == "seed 0 (untrained)"
    assert spec.view == "parasternal long axis (PLAX)"
    assert (spec.feed.length, spec.feed.hop) == (24, 24)
    assert spec.output_of("points").names == BORDERS


# --- checkpoints ----------------------------------------------------------------------------------


def public_hrnet_w32(points: int = 17) -> dict[str, torch.Tensor]:
    """A state dictionary with the keys and shapes of the public network, from its description.

    Each tensor is one number, which is expanded: its file is small.
    """
    state: dict[str, torch.Tensor] = {}

    def conv(name: str, a: int, b: int, kernel: int, norm: str) -> None:
        state[f"{name}.weight"] = torch.tensor(0.01).expand(b, a, kernel, kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{part}"] = torch.ones(b)
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", 3, 64, 3, "bn1")
    conv("conv2", 64, 64, 3, "bn2")
    for k in range(4):
        at = f"layer1.{k}"
        conv(f"{at}.conv1", 256 if k else 64, 64, 1, f"{at}.bn1")
        conv(f"{at}.conv2", 64, 64, 3, f"{at}.bn2")
        conv(f"{at}.conv3", 64, 256, 1, f"{at}.bn3")
    conv("layer1.0.downsample.0", 64, 256, 1, "layer1.0.downsample.1")
    widths = [32, 64, 128, 256]
    conv("transition1.0.0", 256, 32, 3, "transition1.0.1")
    conv("transition1.1.0.0", 256, 64, 3, "transition1.1.0.1")
    conv("transition2.2.0.0", 64, 128, 3, "transition2.2.0.1")
    conv("transition3.3.0.0", 128, 256, 3, "transition3.3.0.1")
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        for m in range(modules):
            for i in range(stage):
                for b in range(4):
                    at = f"stage{stage}.{m}.branches.{i}.{b}"
                    conv(f"{at}.conv1", widths[i], widths[i], 3, f"{at}.bn1")
                    conv(f"{at}.conv2", widths[i], widths[i], 3, f"{at}.bn2")
            only_first = stage == 4 and m == modules - 1
            for i in range(1 if only_first else stage):
                for j in range(stage):
                    at = f"stage{stage}.{m}.fuse_layers.{i}.{j}"
                    if j > i:
                        conv(f"{at}.0", widths[j], widths[i], 1, f"{at}.1")
                    for k in range(i - j):
                        out = widths[i] if k == i - j - 1 else widths[j]
                        conv(f"{at}.{k}.0", widths[j], out, 3, f"{at}.{k}.1")
    state["final_layer.weight"] = torch.full((points, 32, 1, 1), 0.5)
    state["final_layer.bias"] = torch.full((points,), 0.5)
    return state


@pytest.fixture(scope="module")
def paper() -> KeypointTracking:
    """Without its seeded values, which take seconds to draw."""
    with torch.device("meta"):
        network = KeypointTracking(PAPER)
    return network.to_empty(device="cpu")


def loaded(
    network: KeypointTracking, state: dict[str, torch.Tensor], folder: Path
) -> tuple[str, ...]:
    """As `cineflow export --weights` loads a file of `state`; returns the parts that it lacks."""
    file = folder / "checkpoint.pth"
    torch.save(state, file)
    return load_into(network, file, load_recipe("keypoint_tracking"))


def test_a_public_hrnet_fills_sk_net(paper: KeypointTracking, tmp_path: Path) -> None:
    with torch.no_grad():
        paper.sk.final_layer.weight.fill_(0.25)
        paper.tr.mixer.head.weight.fill_(0.75)
    assert loaded(paper, public_hrnet_w32(), tmp_path) == ("tr.", "sk.final_layer.")
    torch.testing.assert_close(paper.sk.conv1.weight, torch.full((64, 1, 3, 3), 0.03))
    assert (paper.sk.stage4[2].branches[3][3].conv2.weight == 0.01).all()
    assert (paper.sk.final_layer.weight == 0.25).all(), "17 joints are not our points"
    parallel = {f"module.{name}": one for name, one in public_hrnet_w32(POINTS).items()}
    assert loaded(paper, parallel, tmp_path) == ("tr.",)
    assert (paper.sk.final_layer.weight == 0.5).all()
    assert (paper.tr.mixer.head.weight == 0.75).all()


def test_another_networks_checkpoint_is_refused(paper: KeypointTracking, tmp_path: Path) -> None:
    state = public_hrnet_w32()
    missing = {k: v for k, v in state.items() if k != "stage3.1.branches.0.2.bn1.weight"}
    with pytest.raises(ExportError, match=r"missing: sk\.stage3\.1\.branches\.0\.2\.bn1\.weight"):
        loaded(paper, missing, tmp_path)
    with pytest.raises(ExportError, match=r"unexpected: sk\.deconv"):
        loaded(paper, state | {"deconv.weight": torch.zeros(1)}, tmp_path)
    with pytest.raises(ExportError, match=r"mis-shaped: sk\.conv1\.weight") as refused:
        loaded(KeypointTracking(SMALL, FRAMES), state, tmp_path)
    assert "--variant" in refused.value.remedy


def test_its_own_checkpoint_loads_whole(tmp_path: Path) -> None:
    network, other = (KeypointTracking(TINY, FRAMES, seed=seed) for seed in (0, 1))
    assert loaded(network, other.state_dict(), tmp_path) == ()
    assert torch.equal(network.tr.mixer.head.weight, other.tr.mixer.head.weight)
    part = {name: one for name, one in other.state_dict().items() if name != "tr.mixer.head.bias"}
    with pytest.raises(ExportError, match=r"missing: tr\.mixer\.head\.bias"):
        loaded(network, part, tmp_path)


def test_features_and_maps_have_their_resolutions() -> None:
    maps, features = HighResolutionNet(3, 8, 8, blocks=1)(torch.rand(2, 1, 32, 48))
    assert maps.shape == (2, 3, 32, 48)
    shapes = [(2, 8 * 2**k, 32 // 2**k, 48 // 2**k) for k in range(4)]
    assert [tuple(one.shape) for one in features] == shapes
