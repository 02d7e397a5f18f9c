"""PWC-style optical flow: the layout of a learned tracker, for the whole export path.

It works from coarse to fine on a feature pyramid of both frames. At each level the second frame's
features are warped by the flow so far and correlated with the first's over a window of 9 x 9
displacements. A small dense network turns the correlation into a correction of the flow. Oh et al.
train their key points with this network. The layout is the compact one of ARFlow: five levels that
share one flow estimator and one context network, and an output at a quarter of the resolution.

Without a checkpoint the weights are random, drawn from a seed. The flow heads are scaled so that
the flow spreads over a few pixels, as a trained network's would. That makes the figures of export
and speed meaningful, but not the flow itself. The model is called untrained wherever it appears.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

import cineflow.ops.torch_library  # noqa: F401, registers torch.ops.cineflow

#: Feature channels from half resolution down to 1/64. Six halvings: height and width of the frames
#: are multiples of 64.
CHANNELS = (16, 32, 64, 96, 128, 192)

#: Levels on which flow is estimated. The last one is at a quarter of the resolution.
LEVELS = 5

RADIUS = 4
_SLOPE = 0.1
_REDUCED = 32
_DILATIONS = (1, 2, 4, 8, 16, 1)
_CONTEXT = (128, 128, 128, 96, 64, 32)

#: Gain of the flow heads. On moved speckle of 256 x 256 px the untrained flow has a standard
#: deviation of 2.5 px. On smaller frames it is less (1.8 px at 128 x 128), because more windows
#: reach into the padding.
_HEAD_GAIN = 0.36


class FlowPwc(nn.Module):
    """Flow from one frame to the next, in pixels, on the previous frame's grid.

    Args:
        seed: Seed of the untrained weights.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        sizes = (1, *CHANNELS)
        self.encoder = nn.ModuleList(
            nn.Sequential(_conv(a, b, stride=2), _conv(b, b)) for a, b in itertools.pairwise(sizes)
        )
        self.reduce = nn.ModuleList(
            _conv(channels, _REDUCED, kernel=1) for channels in CHANNELS[: -LEVELS - 1 : -1]
        )
        self.estimator = _Estimator((2 * RADIUS + 1) ** 2 + _REDUCED + 2)
        self.context = _context(_REDUCED + 2)
        self._initialise(seed)

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        """Flow of a frame pair.

        Args:
            previous: Earlier frame, grey levels 0..255, [B, 1, H, W] f32; H and W are multiples
                of 64 (six halvings).
            current: Later frame, same shape.

        Returns:
            flow [B, 2, H, W] px, channel 0 = x, 1 = y, on the previous frame's grid.
        """
        batch = previous.shape[0]
        # Both frames go through the encoder as one batch: half the launches, each larger.
        features = torch.cat([previous, current], dim=0) * (1.0 / 255.0)
        pyramid = []
        for block in self.encoder:
            features = block(features)
            pyramid.append(features)
        flow = torch.zeros_like(pyramid[-1][:batch, :2])
        for level, both in enumerate(pyramid[: -LEVELS - 1 : -1]):
            first, second = both[:batch], both[batch:]
            if level > 0:
                flow = 2.0 * _enlarge(flow, 2)
                second = torch.ops.cineflow.warp(second, flow, "zeros")
            volume = torch.ops.cineflow.correlation(
                first, second, RADIUS, 1, 1.0 / CHANNELS[-1 - level], False
            )
            seen = [F.leaky_relu(volume, _SLOPE), self.reduce[level](first), flow]
            estimate, step = self.estimator(torch.cat(seen, dim=1))
            flow = flow + step
            flow = flow + self.context(torch.cat([estimate, flow], dim=1))
        return 4.0 * _enlarge(flow, 4)

    def _initialise(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight.shape[1] * math.prod(module.kernel_size)
                gain = math.sqrt(2.0 / (1.0 + _SLOPE**2) / fan_in)
                head = name in ("estimator.flow", f"context.{len(_CONTEXT)}")
                with torch.no_grad():
                    module.weight.normal_(
                        0.0, gain * (_HEAD_GAIN if head else 1.0), generator=generator
                    )
                    assert module.bias is not None  # nn.Conv2d's default
                    module.bias.zero_()


class _Estimator(nn.Module):
    """Flow correction and features of one level. Each layer reads the two before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, 128)
        self.second = _conv(128, 128)
        self.third = _conv(256, 96)
        self.fourth = _conv(224, 64)
        self.fifth = _conv(160, _REDUCED)
        self.flow = nn.Conv2d(64 + _REDUCED, 2, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x1 = self.first(x)
        x2 = self.second(x1)
        x3 = self.third(torch.cat([x1, x2], dim=1))
        x4 = self.fourth(torch.cat([x2, x3], dim=1))
        x5 = self.fifth(torch.cat([x3, x4], dim=1))
        return x5, self.flow(torch.cat([x4, x5], dim=1))


def _context(channels: int) -> nn.Sequential:
    """Flow correction from the estimate: dilated convolutions with a growing receptive field."""
    layers: list[nn.Module] = []
    sizes: Sequence[int] = (channels, *_CONTEXT)
    for (a, b), dilation in zip(itertools.pairwise(sizes), _DILATIONS, strict=True):
        layers.append(_conv(a, b, dilation=dilation))
    layers.append(nn.Conv2d(_CONTEXT[-1], 2, 3, padding=1))
    return nn.Sequential(*layers)


def _conv(a: int, b: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(nn.Conv2d(a, b, kernel, stride, padding, dilation), nn.LeakyReLU(_SLOPE))


def _enlarge(x: Tensor, factor: int) -> Tensor:
    """Bilinear enlargement; pixel centres stay where they are."""
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
