"""Key points of the left ventricle over a clip of the parasternal long axis: SK-net and TR-net.

Oh et al., "Semi-supervised Key-Point Estimation for Echocardiography Video". SK-net finds the four
points in every frame by itself, as peaks of heat maps. The frame with the highest peaks is the
reference. TR-net then refines how far each point is from its place in the reference. It compares
the patches around the points, in the frames and in SK-net's features, with those of the reference.
It does so five times, each time around the points that it has found.

What the source leaves open, and where the choice comes from:

- Widths and depth of SK-net: HRNet-W32 (see `high_resolution`). The features are those of its four
  branches, before the last exchange.
- Peaks: the source takes the highest sample. Here it is moved to the vertex of a parabola.
- Equal confidence: the first frame is the reference.
- Correlation: cells of 4 x 4 samples, because all pairs of samples do not fit (see
  docs/ops/patch_correlation.md); scaled by 1 / sqrt(C), as RAFT does.
- Embeddings: one fully connected layer for all patches and one for all correlations, each with a
  GELU; 128 numbers, as the latent vector of PIPs.
- Mixer: that of PIPs (512 channels, 12 blocks, expansion 4). A token is one frame with all four
  points, so that they inform each other. Its length fixes the number of frames.
- Frames: grey levels 0..255, divided by 255 in the graph. T = 24, which the source's videos reach.
- Patches: bilinear, and 0 outside the frame, as PIPs reads its features. They are in pixels of each
  map.
- What the mixer is told of the motion: in units of a patch's side.
- Update: added to the estimate, and the points of the reference frame stay, as in PIPs.

Without a checkpoint the weights are random, drawn from a seed, and the points are meaningless. They
move by a few pixels from frame to frame. The model is called untrained wherever it appears.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

from cineflow import ops
from cineflow.models.heat_maps import heat_map_points
from cineflow.models.high_resolution import HALVINGS, HighResolutionNet, hrnet_keys

POINTS = 4

#: Frames of one window. The source's videos have at least this many.
FRAMES = 24

#: Height and width of a frame are multiples of this.
MULTIPLE = 2**HALVINGS

#: Samples along a side of a patch, and of a cell of its correlation.
PATCH = 24
CELL = 4

#: M, how often TR-net refines.
REFINEMENTS = 5

#: Parts that a public HRNet lacks, by the beginning of their keys.
PARTS_OF_OURS = ("tr.", "sk.final_layer.")

_EXPANSION = 4

#: A normalised coordinate that is outside a map of any size.
_FAR = 4.0

#: Gains of the untrained heads: heat maps of about 0..1, and a refinement of about 1 px.
_MAP_GAIN = 0.5
_MOVE_GAIN = 1.0


@dataclass(frozen=True)
class Size:
    """Widths and depths of the network; everything else is the same in every size.

    `PAPER` and `SMALL` differ in their widths only.

    Attributes:
        width: Channels of SK-net's first branch; its others have 2, 4 and 8 times as many.
        stem: Channels of SK-net's stem.
        blocks: Residual blocks in each branch of a module of SK-net.
        embedding: Numbers that an embedding has.
        mixer: Channels of the mixer.
        depth: Blocks of the mixer.
    """

    width: int
    stem: int
    blocks: int
    embedding: int
    mixer: int
    depth: int


#: HRNet-W32 and the mixer of PIPs.
PAPER = Size(width=32, stem=64, blocks=4, embedding=128, mixer=512, depth=12)

#: A quarter of the widths.
SMALL = Size(width=8, stem=16, blocks=4, embedding=32, mixer=128, depth=12)


class KeypointTracking(nn.Module):
    """Four points in each frame of a window.

    Args:
        size: Widths and depths.
        frames: T, the length of the window. A checkpoint holds for one length.
        seed: Seed of the untrained weights.
    """

    def __init__(self, size: Size = SMALL, frames: int = FRAMES, seed: int = 0) -> None:
        super().__init__()
        self.sk = HighResolutionNet(
            POINTS, size.width, size.stem, blocks=size.blocks, head_gain=_MAP_GAIN, seed=seed
        )
        self.tr = TrajectoryNet(size, frames, seed + 1)

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Points of a window.

        Args:
            clip: Frames, grey levels 0..255, [1, T, 1, H, W] f32; H and W are multiples of 8.

        Returns:
            The refined points [1, T, 4, 2] px, x first; SK-net's own points [1, T, 4, 2] px; the
            height of each heat map [1, T, 4]; the reference frame's place in the window [1] i64.
        """
        frames = clip[0] * (1.0 / 255.0)  # [T, 1, H, W]
        heat_maps, features = self.sk(frames)
        static, heights = heat_map_points(heat_maps)
        reference = heights.sum(dim=1, keepdim=True).argmax(dim=0)  # TensorRT wants two axes
        tracks = self.tr([frames, *features], static, reference)
        return tracks[None], static[None], heights[None], reference


