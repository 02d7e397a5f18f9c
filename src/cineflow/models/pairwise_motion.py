"""Motion of image pairs with a memory over time, in two stages (US 2025/0259316 A1).

A twin encoder sees both images of a pair. Their features are concatenated at each of five scales,
refined by those of other pairs, enlarged to one resolution and concatenated; the motion is read off
them. The text gives two decoders: a gated recurrent unit with convolutions at each scale
(`PairwiseMotion`), and self-attention along time with convolutions between
(`PairwiseMotionWindow`). A second network takes the fields of a series and returns as many
corrected ones (`RefineSeries`).

The text gives neither widths nor depths. Chosen here:

* Encoder, widths of the scales and the way to one resolution are those of Qin et al.'s public code
  (cq615/Joint-Motion-Estimation-and-Segmentation), because the text describes the same pyramid.
* The motion is linear in pixels, without the tanh of that code: the motion of a pair does not grow
  with the picture.
* ConvGRU: 3 x 3, as in Ballas et al. 2016. The text says that the linear layers become
  convolutions. The hidden state is as wide as the scale's features.
* Transformer: two blocks of attention and convolution at each scale, each pixel by itself, with the
  frame's number added as sines (Vaswani et al. 2017, with a base of 100 because a window has few
  frames). Attention has 4 heads, 2 in the small size. The text says only that attention runs along
  time and convolutions in space lie between.
* Frames are 0..1; the stream divides grey levels by 255.
* Refinement: three 3-D convolutions at a quarter of the resolution and a correction that is added.
  The text says that the network takes the fields, and may estimate corrections.
* The features of the other image are a state, so the encoder runs once for each frame.

The text composes motion by adding fields (paragraph 43). Nothing here does: fields are composed by
warping, as everywhere in cineflow. See docs/systems/pairwise_motion.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

from cineflow.models.blocks import (
    ConvGru,
    TemporalAttention,
    conv_bn,
    conv_of_both,
    encoder_pyramid,
    fused_scales,
    normalised,
    pyramid_of,
    remembered,
    seed_weights,
    time_code,
)


@dataclass(frozen=True)
class Size:
    """Widths of the networks.

    Attributes:
        widths: Channels of the encoder's five blocks.
        hidden: Channels of each scale in the decoder.
        heads: Of the attention; they divide `hidden`.
        gain: Of the untrained motion head with the recurrent decoder. On a short-axis phantom of
            192 x 192 px the standard deviation of the motion is then between 2 and 8 px.
        window_gain: The same, with the transformer.
    """

    widths: tuple[int, int, int, int, int]
    hidden: int
    heads: int
    gain: float
    window_gain: float


PAPER = Size((64, 128, 256, 512, 512), 64, heads=4, gain=12.0, window_gain=0.5)
SMALL = Size((16, 32, 64, 128, 128), 16, heads=2, gain=16.0, window_gain=0.3)

#: Frames of a window of the transformer.
WINDOW = 8

#: Blocks of attention and convolution at each scale.
_ATTENTION_BLOCKS = 2

#: 3-D convolutions of the refinement.
_REFINE_LAYERS = 3


class _Decoder(nn.Module):
    """From refined features at every scale to a motion in pixels."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        hidden = size.hidden
        self.join = nn.Conv2d(hidden * len(size.widths), hidden, 1)
        self.mix = conv_bn(hidden, hidden, kernel=1)
        self.motion = nn.Conv2d(hidden, 2, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Motion [B, 2, H, W] px of maps [B, hidden, H / 2^k, W / 2^k], finest first."""
        motion: Tensor = self.motion(fused_scales(self.join, self.mix, maps))
        return motion


def _pairs(size: Size) -> nn.ModuleList:
    """One convolution for each scale: both images' features to `hidden` channels."""
    return nn.ModuleList(conv_bn(2 * width, size.hidden) for width in size.widths)


class PairwiseMotion(nn.Module):
    """First stage with the recurrent decoder: the motion of one pair after the other.

    Args:
        size: `PAPER` or `SMALL`.
        pairing: "successive": pairs (t, t + 1), whose motion is a flow; "reference": pairs (first
            frame, t), whose motion is a displacement.
        seed: Seed of the untrained weights.
    """

    def __init__(self, size: Size = SMALL, *, pairing: str = "successive", seed: int = 0) -> None:
        super().__init__()
        if pairing not in ("successive", "reference"):
            raise ValueError(f"pairing of successive or reference, not {pairing!r}")
        self.pairing = pairing
        self.encoder = encoder_pyramid(size.widths)
        self.pairs = _pairs(size)
        self.memory = nn.ModuleList(ConvGru(size.hidden) for _ in size.widths)
        self.decoder = _Decoder(size)
        seed_weights(self, seed, {"decoder.motion": size.gain})

    def forward(
        self,
        current: Tensor,
        begun: Tensor,
        features1: Tensor,
        features2: Tensor,
        features3: Tensor,
        features4: Tensor,
        features5: Tensor,
        hidden1: Tensor,
        hidden2: Tensor,
        hidden3: Tensor,
        hidden4: Tensor,
        hidden5: Tensor,
    ) -> tuple[Tensor, ...]:
        """One frame of a stream. The first one, with states of zero, makes no pair.

        Args:
            current: Current frame, 0..1, [1, 1, H, W] f32; H and W are multiples of 16.
            begun: 0 with the first frame, 1 after it, [1, 1, 1, 1].
            features1, features2, features3, features4, features5: Features of the pair's first
                image, [1, widths[k], H / 2^k, W / 2^k].
            hidden1, hidden2, hidden3, hidden4, hidden5: Hidden states, -1..1,
                [1, hidden, H / 2^k, W / 2^k].

        Returns:
            motion [1, 2, H, W] px from the pair's first image to the current one, on the first
            image's grid, x first; zeros for the first frame. Then the states after this frame, in
            the order of the arguments.
        """
        kept = (features1, features2, features3, features4, features5)
        hidden = (hidden1, hidden2, hidden3, hidden4, hidden5)
        now = pyramid_of(self.encoder, current)
        moved, after = self.between(kept, now, hidden)
        # The first frame is not a pair: what was made of it and of no features is taken out.
        features = now if self.pairing == "successive" else remembered(begun, kept, now)
        return (moved * begun, torch.ones_like(begun), *features, *(one * begun for one in after))

    def between(
        self, first: Sequence[Tensor], now: Sequence[Tensor], hidden: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Motion of one pair, and the hidden states after it.

        Args:
            first: Features of the pair's first image, finest scale first.
            now: Features of the current one.
            hidden: The hidden states before.
        """
        after = [
            unit(F.relu(conv_of_both(*normalised(block), a, b)), state)
            for unit, block, a, b, state in zip(
                self.memory, self.pairs, first, now, hidden, strict=True
            )
        ]
        return self.decoder(after), after


class PairwiseMotionWindow(nn.Module):
    """First stage with the transformer: the motion of every pair of a window at once.

    Args:
        size: `PAPER` or `SMALL`.
        seed: Seed of the untrained weights.
    """

    codes: Tensor

    def __init__(self, size: Size = SMALL, *, seed: int = 0) -> None:
        super().__init__()
        self.encoder = encoder_pyramid(size.widths)
        self.pairs = _pairs(size)
        self.attention = nn.ModuleList(
            nn.Sequential(
                *(TemporalAttention(size.hidden, size.heads) for _ in range(_ATTENTION_BLOCKS))
            )
            for _ in size.widths
        )
        self.decoder = _Decoder(size)
        self.register_buffer("codes", time_code(WINDOW, size.hidden), persistent=False)
        seed_weights(self, seed, {"decoder.motion": size.window_gain})

    def forward(self, reference: Tensor, frames: Tensor) -> Tensor:
        """Motion from the reference to each frame of the window.

        Args:
            reference: Reference frame, 0..1, [1, 1, H, W] f32; H and W are multiples of 16.
            frames: The window, oldest first, same range, [1, WINDOW, H, W].

        Returns:
            fields [1, WINDOW, 2, H, W] px, on the reference's grid, x first.
        """
        images = torch.cat([reference, frames], dim=1).transpose(0, 1)  # [1 + WINDOW, 1, H, W]
        maps = []
        for block, attention, features in zip(
            self.pairs, self.attention, pyramid_of(self.encoder, images), strict=True
        ):
            first, others = features[:1], features[1:]
            # The reference's half is computed once for all of them.
            joined = F.relu(conv_of_both(*normalised(block), first, others))
            maps.append(attention(joined + self.codes))
        fields: Tensor = self.decoder(maps)
        return fields[None]


class RefineSeries(nn.Module):
    """Second stage: corrects the fields of a whole series with one another.

    Args:
        size: `PAPER` or `SMALL`.
        seed: Seed of the untrained weights.
    """

    def __init__(self, size: Size = SMALL, *, seed: int = 0) -> None:
        super().__init__()
        hidden = size.hidden
        self.reduce = nn.Sequential(
            nn.Conv2d(2, hidden, 3, 2, 1), nn.ReLU(), nn.Conv2d(hidden, hidden, 3, 2, 1), nn.ReLU()
        )
        layers: list[nn.Module] = []
        for _ in range(_REFINE_LAYERS):
            layers += [nn.Conv3d(hidden, hidden, 3, padding=1), nn.ReLU()]
        self.series = nn.Sequential(*layers)
        self.correction = nn.Conv2d(hidden, 2, 3, padding=1)
        seed_weights(self, seed)

    def forward(self, fields: Tensor) -> Tensor:
        """Corrected fields.

        Args:
            fields: Motion of each pair of a series in order, [T, 2, H, W] px, x first; H and W are
                multiples of 4.

        Returns:
            [T, 2, H, W] px: the same fields with a correction added.
        """
        reduced = self.reduce(fields).transpose(0, 1)[None]  # [1, hidden, T, H / 4, W / 4]
        seen = self.series(reduced)[0].transpose(0, 1)
        correction = F.interpolate(
            self.correction(seen), scale_factor=4.0, mode="bilinear", align_corners=False
        )
        return fields + correction
