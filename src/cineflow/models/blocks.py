"""Blocks that several networks need: an encoder pyramid, fused scales, and memories over time.

Modules made here are plain `nn.Sequential`s where a public checkpoint has them so. Its keys then
fit without renaming.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

#: Convolutions of each block of the encoder pyramid (Qin et al.'s public code). The first block
#: keeps the resolution, and each later one halves it.
BLOCKS = (2, 2, 3, 3, 3)

#: Height and width of the frames are multiples of this: one halving for each block but the first.
MULTIPLE = 2 ** (len(BLOCKS) - 1)


#: Channels that a processor computes at once. ONNX Runtime's fast layout takes whole multiples.
LANES = 8


def joined(parts: Sequence[Tensor]) -> Tensor:
    """`parts` [B, *, H, W] along the channels, then channels of zeros up to a multiple of `LANES`.

    A layer whose input has been filled up takes `filled_weight`. The result is the same.
    """
    more = -sum(one.shape[1] for one in parts) % LANES
    zeros = torch.zeros_like(parts[0][:, :1]).expand(-1, more, -1, -1)
    return torch.cat([*parts, zeros] if more else [*parts], dim=1)


def filled_weight(weight: Tensor, x: Tensor) -> Tensor:
    """Weights [b, a, 3, 3] for an input [B, a + zeros, H, W] that was `joined`."""
    zeros = x.shape[1] - weight.shape[1]
    return F.pad(weight, (0, 0, 0, 0, 0, zeros)) if zeros else weight


def conv_bn(a: int, b: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, batch normalisation, ReLU: [B, a, H, W] -> [B, b, H/s, W/s]."""
    convolution = nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(b), nn.ReLU())


def encoder_pyramid(widths: Sequence[int], channels: int = 1) -> nn.Sequential:
    """Five blocks of 3 x 3 convolutions; `widths` are the channels of each.

    Run it with `pyramid_of`, which keeps the features of every block.
    """
    blocks = []
    for level, (before, width) in enumerate(itertools.pairwise((channels, *widths))):
        first = conv_bn(before, width, stride=1 if level == 0 else 2)
        more = [conv_bn(width, width) for _ in range(BLOCKS[level] - 1)]
        blocks.append(nn.Sequential(first, *more))
    return nn.Sequential(*blocks)


def pyramid_of(encoder: nn.Sequential, image: Tensor) -> list[Tensor]:
    """Features of `image` [B, channels, H, W] at every scale, finest first.

    Returns:
        One tensor [B, widths[k], H / 2^k, W / 2^k] for each block k.
    """
    features = []
    for block in encoder:
        image = block(image)
        features.append(image)
    return features


def normalised(block: nn.Module) -> tuple[Tensor, Tensor]:
    """Weights and bias of a `conv_bn` block's convolution and normalisation as one convolution.

    It is what they compute in eval mode. They are folded into constants on export.
    """
    assert isinstance(block, nn.Sequential)
    convolution, norm = block[0], block[1]
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return convolution.weight * scale.reshape(-1, 1, 1, 1), norm.bias - norm.running_mean * scale


