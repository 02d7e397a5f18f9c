"""Scores of regional wall motion from three short-axis cines: MMSA.

Xue et al., "Regional Cardiac Motion Scoring with Multi-scale Motion-based Spatial Attention". The
cines become polar slices (see `short_axis`). A flow branch sees whole slices and gives the motion
at three scales. A score branch sees each of the 16 segments by itself. At each scale the motion
says where in the segment to look. Two more blocks weigh the features over their channels and over
their positions, and two layers give a probability for each of four scores.

What the source leaves open, and where the choice comes from:

- Widths. Those of FlowNetS, whose encoder-decoder the source follows, at the same resolution: 64
  channels at 1/2, 128 at 1/4, 256 at 1/8; half of the first at full resolution. Kernels are 3 x 3.
- Frames of the flow branch. Each frame goes through the encoder once. The decoder sees the features
  of a frame and of the one `DISTANCE` frames later (FlowNetC's two streams). Time is circular, as
  the source's shift is. So the distance is a part of the graph, and any number of frames fits.
- Down and up: the largest of 2 x 2 samples, and each sample twice along both axes (U-Net).
- First decoder block: there is no flow before it, so it takes features only.
- Kernel interpolation. The kernels of the first layer have `KERNEL_FRAMES` frames. The source
  stretches them to T frames; here the frames are put on the kernel's time axis by the transpose of
  that stretch, times KERNEL_FRAMES / T, which is the same sum up to this factor. The layer that
  aggregates the flow of all frames is treated in the same way.
- Features that meet the flow: those of a block before it shrinks them, whose scales are 1, 1/2 and
  1/4, as the flow's.
- Order of the last blocks: squeeze and excitation, then non-local, as in the text. The channels are
  reduced to a quarter between (the usual sixteenth would leave few), and to a half in the non-local
  block (Wang et al.).
- The last two layers: 256 numbers between them in the full size, as wide as the last block.
- Biases: every convolution and layer has one, but for the two in front of a softmax, which would
  take it out again. What lies outside a segment is 0.
- Motion score index: the mean of the 16 most likely scores, as the source's metric has it.

Without a checkpoint the weights are random, drawn from a seed, and the scores are meaningless. The
model is called untrained wherever it appears. The source has published no code and no weights, so
there is no other layout of keys to read.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

from cineflow.models.blocks import NonLocal, RingConv, SqueezeExcitation, joined, seed_weights
from cineflow.models.short_axis import SEGMENTS, SLICES, Layout, PolarSlices, to_segments

#: The scores 1 to 4, in order (Lang et al. 2015).
SCORES = ("normal", "hypokinetic", "akinetic", "dyskinetic")

#: d, frames from a frame to the one that its motion leads to.
DISTANCE = 3

#: Frames of the kernels that are interpolated in time; the source's longer cines have as many.
KERNEL_FRAMES = 25

#: Scales of the flow: 1, 1/2, 1/4.
SCALES = 3

_SLOPE = 0.2


@dataclass(frozen=True)
class Size:
    """Widths of the network; everything else is the same in every size.

    Attributes:
        widths: Channels of the four blocks of the score branch, and of the flow branch's encoder.
        hidden: Numbers between the two last layers.
        flow_gain: Of the untrained flow heads: motion of a few samples.
        map_gain: Of the untrained attention maps: some places count more than others.
        score_gain: Of the untrained last layer: scores that differ between segments.
        score_bias: Of the untrained last layer, so that no score is the most likely everywhere;
            for 25 frames.
    """

    widths: tuple[int, int, int, int]
    hidden: int
    flow_gain: float
    map_gain: float
    score_gain: float
    score_bias: tuple[float, float, float, float]


#: Widths of FlowNetS at the same resolutions.
PAPER = Size((32, 64, 128, 256), 256, 4.0, 3.0, 3.0, (5.9, 4.1, -9.7, 8.7))

#: A quarter of them; half at full resolution, where layers of 8 channels took nearly as long as
#: layers of 16 (with AVX-512).
SMALL = Size((16, 16, 32, 64), 64, 4.0, 3.0, 15.0, (9.6, 12.7, -0.2, -5.9))


class MotionScoring(nn.Module):
    """A score for each segment of one study.

    Args:
        size: Widths.
        layout: Samples of the polar slices. The last layers hold for one layout.
        seed: Seed of the untrained weights.
    """

    def __init__(self, size: Size = SMALL, layout: Layout | None = None, seed: int = 0) -> None:
        super().__init__()
        layout = layout or Layout()
        self.polar = PolarSlices(layout)
        self.flow = FlowBranch(size.widths)
        self.score = ScoreBranch(size, layout)
        seed_weights(self, seed, _gains(size))
        with torch.no_grad():
            self.score.last.bias.copy_(torch.tensor(size.score_bias))

    def forward(
        self, cines: Tensor, landmarks: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Score a study.

        Args:
            cines: Grey levels 0..255, basal, mid and apical slice, [1, 3, T, H, W] f32; T is more
                than `DISTANCE`.
            landmarks: Of each slice, in px of its frames, x first: the anterior and the inferior
                junction of left and right ventricle, the centre of the cavity, [1, 3, 3, 2] f32.

        Returns:
            Probability of each score [1, 16, 4]; the most likely score 1..4 [1, 16] i32; 1 where it
            is abnormal, above 1 [1, 16] i32; the mean score [1]; the mean motion of each segment
            over `DISTANCE` frames, [1, 16, T, 2] in polar samples, outwards and in the order of the
            segments.
        """
        slices = self.polar(cines, landmarks)  # [3, T, A, R]
        return self.scored(slices, self.flow(slices))

    def scored(
        self, slices: Tensor, flows: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The outputs of `forward`, from the polar slices and what `FlowBranch` says of them."""
        motions = [_motion_of_segments(one) for one in flows]
        probabilities = torch.softmax(self.score(to_segments(slices), motions), dim=1)[None]
        scores = probabilities.argmax(dim=2) + 1  # [1, 16]
        index = scores.float().mean(dim=1)
        moved = motions[0].mean(dim=(3, 4))[None]
        return probabilities, scores.int(), (scores > 1).int(), index, moved


class FlowBranch(nn.Module):
    """Motion over `DISTANCE` frames at three scales, of each slice by itself.

    Args:
        widths: Channels of the encoder's four blocks, from full resolution to 1/8.
    """

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(_RingBlock(a, b) for a, b in itertools.pairwise((1, *widths)))
        first, second, third, deepest = widths
        self.decoder = nn.ModuleList(
            (
                _RingBlock(2 * third + 2 * deepest, third),
                _RingBlock(2 * second + third + 2, second),
                _RingBlock(2 * first + second + 2, first),
            )
        )
        self.heads = nn.ModuleList(RingConv(one, 2) for one in (third, second, first))

    def forward(self, slices: Tensor) -> list[Tensor]:
        """Equations 4 and 5.

        Args:
            slices: [3, T, A, R], 0..1; A and R are multiples of 8.

        Returns:
            For the scales 1, 1/2 and 1/4 the motion in samples of that scale, [3, T, 2, A / s,
            R / s]: outwards and along the angles, frame (t + d)(p + motion) ~ frame t (p).
        """
        features = self.encode(slices.flatten(0, 1)[:, None])
        return self.decode([(one, later(one)) for one in features])

    def encode(self, frames: Tensor) -> list[Tensor]:
        """Features of each frame by itself.

        Args:
            frames: [3 T, 1, A, R].

        Returns:
            One tensor [3 T, C, A / s, R / s] for each of the scales 1, 1/2, 1/4 and 1/8.
        """
        features = []
        for level, block in enumerate(self.encoder):
            frames = block(F.max_pool2d(frames, 2) if level > 0 else frames)
            features.append(frames)
        return features

    def decode(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """Motion from the features of frames and of those that the motion leads to.

        Args:
            pairs: Both, for each scale, as `encode` gives them.

        Returns:
            As `forward`.
        """
        x = torch.cat(pairs[-1], dim=1)
        flows: list[Tensor] = []
        for block, head, skip in zip(self.decoder, self.heads, pairs[-2::-1], strict=True):
            given = [*skip, _twice(x)]
            if flows:
                given.append(2.0 * _twice(flows[-1]))
            x = block(joined(given))
            flows.append(head(x))
        return [one.unflatten(0, (SLICES, -1)) for one in reversed(flows)]


class ScoreBranch(nn.Module):
    """The scores of segments before the softmax.

    Args:
        size: Widths.
        layout: Samples of a segment.
    """

    def __init__(self, size: Size, layout: Layout) -> None:
        super().__init__()
        channels = (KERNEL_FRAMES, *size.widths)
        self.blocks = nn.ModuleList(_Block(a, b) for a, b in itertools.pairwise(channels))
        self.attention = nn.ModuleList(MotionAttention(one) for one in size.widths[:SCALES])
        last = size.widths[-1]
        self.excitation = SqueezeExcitation(last, last // 4, _SLOPE)
        self.non_local = NonLocal(last, last // 2)
        positions = (layout.columns // 16) * (layout.radii // 16)
        self.first = nn.Linear(last * positions, size.hidden)
        self.last = nn.Linear(size.hidden, len(SCORES))

    def forward(self, segments: Tensor, motions: list[Tensor]) -> Tensor:
        """Score each segment.

        Args:
            segments: [16, T, w, r], 0..1.
            motions: For the scales 1, 1/2 and 1/4, [16, T, 2, w / s, r / s].

        Returns:
            [16, 4].
        """
        x = on_kernel_frames(segments)
        for level, block in enumerate(self.blocks):
            x = block(x)
            if level < SCALES:
                x = self.attention[level](x, motions[level])
            x = F.max_pool2d(x, 2)
        x = self.non_local(self.excitation(x))
        scores: Tensor = self.last(F.leaky_relu(self.first(x.flatten(1)), _SLOPE))
        return scores


class MotionAttention(nn.Module):
    """Motion-based spatial attention, equations 10 to 13.

    Args:
        channels: Of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels + 3, channels, 1)
        self.frames = nn.Conv2d(2 * KERNEL_FRAMES, channels, 1)
        self.map = nn.Conv2d(2 * channels, 1, 1, bias=False)  # the softmax would take it out

    def forward(self, x: Tensor, motion: Tensor) -> Tensor:
        """Weigh the positions of each segment.

        Args:
            x: Features [16, channels, w, r].
            motion: [16, T, 2, w, r].

        Returns:
            [16, channels, w, r].
        """
        largest = (motion * motion).sum(dim=2).sqrt().amax(dim=1, keepdim=True)
        seen = torch.cat([largest, motion.mean(dim=1), x], dim=1)
        frames = on_kernel_frames(motion.flatten(2)[..., None])  # [16, K, 2 w r, 1]
        frames = frames.reshape(SEGMENTS, 2 * KERNEL_FRAMES, *x.shape[2:])
        both = torch.cat([self.features(seen), self.frames(frames)], dim=1)
        places = self.map(F.leaky_relu(both, _SLOPE))  # [16, 1, w, r]
        attention = torch.softmax(places.flatten(2), dim=2).unflatten(2, x.shape[2:])
        return attention * x + x


