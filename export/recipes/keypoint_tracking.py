"""Recipe of `keypoint_tracking`: borders of the left ventricle's walls in a parasternal long axis.

Without `--weights` the weights are random (seeded) and the points are meaningless. In the variant
`paper` SK-net has the widths of HRNet-W32, and TR-net those of PIPs; `small` has a quarter of them
and sees smaller frames. `--size` gives either another size. `--weights` also takes a public
HRNet-W32 for poses, which leaves TR-net as it is: the model is still called untrained.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch

from cineflow.export.recipe import Recipe
from cineflow.models.keypoint_tracking import (
    FRAMES,
    MULTIPLE,
    PAPER,
    PARTS_OF_OURS,
    SMALL,
    KeypointTracking,
    Size,
    sk_net_keys,
)
from cineflow.motion.ventricle import BORDERS
from cineflow.phantom import Beat, parasternal_long_axis
from cineflow.spec import Axis, Dim, Feed, ModelSpec, TensorSpec, Weights

#: Each with the side of its frames. The source's frames have 224 x 224 pixels. At 128 x 128 two CPU
#: cores keep up with ten frames per second.
VARIANTS = {"small": (SMALL, 128), "paper": (PAPER, 224)}

#: Seed of the first example. That of 0 is left out: in one map of `small` two samples 10 px apart
#: differ by less than a rounding error, so that runtimes disagree which of them is the peak.
_FIRST_SEED = 1

HEIGHT = Axis("height", minimum=64, maximum=512, multiple=MULTIPLE)
WIDTH = Axis("width", minimum=64, maximum=512, multiple=MULTIPLE)


def recipe(variant: tuple[Size, int]) -> Recipe:
    """The network with its seeded weights, and a phantom's beat, other speckle for each seed.

    Its frames have one size: a clip is resized to what a checkpoint was trained on.
    """
    size, side = variant
    return Recipe(
        spec_of(),
        lambda: KeypointTracking(size),
        lambda sizes, seed: example_clip(
            seed + _FIRST_SEED, FRAMES, sizes["height"], sizes["width"]
        ),
        own_keys=sk_net_keys,
        may_lack=PARTS_OF_OURS,
    ).usually({"height": side, "width": side})


def spec_of(frames: int = FRAMES, height: Dim = HEIGHT, width: Dim = WIDTH) -> ModelSpec:
    """The spec of a window.

    Args:
        frames: T; the source's windows have 24.
        height: Rows of a frame.
        width: Its columns.
    """

    def points(name: str, role: str, description: str) -> TensorSpec:
        return TensorSpec(
            name,
            dtype="float32",
            shape=(1, frames, len(BORDERS), 2),
            unit="px",
            frame="each frame of the window; x right, y down",
            tolerance=0.05,
            description=description,
            role=role,
            names=BORDERS,
            time_axis=1,
        )

    return ModelSpec(
        name="keypoint_tracking",
        summary="Four borders of the left ventricle's walls in a clip of the parasternal long "
        "axis: SK-net and TR-net.",
        inputs=(
            TensorSpec(
                "clip",
                dtype="float32",
                shape=(1, frames, 1, height, width),
                unit="grey level",
                frame="x right, y down",
                description="A window of frames, 0..255, oldest first.",
            ),
        ),
        outputs=(
            points("tracks", "points", "Refined points of each frame."),
            points("static_points", "", "What SK-net finds in each frame by itself."),
            TensorSpec(
                "heights",
                dtype="float32",
                shape=(1, frames, len(BORDERS)),
                unit="1",
                frame="each frame of the window",
                tolerance=1e-3,
                description="Peak of SK-net's heat map for each point.",
                names=BORDERS,
                time_axis=1,
            ),
            TensorSpec(
                "reference_frame",
                dtype="int64",
                shape=(1,),
                unit="frame of the window, from 0",
                description="The frame with the highest peaks; its points are SK-net's.",
            ),
        ),
        weights=Weights(source="seed 0", licence="Apache-2.0", trained=False),
        source="Oh et al., Semi-supervised Key-Point Estimation for Echocardiography Video; "
        "layouts of HRNet-W32 and of the mixer of PIPs",
        feed=Feed("window", ("clip",), length=frames, hop=frames, time_axis=1),
        view="parasternal long axis (PLAX)",
    )


def example_clip(seed: int, frames: int, height: int, width: int) -> Mapping[str, torch.Tensor]:
    """A phantom's beat in the parasternal long axis, `clip` [1, T, 1, H, W]."""
    return {"clip": _beat(seed, frames, height, width).clone()}


@lru_cache(maxsize=8)  # an export asks for the same clips again
def _beat(seed: int, frames: int, height: int, width: int) -> torch.Tensor:
    phantom = parasternal_long_axis(seed, beat=Beat(frame_rate_hz=frames))
    grey = torch.from_numpy(phantom.frames).float()[:, None]
    small = torch.nn.functional.interpolate(grey, size=(height, width), mode="area")
    return small.round()[None]
