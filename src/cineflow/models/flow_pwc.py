"""PWC-style optical flow: the layout of a learned tracker, for the whole export path.

It works from coarse to fine on a feature pyramid of both frames. At each level the second frame's
features are warped by the flow so far and correlated with the first's over a window of 9 x 9
displacements. A small dense network turns the correlation into a correction of the flow. Oh et al.
train their key points with this network. The layout is the compact one of ARFlow (lliuz/ARFlow,
MIT, `models/pwclite.py`, with `reduce_dense`): five levels that share one flow estimator and one
context network, an output at a quarter of the resolution, enlargements that keep the centres of the
corner pixels. `pwclite_keys` reads its checkpoints.

Chosen here: one grey channel instead of three colours, because echo is grey; grey levels of 0..255,
divided by 255 in the graph; channels of zeros that fill odd counts up to a multiple of 8, which
changes no result and is faster.

Without a checkpoint the weights are random, drawn from a seed. The flow heads are scaled so that
the flow spreads over a few pixels, as a trained network's would. That makes the figures of export
and speed meaningful, but not the flow itself. The model is called untrained wherever it appears.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

from cineflow import ops
from cineflow.models.blocks import filled_weight, joined

#: Levels on which flow is estimated. The last one is at a quarter of the resolution.
LEVELS = 5

RADIUS = 4
_SLOPE = 0.1
_DILATIONS = (1, 2, 4, 8, 16, 1)


@dataclass(frozen=True)
class Size:
    """Widths of the network; everything else is the same in every size.

    Attributes:
        channels: Of the features, from half resolution down to 1/64. Six halvings: height and width
            of the frames are multiples of 64.
        reduced: Channels of the first frame's features that the estimator sees, and of its last
            layer.
        estimator: Channels of its four layers before the last one.
        context: Channels of the context network's layers.
        head_gain: Of the untrained flow heads. On moved speckle of 256 x 256 px the untrained flow
            then has a standard deviation of at least 2 px. On smaller frames it is less, because
            more windows reach into the padding.
    """

    channels: tuple[int, int, int, int, int, int]
    reduced: int
    estimator: tuple[int, int, int, int]
    context: tuple[int, int, int, int, int, int]
    head_gain: float


PAPER = Size(
    channels=(16, 32, 64, 96, 128, 192),
    reduced=32,
    estimator=(128, 128, 96, 64),
    context=(128, 128, 128, 96, 64, 32),
    head_gain=0.38,
)

#: A quarter of the widths, but never less than `blocks.LANES`.
SMALL = Size(
    channels=(8, 8, 16, 24, 32, 48),
    reduced=8,
    estimator=(32, 32, 24, 16),
    context=(32, 32, 32, 24, 16, 8),
    head_gain=0.42,
)


class FlowPwc(nn.Module):
    """Flow from one frame to the next, in pixels, on the previous frame's grid.

    Args:
        size: `PAPER` or `SMALL`.
        seed: Seed of the untrained weights.
    """

    def __init__(self, size: Size = PAPER, *, seed: int = 0) -> None:
        super().__init__()
        sizes = (1, *size.channels)
        self.encoder = nn.ModuleList(
            nn.Sequential(_conv(a, b, stride=2), _conv(b, b)) for a, b in itertools.pairwise(sizes)
        )
        self.reduce = nn.ModuleList(
            _conv(channels, size.reduced, kernel=1)
            for channels in size.channels[: -LEVELS - 1 : -1]
        )
        seen = (2 * RADIUS + 1) ** 2 + size.reduced + 2
        self.estimator = _Estimator(seen, size.estimator, size.reduced)
        self.context = _context(size.reduced + 2, size.context)
        self._initialise(size.head_gain, seed)

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
        both = self._features(torch.cat([previous, current], dim=0))
        return self._flow([one[:batch] for one in both], [one[batch:] for one in both])

    def _features(self, frames: Tensor) -> list[Tensor]:
        """Features of frames [N, 1, H, W], one [N, C, H / 2^k, W / 2^k] per level, k = 2 to 6."""
        features = frames * (1.0 / 255.0)
        pyramid = []
        for block in self.encoder:
            features = block(features)
            pyramid.append(features)
        return pyramid[-LEVELS:]

    def _flow(self, before: Sequence[Tensor], after: Sequence[Tensor]) -> Tensor:
        """Flow [B, 2, H, W] px from one frame's features to another's, each finest first."""
        flow = torch.zeros_like(before[-1][:, :2])
        for level in range(LEVELS):
            first, second = before[-1 - level], after[-1 - level]
            if level > 0:
                flow = 2.0 * _enlarge(flow, 2)
                second = ops.warp(src=second, flow=flow, border="zeros")
            volume = ops.correlation(f1=first, f2=second, radius=RADIUS)
            seen = [F.leaky_relu(volume, _SLOPE), self.reduce[level](first), flow]
            estimate, step = self.estimator(joined(seen))
            flow = flow + step
            flow = flow + self.context(joined([estimate, flow]))
        return 4.0 * _enlarge(flow, 4)

    def _initialise(self, head_gain: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight.shape[1] * math.prod(module.kernel_size)
                gain = math.sqrt(2.0 / (1.0 + _SLOPE**2) / fan_in)
                head = name in ("estimator.flow", f"context.{len(_DILATIONS)}")
                with torch.no_grad():
                    module.weight.normal_(
                        0.0, gain * (head_gain if head else 1.0), generator=generator
                    )
                    assert module.bias is not None  # nn.Conv2d's default
                    module.bias.zero_()


class FlowPwcStream(FlowPwc):
    """The same network for a stream: the previous frame's features are a state.

    The encoder runs once for each frame. Parameters and checkpoints are those of `FlowPwc`.
    """

    def forward(  # type: ignore[override]  # another feed, so other arguments
        self,
        current: Tensor,
        begun: Tensor,
        features1: Tensor,
        features2: Tensor,
        features3: Tensor,
        features4: Tensor,
        features5: Tensor,
    ) -> tuple[Tensor, ...]:
        """One frame of a stream. The first one, with states of zero, makes no pair.

        Args:
            current: Current frame, grey levels 0..255, [1, 1, H, W] f32; H and W are multiples
                of 64.
            begun: 0 with the first frame, 1 after it, [1, 1, 1, 1].
            features1, features2, features3, features4, features5: Features of the previous frame,
                [1, channels[k], H / 2^(k + 1), W / 2^(k + 1)] for k = 1 to 5.

        Returns:
            flow [1, 2, H, W] px, on the previous frame's grid, x first; zeros for the first frame.
            Then the states after this frame, in the order of the arguments.
        """
        now = self._features(current)
        before = (features1, features2, features3, features4, features5)
        # The first frame is not a pair: the flow from no features is taken out.
        return (self._flow(before, now) * begun, torch.ones_like(begun), *now)


def pwclite_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The parameters of ARFlow's PWCLite as `FlowPwc` has them: for two frames, `reduce_dense`.

    The first convolution's weights for red, green and blue are added, which is the same on a grey
    picture. Any other state dict is returned as it is.

    Args:
        state: A state dict, with or without `module.` before its keys.
    """
    found = {}
    for key, value in state.items():
        name = key.removeprefix("module.")
        for public, ours in _PUBLIC_KEYS.items():
            if name.startswith(public):
                name = ours + name.removeprefix(public)
                if name == "encoder.0.0.0.weight" and value.shape[1] == 3:
                    value = value.sum(dim=1, keepdim=True)
                break
        else:
            name = key
        found[name] = value
    return found