def on_kernel_frames(x: Tensor) -> Tensor:
    """Frames [N, T, a, b] on the time axis of an interpolated kernel, [N, K, a, b].

    A kernel of K frames stretched linearly to T frames, both from first to last, weighs the frames
    as the kernel itself weighs these. They are multiplied by K / T, so that a longer cine gives no
    larger features. With T = K they are the frames themselves.
    """
    steps = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)  # [T]
    place = steps * ((KERNEL_FRAMES - 1) / steps[-1:])
    taps = torch.arange(KERNEL_FRAMES, device=x.device, dtype=torch.float32)[:, None]
    share = (1.0 - (place - taps).abs()).clamp(min=0)  # [K, T]
    share = share * (KERNEL_FRAMES / (steps[-1:] + 1.0))
    return (share @ x.flatten(2)).unflatten(2, x.shape[2:])


def _motion_of_segments(motion: Tensor) -> Tensor:
    """[3, T, 2, A, R] of slices -> [16, T, 2, A / 6, R] of segments."""
    return to_segments(motion.flatten(1, 2)).unflatten(1, (-1, 2))


def later(features: Tensor) -> Tensor:
    """Of each frame [3 T, C, A, R] those `DISTANCE` frames later, around the beat."""
    frames = features.unflatten(0, (SLICES, -1))
    turned = torch.cat([frames[:, DISTANCE:], frames[:, :DISTANCE]], dim=1)
    return turned.flatten(0, 1)


