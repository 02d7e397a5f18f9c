"""A high-resolution network (HRNet) that gives heat maps at the frame's own resolution.

Sun et al. 2019, "Deep high-resolution representation learning for human pose estimation". A stem, a
stage of bottleneck blocks, then three stages that add one branch each. A branch keeps its
resolution; after each module all branches exchange their features.

The layout and the names of the parameters are those of the public HRNet for poses
(leoxiaobin/deep-high-resolution-net.pytorch, W32: branches of 32, 64, 128 and 256 channels, 1, 4
and 3 modules, 4 blocks per branch). Two things differ. The stem does not shrink the frame, so the
branches are at 1, 1/2, 1/4 and 1/8 of its resolution. And the frame has one channel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

#: Modules of stages 2, 3 and 4.
MODULES = (1, 4, 3)

#: Halvings of the frame down to the last branch: height and width are multiples of 2 ** 3.
HALVINGS = 3

#: Gains of the seeded weights. Without them the features would double in every module, because a
#: batch normalisation that has seen no data does not normalise.
_RESIDUAL_GAIN = 0.2
_EXCHANGE_GAIN = 0.15


class HighResolutionNet(nn.Module):
    """Heat maps and features of frames.

    Args:
        points: Heat maps.
        width: Channels of the first branch; each further branch has twice as many.
        stem: Channels of the stem. The first stage has four times as many.
        blocks: Residual blocks of the first stage, and in each branch of a module.
        head_gain: Gain of the untrained heat maps.
        seed: Seed of the untrained weights.
    """

    def __init__(
        self,
        points: int,
        width: int,
        stem: int,
        *,
        blocks: int = 4,
        head_gain: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(HALVINGS + 1)]
        self.conv1 = _conv(1, stem)
        self.bn1 = nn.BatchNorm2d(stem)
        self.conv2 = _conv(stem, stem)
        self.bn2 = nn.BatchNorm2d(stem)
        self.layer1 = nn.Sequential(
            *(_Bottleneck(4 * stem if k else stem, stem) for k in range(blocks))
        )
        before = [4 * stem]
        for stage, modules in enumerate(MODULES, start=2):
            now = widths[:stage]
            setattr(self, f"transition{stage - 1}", _transition(before, now))
            last = stage == len(MODULES) + 1
            stages = [
                _Module(now, blocks, all_out=not last or k < modules - 1) for k in range(modules)
            ]
            setattr(self, f"stage{stage}", nn.Sequential(*stages))
            before = now
        self.final_layer = nn.Conv2d(width, points, 1)
        self._initialise(head_gain, seed)

    def forward(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Heat maps and features of a batch of frames.

        Args:
            frames: [N, 1, H, W] f32, 0..1; H and W are multiples of 8.

        Returns:
            Heat maps [N, K, H, W], and what the four branches of the last module give before they
            exchange it: [N, C, H, W], [N, 2 C, H / 2, W / 2], [N, 4 C, H / 4, W / 4] and
            [N, 8 C, H / 8, W / 8].
        """
        x = F.relu(self.bn1(self.conv1(frames)))
        x = F.relu(self.bn2(self.conv2(x)))
        branches = [self.layer1(x)]
        features = branches
        for stage in range(2, len(MODULES) + 2):
            transition = getattr(self, f"transition{stage - 1}")
            branches = [
                branches[min(k, len(branches) - 1)] if step is None else step(branches[-1])
                for k, step in enumerate(transition)
            ]
            for module in getattr(self, f"stage{stage}"):
                features = module.run_branches(branches)
                branches = module.exchange(features)
        maps: Tensor = self.final_layer(branches[0])
        return maps, features

    def _initialise(self, head_gain: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight.shape[1] * math.prod(module.kernel_size)
                head = name == "final_layer"
                gain = head_gain / fan_in if head else math.sqrt(2.0 / fan_in)
                with torch.no_grad():
                    module.weight.normal_(0.0, gain, generator=generator)
                    if head:  # positive: the peaks are then on tissue, and not where all is black
                        module.weight.abs_()
                    if module.bias is not None:
                        module.bias.zero_()
        for norm, gain in self._gains():
            nn.init.constant_(norm.weight, gain)

    def _gains(self) -> Iterator[tuple[nn.BatchNorm2d, float]]:
        """Normalisations at the end of what is added to something, and their untrained gain."""
        for module in self.modules():
            if isinstance(module, _Bottleneck):
                yield module.bn3, _RESIDUAL_GAIN
            elif isinstance(module, _Block):
                yield module.bn2, _RESIDUAL_GAIN
            elif isinstance(module, _Module):
                paths = (path for row in module.fuse_layers for path in row.children())
                for path in paths:
                    norms = [one for one in path.modules() if isinstance(one, nn.BatchNorm2d)]
                    if norms:
                        yield norms[-1], _EXCHANGE_GAIN


def hrnet_keys(state: Mapping[str, Tensor], points: int) -> dict[str, Tensor]:
    """The parameters of a public HRNet-W32 for poses, as `HighResolutionNet` has them.

    The names are the same, with or without `module.` before them. The first convolution's weights
    for red, green and blue are added, which is the same on a grey picture. A head for other points
    than ours is left out, and so is the head of a network that classifies images; then
    `final_layer.weight` and `final_layer.bias` are missing.

    Args:
        state: The public state dictionary.
        points: Heat maps of ours.
    """
    found = {}
    for key, value in state.items():
        name = key.removeprefix("module.")
        if name.startswith("final_layer.") and value.shape[0] != points:
            continue
        if name.startswith(("incre_modules.", "downsamp_modules.", "final_layer.0", "classifier.")):
            continue
        if name == "conv1.weight" and value.shape[1] == 3:
            value = value.sum(dim=1, keepdim=True)
        found[name] = value
    return found


class _Block(nn.Module):
    """Two 3 x 3 convolutions and a short cut, [N, C, H, W] -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + x)


class _Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions and a short cut, [N, before, H, W] -> [N, 4 C, H, W]."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(before, channels, kernel=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = _conv(channels, 4 * channels, kernel=1)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.downsample = None
        if before != 4 * channels:
            self.downsample = nn.Sequential(
                _conv(before, 4 * channels, kernel=1), nn.BatchNorm2d(4 * channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, before, H, W] -> [N, 4 C, H, W]."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class _Module(nn.Module):
    """Branches side by side, then an exchange: each gets the sum of all, at its resolution."""

    def __init__(self, widths: Sequence[int], blocks: int, *, all_out: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(_Block(width) for _ in range(blocks))) for width in widths
        )
        count = len(widths) if all_out else 1
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_path(widths, source, target) for source in range(len(widths)))
            for target in range(count)
        )

    def run_branches(self, x: Sequence[Tensor]) -> list[Tensor]:
        """One [N, C, h, w] per branch -> the same."""
        return [branch(one) for branch, one in zip(self.branches, x, strict=True)]

    def exchange(self, x: Sequence[Tensor]) -> list[Tensor]:
        """One [N, C, h, w] per branch -> the same, or the first branch only."""
        mixed = []
        for row in self.fuse_layers:
            assert isinstance(row, nn.ModuleList)
            parts = [path(one) for path, one in zip(row, x, strict=True)]
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            mixed.append(F.relu(total))
        return mixed


def _path(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """From one branch to the resolution and channels of another."""
    if source == target:
        return nn.Identity()
    a, b = widths[source], widths[target]
    if source > target:
        up = nn.Upsample(scale_factor=2.0 ** (source - target), mode="nearest")
        return nn.Sequential(_conv(a, b, kernel=1), nn.BatchNorm2d(b), up)
    steps: list[nn.Module] = []
    for k in range(target - source):
        last = k == target - source - 1
        wide = b if last else a
        parts: list[nn.Module] = [_conv(a, wide, stride=2), nn.BatchNorm2d(wide)]
        steps.append(nn.Sequential(*parts, *([] if last else [nn.ReLU()])))
    return nn.Sequential(*steps)


def _transition(before: Sequence[int], now: Sequence[int]) -> nn.ModuleList:
    """To the branches of the next stage: None where a branch goes on as it is.

    The others start at the last branch of the stage before. The new one has half its resolution.
    """
    steps: list[nn.Module | None] = []
    for k, width in enumerate(now):
        if k < len(before):
            same = before[k] == width
            steps.append(None if same else nn.Sequential(*_layer(before[k], width)))
        else:
            down = nn.Sequential(*_layer(before[-1], width, stride=2))
            steps.append(nn.Sequential(down))
    return nn.ModuleList(steps)  # type: ignore[arg-type]  # torch itself allows None


def _layer(a: int, b: int, *, stride: int = 1) -> list[nn.Module]:
    return [_conv(a, b, stride=stride), nn.BatchNorm2d(b), nn.ReLU()]


def _conv(a: int, b: int, *, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False)
