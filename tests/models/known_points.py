"""A network whose points are known: the picture is its own heat map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from cineflow.models.keypoint_tracking import POINTS, KeypointTracking

#: How far each point's heat map is moved from the picture, (x, y) px: in order along a line.
STEPS = np.array([[0, -2], [0, -1], [0, 1], [1, 2]], np.float64)


def passes_the_picture(network: KeypointTracking) -> np.ndarray:
    """Set the weights so that heat map k is the picture moved by `STEPS[k]`, and TR-net is still.

    The stem makes one moved copy of the picture for each point, and only short cuts lead on.

    Returns:
        `STEPS`.
    """
    sk = network.sk
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.zero_()
            if isinstance(module, nn.BatchNorm2d):  # exact: no square root of 1 + eps
                module.weight.fill_(1.0)
                module.running_var.fill_(1.0 - module.eps)
        for k, (x, y) in enumerate(STEPS.astype(int)):
            half = y // 2
            sk.conv1.weight[k, 0, 1 - half, 1] = 1.0
            sk.conv2.weight[k, k, 1 - (y - half), 1 - x] = 1.0
            sk.layer1[0].downsample[0].weight[k, k, 0, 0] = 1.0
            sk.transition1[0][0].weight[k, k, 1, 1] = 1.0
            sk.final_layer.weight[k, k, 0, 0] = 1.0
        network.tr.mixer.head.weight.zero_()
    return STEPS


def blobs(
    places: Sequence[tuple[float, float]], size: tuple[int, int], spread: float = 6.0
) -> np.ndarray:
    """One bright spot per frame at a place between the pixels, f32 [T, H, W], 0..255."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    frames = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2)) for x, y in places]
    return (255 * np.stack(frames)).astype(np.float32)


assert len(STEPS) == POINTS