def conv_of_both(weight: Tensor, bias: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """A 3 x 3 convolution of `a` and `b` one after the other along the channels.

    It is computed as the sum of one convolution of each. So neither is copied, and each may have
    the layout that its runtime likes best.

    Args:
        weight: [out, channels of a + channels of b, 3, 3].
        bias: [out].
        a: [B, channels, H, W].
        b: [B, channels, H, W].

    Returns:
        [B, out, H, W].
    """
    one, other = weight.split([a.shape[1], b.shape[1]], dim=1)
    return F.conv2d(a, one, bias, padding=1) + F.conv2d(b, other, padding=1)


def fused_scales(join: nn.Conv2d, mix: nn.Sequential, maps: Sequence[Tensor]) -> Tensor:
    """`mix(join(...))` of all scales, enlarged to the finest one and put one after the other.

    Nothing lies between the two 1 x 1 convolutions, so they are one. Each scale is convolved before
    it is enlarged. An enlargement weighs samples with shares that add up to 1, the same in every
    channel, so the result is the same; the work is less.

    Args:
        join: A 1 x 1 convolution from C * scales channels to others.
        mix: A `conv_bn` block of 1 x 1, in eval mode.
        maps: [B, C, H / 2^k, W / 2^k] for each scale k, finest first.

    Returns:
        [B, channels, H, W]. The enlargement is bilinear and keeps the centres of the corner
        pixels (`align_corners=True`), as Qin et al.'s public code has it.
    """
    mixing, bias = normalised(mix)
    matrix = mixing.flatten(1)
    assert join.bias is not None
    weight = (matrix @ join.weight.flatten(1)).reshape(matrix.shape[0], -1, 1, 1)
    first, *others = weight.split(maps[0].shape[1], dim=1)
    fused = F.conv2d(maps[0], first, (matrix @ join.bias.reshape(-1, 1)).reshape(-1) + bias)
    coarser: Tensor | None = None
    for scale, (one, part) in enumerate(zip(maps[1:], others, strict=True), start=1):
        larger = F.interpolate(
            F.conv2d(one, part), scale_factor=float(2**scale), mode="bilinear", align_corners=True
        )
        coarser = larger if coarser is None else coarser + larger
    return F.relu(fused if coarser is None else fused + coarser)


def class_probabilities(scores: Tensor) -> Tensor:
    """Softmax over the channels of [B, C, H, W]; runtimes are slow along an axis in the middle."""
    largest = functools.reduce(torch.maximum, scores.split(1, dim=1))
    grown = torch.exp(scores - largest)
    return grown / functools.reduce(torch.add, grown.split(1, dim=1))


def remembered(begun: Tensor, kept: Sequence[Tensor], now: Sequence[Tensor]) -> list[Tensor]:
    """What a state holds; what is there now where nothing was kept yet.

    A stream starts its states at zero, so a network cannot tell an empty state from a black frame
    by the features. `begun` says it.

    Args:
        begun: [1, 1, 1, 1]: 0 before the first frame, 1 after it.
        kept: The tensors of the state: zeros before the first frame.
        now: Those of the current frame, with the same shapes.
    """
    empty = 1.0 - begun
    return [a + b * empty for a, b in zip(kept, now, strict=True)]


def laid_out(state: Tensor) -> Tensor:
    """`state` [B, C, H, W] itself, in the layout that a runtime's convolutions work in.

    A pooling of single pixels changes no value. ONNX Runtime adds in the layout of its convolutions
    where both operands have it, and the sum then costs next to nothing. A result of a pooling has
    that layout. What comes from an input of the graph has not, and a sum with it brings the other
    operand out of the layout and the result back into it.
    """
    same: Tensor = F.max_pool2d(state, 1)  # torch does not say its type
    return same


class ConvGru(nn.Module):
    """A gated recurrent unit whose linear layers are 3 x 3 convolutions.

    h' = (1 - z) h + z tanh(W [x, r h]); Ballas et al. 2016 (arXiv 1511.06432).

    Args:
        channels: Of the input and of the hidden state.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gates = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.candidate = nn.Conv2d(2 * channels, channels, 3, padding=1)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """One step.

        Args:
            x: Features [B, channels, H, W].
            hidden: The state before, same shape.

        Returns:
            The state after, same shape, within -1..1 where the state before is.
        """
        gates, candidate = self.gates, self.candidate
        assert gates.bias is not None
        assert candidate.bias is not None
        both = torch.sigmoid(conv_of_both(gates.weight, gates.bias, x, hidden))
        update, reset = both.chunk(2, dim=1)
        new = torch.tanh(conv_of_both(candidate.weight, candidate.bias, x, reset * hidden))
        return hidden + update * (new - hidden)  # the formula, with one product less


class TemporalAttention(nn.Module):
    """Self-attention along time, for each pixel by itself, then a 3 x 3 convolution in space.

    Both are residual. Time has no position here: the order of the frames is in the features only
    where the network adds it (`time_code`).

    Args:
        channels: Of the features.
        heads: Attention heads; they divide the channels.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projection = nn.Conv2d(channels, 3 * channels, 1)
        self.output = nn.Conv2d(channels, channels, 1)
        self.space = conv_bn(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Every time attends to all others.

        Args:
            x: Features [T, channels, H, W].

        Returns:
            [T, channels, H, W].
        """
        times, channels, height, width = x.shape
        split = (times, 3, self.heads, channels // self.heads, height * width)
        parts = self.projection(x).reshape(split).permute(1, 4, 2, 0, 3)
        query, key, value = parts.unbind(dim=0)  # [H W, heads, T, C]
        scores = query @ key.transpose(-1, -2) / math.sqrt(channels // self.heads)
        seen = torch.softmax(scores, dim=-1) @ value
        seen = seen.permute(2, 1, 3, 0)  # [T, heads, C, H W]
        x = x + self.output(seen.reshape(times, channels, height, width))
        return x + self.space(x)


def time_code(times: int, channels: int) -> Tensor:
    """Sines and cosines of the frame's number, [times, channels, 1, 1] (Vaswani et al. 2017).

    The base is 100, for windows of a few frames; theirs is 10 000, for texts.
    """
    position = torch.arange(times, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, channels, 2) * (-math.log(100.0) / channels))
    code = torch.zeros(times, channels)
    code[:, 0::2] = torch.sin(position * rate)
    code[:, 1::2] = torch.cos(position * rate)
    return code[:, :, None, None]


class RingConv(nn.Conv2d):
    """A 3 x 3 convolution of a ring: its last row is followed by the first, [B, a, A, R] ->
    [B, b, A, R]. Beyond the ends of the columns there are zeros.

    Args:
        a: Channels of the input.
        b: Channels of the result.
    """

    def __init__(self, a: int, b: int) -> None:
        super().__init__(a, b, 3, padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """One layer, [B, a, A, R] -> [B, b, A, R]; the input may have been `joined`."""
        ring = torch.cat([x[:, :, -1:], x, x[:, :, :1]], dim=2)
        return F.conv2d(ring, filled_weight(self.weight, x), self.bias, padding=(0, 1))


class SqueezeExcitation(nn.Module):
    """Weighs channels by their means (Hu et al. 2018, arXiv 1709.01507), with a softmax.

    Args:
        channels: Of the features.
        reduced: Of the layer between.
        slope: Of the leaky ReLU.
    """

    def __init__(self, channels: int, reduced: int, slope: float) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, reduced)
        self.restore = nn.Linear(reduced, channels)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] -> [B, channels, H, W]; the weights of the channels add up to 1."""
        means = x.mean(dim=(2, 3))
        weights = self.restore(F.leaky_relu(self.reduce(means), self.slope))
        return torch.softmax(weights, dim=1)[:, :, None, None] * x


class NonLocal(nn.Module):
    """Every position attends to all others: the embedded Gaussian of Wang et al. 2018
    (arXiv 1711.07971), with a short cut.

    Args:
        channels: Of the features.
        inner: Of the embeddings.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, inner, 1)
        # A bias would add the same to every likeness of a position; its softmax takes it out again.
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, inner, 1)
        self.output = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] -> [B, channels, H, W]."""
        query, key, value = (one(x).flatten(2) for one in (self.query, self.key, self.value))
        likeness = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # [B, H W, H W]
        response = value @ likeness.transpose(1, 2)  # [B, inner, H W]
        out: Tensor = x + self.output(response.unflatten(2, x.shape[2:]))
        return out


def seed_weights(module: nn.Module, seed: int, gains: dict[str, float] | None = None) -> None:
    """Random weights from a seed, scaled so that signals keep their size from layer to layer.

    Normal numbers with He's variance. Biases are 0. Batch normalisation is left as torch makes it,
    which is the identity in eval mode.

    Args:
        module: Its convolutions and linear layers are changed in place.
        seed: Equal seeds give equal weights.
        gains: Factor on the weights of a layer, by its name in `module`; 1 by default.
    """
    generator = torch.Generator().manual_seed(seed)
    gains = dict(gains or {})
    for name, one in module.named_modules():
        if not isinstance(one, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            continue
        fan_in = one.weight[0].numel()
        spread = math.sqrt(2.0 / fan_in) * gains.pop(name, 1.0)
        with torch.no_grad():
            one.weight.normal_(0.0, spread, generator=generator)
            if one.bias is not None:
                one.bias.zero_()
    assert not gains, f"no layer is called {sorted(gains)}"
