"""Recipe of `joint_motion_seg`, system B: motion and segmentation of cine-MR.

Without `--weights` its weights are random (seeded) and its outputs are meaningless. The variant
`public` is the paper's size without recurrence, for public checkpoints:

    cineflow export joint_motion_seg --variant public --weights joint_model.pth --out build/seg

The file is a state dict of `Seg_Motion_Net` in cq615/Joint-Motion-Estimation-and-Segmentation; its
keys fit as they are. The repository has no file with weights, so none is named here.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipe import Recipe
from cineflow.export.recipes._cine_mr import (
    BEGUN,
    HEIGHT,
    WIDTH,
    current_frame_alone,
    example_frames,
    frame,
    scales,
)
from cineflow.models.blocks import pyramid_of
from cineflow.models.joint_motion_seg import CLASSES, PAPER, SMALL, JointMotionSeg, Size
from cineflow.spec import ModelSpec, TensorSpec, Weights

#: Widths, and whether the motion depends on the motion before.
VARIANTS = {"small": (SMALL, True), "paper": (PAPER, True), "public": (PAPER, False)}

_MOTION = TensorSpec(
    "motion",
    "float32",
    (1, 2, HEIGHT, WIDTH),
    unit="normalised corners",
    frame="reference frame's grid; channel 0 = x right, 1 = y down",
    tolerance=0.0005,
    description="The hidden state of the recurrence: the motion itself.",
)


def recipe(variant: tuple[Size, bool]) -> Recipe:
    """The network with its seeded weights, and a frame in the middle of a stream."""
    size, recurrent = variant
    return Recipe(
        spec_of(size, recurrent=recurrent),
        lambda: JointMotionSeg(size, recurrent=recurrent),
        lambda sizes, seed: example_inputs(sizes, seed, size, recurrent=recurrent),
    )


def spec_of(size: Size, *, recurrent: bool) -> ModelSpec:
    """The border of the network in one size."""
    return ModelSpec(
        name="joint_motion_seg",
        summary="Displacement and labels of short-axis cine-MR: LV, myocardium, RV.",
        inputs=(frame("current", "The current frame: a short-axis slice of cine-MR."),),
        outputs=(
            TensorSpec(
                "displacement",
                "float32",
                (1, 2, HEIGHT, WIDTH),
                unit="px",
                frame="reference frame's grid; channel 0 = x right, 1 = y down",
                tolerance=0.05,
                role="displacement",
                description="current(p + displacement(p)) matches reference(p), once trained.",
            ),
            TensorSpec(
                "labels",
                "int32",
                (1, HEIGHT, WIDTH),
                unit="class",
                frame="current frame's grid",
                tolerance=0.01,
                role="labels",
                names=CLASSES,
                description="The most likely class of each pixel.",
            ),
            TensorSpec(
                "probabilities",
                "float32",
                (1, len(CLASSES), HEIGHT, WIDTH),
                unit="probability",
                frame="current frame's grid",
                tolerance=0.005,
                role="probabilities",
                names=CLASSES,
                description="Probability of each class.",
            ),
            TensorSpec(
                "aligned",
                "float32",
                (1, 1, HEIGHT, WIDTH),
                unit="0..1",
                frame="reference frame's grid",
                tolerance=0.02,
                description="The current frame, warped back to the reference by the displacement.",
            ),
        ),
        states=(
            BEGUN,
            *scales(
                "half",
                [size.hidden] * len(size.widths),
                "What the reference frame adds to the first layer of the motion",
            ),
            *((_MOTION,) if recurrent else ()),
        ),
        weights=Weights(source="seed 0", licence="Apache-2.0", trained=False),
        source="Qin et al. 2018 (arXiv 1806.04066); layout of its public code",
        feed=current_frame_alone("reference"),
        view="short-axis slices of cine-MR",
    )


def example_inputs(
    sizes: Mapping[str, int], seed: int, size: Size, *, recurrent: bool
) -> dict[str, torch.Tensor]:
    """A frame in the middle of a stream: another one as its reference, and a small motion."""
    reference, current = example_frames(sizes, seed)
    generator = torch.Generator().manual_seed(seed)
    made = {"current": current, "begun_in": torch.ones(1, 1, 1, 1)}
    network = JointMotionSeg(size, recurrent=recurrent).eval()
    with torch.inference_mode():
        kept = network.target_of(pyramid_of(network.conv_blocks, reference))
    made |= {f"half{level + 1}_in": one.clone() for level, one in enumerate(kept)}
    if recurrent:
        coarse = torch.randn((1, 2, 4, 4), generator=generator) * 0.02
        made["motion_in"] = torch.nn.functional.interpolate(
            coarse, size=current.shape[-2:], mode="bilinear", align_corners=True
        )
    return made