class TrajectoryNet(nn.Module):
    """TR-net: refines the points of T frames against those of a reference among them.

    Args:
        size: Widths and depths.
        frames: T.
        seed: Seed of the untrained weights.
    """

    def __init__(self, size: Size, frames: int, seed: int) -> None:
        super().__init__()
        self.frames = frames
        channels = (1, *(size.width * 2**k for k in range(4)))
        cells = ((PATCH // CELL) ** 2) ** 2
        # One layer on all maps, kept in parts: only the first part has a bias.
        self.appearance = nn.ModuleList(
            nn.Linear(count * PATCH**2, size.embedding, bias=k == 0)
            for k, count in enumerate(channels)
        )
        self.correlation = nn.ModuleList(
            nn.Linear(cells, size.embedding, bias=k == 0) for k in range(len(channels))
        )
        self.mixer = Mixer(
            frames, POINTS * (2 * size.embedding + 2), size.mixer, POINTS * 2, size.depth
        )
        self._initialise(seed)

    def forward(self, maps: Sequence[Tensor], points: Tensor, reference: Tensor) -> Tensor:
        """Refined points.

        Args:
            maps: The frames [T, 1, H, W] and their features [T, C, H / s, W / s].
            points: First estimate, [T, K, 2] px of the frames, x first.
            reference: [1] i64, the frame that the others are compared with.

        Returns:
            [T, K, 2] px. The points of the reference are as they were.
        """
        first = points.index_select(0, reference)  # [1, K, 2]
        targets = [one.index_select(0, reference) for one in maps]
        others = (torch.arange(self.frames, device=points.device) != reference)[:, None, None]
        moves = points - first
        for _ in range(REFINEMENTS):
            seen = self._look(maps, targets, first + moves, first)
            tokens = torch.cat([seen, moves * (1.0 / PATCH)], dim=2).flatten(1)
            step = self.mixer(tokens[None])[0].unflatten(1, (POINTS, 2))
            moves = moves + step * others
        return first + moves

    def _look(
        self, maps: Sequence[Tensor], targets: Sequence[Tensor], points: Tensor, first: Tensor
    ) -> Tensor:
        """What is around the points, [T, K, 2 E]: appearance, and likeness to the reference."""
        height, width = maps[0].shape[2:]
        appearance = likeness = points.new_zeros(())
        for k, (one, target) in enumerate(zip(maps, targets, strict=True)):
            scale = points.new_tensor([one.shape[3] / width, one.shape[2] / height])
            here = (points + 0.5) * scale - 0.5
            there = (first + 0.5) * scale - 0.5
            appearance = appearance + self.appearance[k](patches(one, here))
            pairs = ops.patch_correlation(
                f1=target,
                f2=one,
                points1=there,
                points2=here,
                size=PATCH,
                pool=CELL,
                scale="sqrt",
            )
            likeness = likeness + self.correlation[k](pairs.flatten(2))
        return torch.cat([F.gelu(appearance), F.gelu(likeness)], dim=2)

    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for name, module in self.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv1d)):
                gain = _MOVE_GAIN if name == "mixer.head" else 1.0
                fan_in = module.weight.shape[1]
                with torch.no_grad():
                    module.weight.normal_(0.0, gain / math.sqrt(fan_in), generator=generator)
                    if module.bias is not None:
                        module.bias.zero_()


class Mixer(nn.Module):
    """MLP-Mixer (Tolstikhin et al. 2021) over T tokens, [1, T, a] -> [1, T, b].

    Args:
        tokens: T; the layers across the tokens fix it.
        a: Numbers of a token.
        channels: Its channels inside.
        b: Numbers that come out for each token.
        depth: Blocks.
    """

    def __init__(self, tokens: int, a: int, channels: int, b: int, depth: int) -> None:
        super().__init__()
        self.embed = nn.Linear(a, channels)
        self.blocks = nn.ModuleList(_MixerBlock(tokens, channels) for _ in range(depth))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, b)

    def forward(self, x: Tensor) -> Tensor:
        """[1, T, a] -> [1, T, b]."""
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(self.norm(x))
        return out


class _MixerBlock(nn.Module):
    """Across the tokens, then across the channels, each with a short cut."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.across = nn.Sequential(
            nn.Conv1d(tokens, _EXPANSION * tokens, 1),
            nn.GELU(),
            nn.Conv1d(_EXPANSION * tokens, tokens, 1),
        )
        self.norm2 = nn.LayerNorm(channels)
        self.within = nn.Sequential(
            nn.Linear(channels, _EXPANSION * channels),
            nn.GELU(),
            nn.Linear(_EXPANSION * channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[1, T, channels] -> the same shape."""
        x = x + self.across(self.norm1(x))
        out: Tensor = x + self.within(self.norm2(x))
        return out


def patches(maps: Tensor, points: Tensor) -> Tensor:
    """The samples around points, one pixel apart, as `patch_correlation` takes them.

    Args:
        maps: [T, C, H, W] floating point.
        points: [T, K, 2] px of the maps, x first.

    Returns:
        [T, K, C PATCH PATCH]; samples outside a map, or at no finite place, are 0.
    """
    count, channels, height, width = maps.shape
    steps = torch.arange(PATCH, device=maps.device, dtype=torch.float32) - PATCH // 2
    x = points[:, :, None, None, 0] + steps  # [T, K, 1, PATCH]
    y = points[:, :, None, None, 1] + steps[:, None]  # [T, K, PATCH, 1]
    x, y = torch.broadcast_tensors((2 * x + 1) / width - 1, (2 * y + 1) / height - 1)
    grid = torch.stack([x, y], dim=-1).flatten(1, 2)  # [T, K PATCH, PATCH, 2]
    grid = torch.where(grid.abs() < _FAR, grid, _FAR)  # also NaN, which no runtime treats alike
    samples = F.grid_sample(maps, grid, align_corners=False)  # [T, C, K PATCH, PATCH]
    each = samples.reshape(count, channels, points.shape[1], PATCH * PATCH)
    return each.transpose(1, 2).flatten(2)


def sk_net_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a public HRNet for poses, as that of `KeypointTracking` in `PAPER`.

    SK-net has its names; `high_resolution.hrnet_keys` has the differences. TR-net is not in it
    (`PARTS_OF_OURS`), nor is the heat maps' head, if it was for other points.

    Args:
        state: The public state dict. One that is ours already is returned as it is.
    """
    names = [name.removeprefix("module.") for name in state]
    if any(name.startswith(("sk.", "tr.")) for name in names):
        return dict(state)
    return {f"sk.{name}": one for name, one in hrnet_keys(state, POINTS).items()}
