"""Joint cardiac motion and segmentation of cine-MR: one encoder, two branches (Qin et al. 2018).

A Siamese encoder sees the reference frame and the current one. The motion branch joins their
features at five scales and gives a displacement; the segmentation branch labels the current frame
from the same features. The abstract states the parts: "Siamese style recurrent spatial
transformer", "fully convolutional network", "joint multi-scale feature encoder". Everything else is
from the authors' public code (cq615/Joint-Motion-Estimation-and-Segmentation, MIT):

* widths, strides, batch normalisation, both heads, `align_corners=True` of the enlargements, the
  final tanh and the four classes: its PyTorch version.
* recurrence: its Theano version, build_FCN_Siemese_flow_rnn. For each pixel
  h_t = tanh(W_x x_t + W_h h_{t-1}), with 1 x 1 convolutions and two channels: the motion itself is
  the hidden state. There are no gates. The PyTorch version lacks it.

Chosen here:

* Direction. The public code samples its source at `grid + motion` and compares with its target. The
  source is the current frame here and the target is the reference, so the motion is the
  displacement from the reference to the current frame, on the reference's grid.
* Unit. The motion counts from -1 to 1 between the centres of the corner pixels (`linspace(-1, 1)`,
  and the Theano version samples so), so 1 is (W - 1) / 2 px. The PyTorch version was written when
  `grid_sample` had that as its default; today's default samples half a pixel off at the border.
  Here the motion is converted to pixels, and our warp samples in pixels.
* Frames are 0..1; the stream divides grey levels by 255.
* What the reference's features add to the motion branch is a state, so the encoder runs once for
  each frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812, torch's own idiom
from torch import Tensor, nn

import cineflow.ops.torch_library  # noqa: F401, registers torch.ops.cineflow
from cineflow.models.blocks import (
    class_probabilities,
    conv_bn,
    encoder_pyramid,
    fused_scales,
    laid_out,
    normalised,
    pyramid_of,
    remembered,
    seed_weights,
)

#: In the order of the public code. Its sample data has LV and RV swapped.
CLASSES = ("background", "left ventricle", "myocardium", "right ventricle")


@dataclass(frozen=True)
class Size:
    """Widths of the network.

    Attributes:
        widths: Channels of the encoder's five blocks.
        hidden: Channels of each scale in a branch.
        gain: Of the untrained motion head. On a short-axis phantom of 192 x 192 px the standard
            deviation of the displacement is then between 2 and 8 px.
    """

    widths: tuple[int, int, int, int, int]
    hidden: int
    gain: float


PAPER = Size((64, 128, 256, 512, 512), 64, gain=0.25)
SMALL = Size((16, 32, 64, 128, 128), 16, gain=0.07)


class JointMotionSeg(nn.Module):
    """Displacement from the reference frame, and labels of the current frame.

    The names of the submodules are those of the public PyTorch checkpoint (`conv_blocks`, `conv`,
    `conv6` to `conv8`, `convs`, `conv6s` to `conv8s`), whose state dict loads as it is with
    `recurrent=False`. With `recurrent=True` there is also `recurrence`, and a checkpoint without it
    is refused.

    Args:
        size: `PAPER` or `SMALL`.
        recurrent: Whether the motion depends on the motion before.
        seed: Seed of the untrained weights.
    """

    def __init__(self, size: Size = SMALL, *, recurrent: bool = True, seed: int = 0) -> None:
        super().__init__()
        widths, hidden = size.widths, size.hidden
        self.conv_blocks = encoder_pyramid(widths)
        self.conv = nn.Sequential(*(conv_bn(2 * width, hidden) for width in widths))
        self.conv6 = nn.Conv2d(hidden * len(widths), hidden, 1)
        self.conv7 = conv_bn(hidden, hidden, kernel=1)
        self.conv8 = nn.Conv2d(hidden, 2, 1)
        self.convs = nn.Sequential(*(conv_bn(width, hidden) for width in widths))
        self.conv6s = nn.Conv2d(hidden * len(widths), hidden, 1)
        self.conv7s = conv_bn(hidden, hidden, kernel=1)
        self.conv8s = nn.Conv2d(hidden, len(CLASSES), 1)
        self.recurrence = nn.Conv2d(2, 2, 1) if recurrent else None
        # Half of the motion before: it matters, and it fades.
        seed_weights(self, seed, {"conv8": size.gain} | ({"recurrence": 0.5} if recurrent else {}))

    def forward(
        self,
        current: Tensor,
        begun: Tensor,
        half1: Tensor,
        half2: Tensor,
        half3: Tensor,
        half4: Tensor,
        half5: Tensor,
        motion: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """One frame of a stream. The first one, with states of zero, is its reference.

        Args:
            current: Current frame, 0..1, [1, 1, H, W] f32; H and W are multiples of 16.
            begun: 0 with the reference frame, 1 after it, [1, 1, 1, 1].
            half1, half2, half3, half4, half5: What the reference frame adds to the motion branch,
                as `target_of` gives it, [1, hidden, H / 2^k, W / 2^k].
            motion: The motion before, -1..1 between the centres of the corner pixels,
                [1, 2, H, W]; only with `recurrent=True`.

        Returns:
            displacement [1, 2, H, W] px, reference -> current, on the reference's grid;
            labels [1, H, W] int32, classes of the current frame;
            probabilities [1, 4, H, W] of the classes;
            aligned [1, 1, H, W], 0..1: the current frame sampled at p + displacement(p);
            then the states after this frame, in the order of the arguments.
        """
        kept = (half1, half2, half3, half4, half5)
        now = pyramid_of(self.conv_blocks, current)
        reference = remembered(begun, kept, self.target_of(now))
        inside = [laid_out(one) for one in reference]
        *outputs, after = self.between(inside, now, current, motion)
        states = (torch.ones_like(begun), *reference)
        return (*outputs, *states, *(() if self.recurrence is None else (after,)))

    def between(
        self, reference: list[Tensor], now: list[Tensor], current: Tensor, before: Tensor | None
    ) -> tuple[Tensor, ...]:
        """What follows from both frames.

        Args:
            reference: Of the reference frame, as `target_of` gives it.
            now: Features of the current frame, finest scale first.
            current: The current frame.
            before: The motion before; None where the network is not recurrent.

        Returns:
            The four outputs of `forward`, then the motion after this frame.
        """
        after = self.motion_of(now, reference, before)
        height, width = current.shape[-2:]
        displacement = torch.cat(
            [after[:, :1] * ((width - 1) / 2.0), after[:, 1:] * ((height - 1) / 2.0)], dim=1
        )
        scores = self.scores_of(now)
        return (
            displacement,
            scores.argmax(dim=1).to(torch.int32),
            class_probabilities(scores),
            torch.ops.cineflow.warp(src=current, flow=displacement, border="zeros"),
            after,
        )

    def target_of(self, features: list[Tensor]) -> list[Tensor]:
        """What the frame whose grid the motion lies on adds to the first layer of the motion.

        That layer convolves the features of both frames, so it is a sum of two halves.

        Args:
            features: Of that frame, finest scale first.

        Returns:
            [B, hidden, H / 2^k, W / 2^k] for each scale k.
        """
        halves = [normalised(block)[0].chunk(2, dim=1)[1] for block in self.conv]
        return [F.conv2d(one, half, padding=1) for one, half in zip(features, halves, strict=True)]

    def motion_of(
        self, source: list[Tensor], target: list[Tensor], before: Tensor | None
    ) -> Tensor:
        """Where each pixel of the target is in the source, [B, 2, H, W] in -1..1, x first.

        Args:
            source: Features of the frame that is sampled, finest scale first.
            target: Of the frame whose grid the motion lies on, as `target_of` gives it.
            before: The motion before; None where the network is not recurrent.
        """
        joined = []
        for block, one, other in zip(self.conv, source, target, strict=True):
            weight, bias = normalised(block)
            half = F.conv2d(one, weight.chunk(2, dim=1)[0], bias, padding=1)
            joined.append(F.relu(half + other))
        motion = self.conv8(fused_scales(self.conv6, self.conv7, joined))
        if self.recurrence is not None:
            assert before is not None
            motion = motion + self.recurrence(before)
        # Each channel by itself: ONNX Runtime would fill both up to 16 first.
        return torch.cat([torch.tanh(motion[:, :1]), torch.tanh(motion[:, 1:])], dim=1)

    def scores_of(self, features: list[Tensor]) -> Tensor:
        """Score of each class before the softmax, [B, 4, H, W]."""
        joined = [block(one) for block, one in zip(self.convs, features, strict=True)]
        scores: Tensor = self.conv8s(fused_scales(self.conv6s, self.conv7s, joined))
        return scores