_PUBLIC_KEYS = {
    "feature_pyramid_extractor.convs.": "encoder.",
    "conv_1x1.": "reduce.",
    "flow_estimators.conv1.": "estimator.first.",
    "flow_estimators.conv2.": "estimator.second.",
    "flow_estimators.conv3.": "estimator.third.",
    "flow_estimators.conv4.": "estimator.fourth.",
    "flow_estimators.conv5.": "estimator.fifth.",
    "flow_estimators.predict_flow.0.": "estimator.flow.",
    **{f"context_networks.convs.{k}.": f"context.{k}." for k in range(len(_DILATIONS))},
    f"context_networks.convs.{len(_DILATIONS)}.0.": f"context.{len(_DILATIONS)}.",
}


class _Estimator(nn.Module):
    """Flow correction and features of one level. Each layer reads the two before it."""

    def __init__(self, channels: int, widths: tuple[int, int, int, int], last: int) -> None:
        super().__init__()
        one, two, three, four = widths
        self.first = _conv(channels, one, kind=_FilledConv)
        self.second = _conv(one, two)
        self.third = _conv(one + two, three)
        self.fourth = _conv(two + three, four)
        self.fifth = _conv(three + four, last)
        self.flow = nn.Conv2d(four + last, 2, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, channels, H, W] -> features [B, last, H, W] and a flow correction [B, 2, H, W] px."""
        x1 = self.first(x)
        x2 = self.second(x1)
        x3 = self.third(torch.cat([x1, x2], dim=1))
        x4 = self.fourth(torch.cat([x2, x3], dim=1))
        x5 = self.fifth(torch.cat([x3, x4], dim=1))
        return x5, self.flow(torch.cat([x4, x5], dim=1))


def _context(channels: int, widths: Sequence[int]) -> nn.Sequential:
    """Flow correction from the estimate: dilated convolutions with a growing receptive field."""
    layers: list[nn.Module] = []
    for (a, b), dilation in zip(itertools.pairwise((channels, *widths)), _DILATIONS, strict=True):
        kind = nn.Conv2d if layers else _FilledConv
        layers.append(_conv(a, b, dilation=dilation, kind=kind))
    layers.append(nn.Conv2d(widths[-1], 2, 3, padding=1))
    return nn.Sequential(*layers)


class _FilledConv(nn.Conv2d):
    """A convolution whose input is `joined`."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, a + zeros, H, W] -> [B, b, H, W]."""
        weight = filled_weight(self.weight, x)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation)


def _conv(
    a: int,
    b: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    kind: type[nn.Conv2d] = nn.Conv2d,
) -> nn.Sequential:
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(kind(a, b, kernel, stride, padding, dilation), nn.LeakyReLU(_SLOPE))


def _enlarge(x: Tensor, factor: int) -> Tensor:
    """Bilinear enlargement that keeps the centres of the corner pixels."""
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=True)
