"""PWC-style optical flow: the layout of a learned tracker, for the whole export path.

Coarse to fine: features of both frames in a pyramid; at each level the second frame's features are
warped by the flow so far, compared with the first's in a window of 9 x 9 displacements, and a small
dense network adds to the flow. This is the network that Oh et al. train their key points with
(source E of the notes), in the compact layout that ARFlow publishes: one flow estimator and one
context network shared by all levels, five levels, output at a quarter of the resolution.

Without a checkpoint the weights are random, from a seed, and the flow heads are scaled so that the
flow spreads over a few pixels as a trained network's would: the figures of export and speed mean
something, the flow itself means nothing. It is called untrained wherever it shows.
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

#: Levels on which flow is estimated: the last one is at a quarter of the resolution.
LEVELS = 5

RADIUS = 4
_SLOPE = 0.1
_REDUCED = 32
_DILATIONS = (1, 2, 4, 8, 16, 1)
_CONTEXT = (128, 128, 128, 96, 64, 32)

#: Gain of the flow heads: on moved speckle of 256 x 256 px the untrained flow's standard deviation
#: is 2.5 px; on smaller frames less (1.8 px at 128 x 128): more windows reach into the padding.
_HEAD_GAIN = 0.36


class FlowPwc(nn.Module):
    """Flow from one frame to the next, in pixels, on the previous frame's grid.

    Args:
        seed: Of the untrained weights.
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
                of 64.
            current: Later frame, same shape.

        Returns:
            flow [B, 2, H, W] px, channel 0 = x, 1 = y, on the previous frame's grid.
        """
        batch = previous.shape[0]
        # Both frames in one pass of the encoder: half the launches, and larger ones.
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
    """Flow step and features of one level; each layer sees the two before it."""

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
    """Widening view of the estimate: a flow step from dilated convolutions."""
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