def _twice(x: Tensor) -> Tensor:
    """Each sample twice along both axes; a ring stays a ring."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class _RingBlock(nn.Module):
    """Two convolutions of a ring, [B, a, A, R] -> [B, b, A, R]."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.first, self.second = RingConv(a, b), RingConv(b, b)

    def forward(self, x: Tensor) -> Tensor:
        """[B, a, A, R] -> [B, b, A, R]."""
        x = F.leaky_relu(self.first(x), _SLOPE)
        return F.leaky_relu(self.second(x), _SLOPE)


class _Block(nn.Module):
    """Two convolutions of a segment, [B, a, w, r] -> [B, b, w, r]; zeros around it."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(a, b, 3, padding=1)
        self.second = nn.Conv2d(b, b, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, a, w, r] -> [B, b, w, r]."""
        x = F.leaky_relu(self.first(x), _SLOPE)
        return F.leaky_relu(self.second(x), _SLOPE)


def _gains(size: Size) -> dict[str, float]:
    """The layers whose untrained weights are scaled, by name."""
    gains = {f"flow.heads.{level}": size.flow_gain for level in range(SCALES)}
    gains |= {f"score.attention.{level}.map": size.map_gain for level in range(SCALES)}
    # The squeezed weights of C channels add up to 1, which makes the features C times smaller.
    return gains | {"score.first": size.widths[-1], "score.last": size.score_gain}
