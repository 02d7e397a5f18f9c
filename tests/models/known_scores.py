"""A network whose scores are known, and studies with one bright spot in a known segment."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from cineflow.models.motion_scoring import KERNEL_FRAMES, MotionScoring
from cineflow.models.short_axis import Layout
from cineflow.motion.aha import LEVELS, segment_map

#: All parts of the others, and as little as that needs.
TINY = Layout(side=64, columns=16, radii=32)

#: Motion that `sees_brightness` gives: outwards, towards the septum, in polar samples.
MOTION = (3.0, -2.0)

AKINETIC = 2


def sees_brightness(network: MotionScoring) -> MotionScoring:
    """Set the weights so that a segment with a bright place is akinetic, and any other is normal.

    The mean of the frames goes through every layer as it is, and the flow heads give `MOTION`.
    """
    score = network.score
    last = score.first.in_features // score.excitation.restore.out_features  # positions
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.weight.zero_()
                if module.bias is not None:
                    module.bias.zero_()
        for head in network.flow.heads:
            head.bias.copy_(torch.tensor(MOTION))
        score.blocks[0].first.weight[0, :, 1, 1] = 1.0 / KERNEL_FRAMES
        for block in score.blocks[1:]:
            block.first.weight[0, 0, 1, 1] = 1.0
        for block in score.blocks:
            block.second.weight[0, 0, 1, 1] = 1.0
        channels = score.excitation.restore.out_features
        score.first.weight[0, :last] = channels / last  # all positions of channel 0
        score.last.weight[AKINETIC, 0] = 40.0
        score.last.bias.copy_(torch.tensor([6.0, 0.0, 6.0 - 40.0 * 0.55, 0.0]))
    return network


def planted(
    segment: int,
    *,
    anterior_deg: float = -90.0,
    mirrored: bool = False,
    frames: int = 8,
    size: tuple[int, int] = (96, 104),
) -> tuple[torch.Tensor, torch.Tensor]:
    """A study with a bright spot in one segment; which pixels it has is `motion.aha`'s word.

    Args:
        segment: 1 to 16.
        anterior_deg: Direction of the middle of the anterior wall, from +x towards +y (down).
        mirrored: Whether the septum follows clockwise.
        frames: T.
        size: (H, W).

    Returns:
        Cines [1, 3, T, H, W] f32 and landmarks [1, 3, 3, 2] f32 of the same heart in each slice.
    """
    centre, radius = np.array([size[1] * 0.52, size[0] * 0.47]), 26.0
    rows, columns = np.mgrid[: size[0], : size[1]]
    away = np.hypot(columns - centre[0], rows - centre[1])
    wall = (away > 13) & (away < radius)
    sense = 1.0 if mirrored else -1.0
    anterior = np.deg2rad(anterior_deg)
    levels = [name for name, (first, count) in LEVELS.items() for _ in range(count)]
    level = levels[segment - 1]
    towards = centre + 20 * np.array([np.cos(anterior), np.sin(anterior)])
    labels = segment_map(
        wall,
        tuple(centre),
        tuple(towards),
        level,  # type: ignore[arg-type]
        septum="clockwise" if mirrored else "counterclockwise",
    )
    spot = np.argwhere(labels == segment).mean(axis=0)
    spot = centre[::-1] + (spot - centre[::-1]) * (20.0 / np.hypot(*(spot - centre[::-1])))
    bright = np.hypot(rows - spot[0], columns - spot[1]) < 3.5
    cines = np.full((1, 3, frames, *size), 50.0, np.float32)
    cines[0, list(LEVELS).index(level), :, bright] = 230.0
    septum = anterior + sense * np.pi / 2
    junctions = [septum - sense * np.pi / 3, septum + sense * np.pi / 3]
    marks = [centre + radius * np.array([np.cos(one), np.sin(one)]) for one in junctions]
    landmarks = np.tile(np.array([*marks, centre], np.float32), (1, 3, 1, 1))
    return torch.from_numpy(cines), torch.from_numpy(landmarks)
