"""Recipe of `motion_scoring`, system C: scores of regional wall motion.

Without `--weights` its weights are random (seeded) and its scores are meaningless. The variant
`paper` has four times the widths of `small`, and twice at full resolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch

from cineflow.export.recipe import Recipe
from cineflow.models.motion_scoring import DISTANCE, PAPER, SCORES, SMALL, MotionScoring, Size
from cineflow.models.short_axis import SLICES
from cineflow.motion.aha import LEVELS, NAMES
from cineflow.phantom import Beat, ShortAxisPhantom
from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec, Weights

VARIANTS = {"small": SMALL, "paper": PAPER}

#: The source's cines have 20 or 25 frames: one beat.
FRAMES = Axis("frames", minimum=8, maximum=40)
HEIGHT = Axis("height", minimum=64, maximum=512)
WIDTH = Axis("width", minimum=64, maximum=512)

#: The segments that have a score: all but the apex.
SEGMENTS = NAMES[:16]

#: Height of the ring on the long axis, radii at end-diastole in mm: basal, mid and apical.
_RINGS = ((0.8, 26.0, 36.0), (0.5, 23.0, 33.0), (0.2, 17.0, 26.0))
_ACROSS_MM = 130.0

#: Frames that are drawn of a beat; those between are mixed from them.
_DRAWN = 8


def recipe(size: Size) -> Recipe:
    """The network with its seeded weights, and a phantom's beat in three slices."""
    return Recipe(spec_of(), lambda: MotionScoring(size), example_study)


def spec_of() -> ModelSpec:
    """The border of the network in any size."""
    assert tuple(LEVELS) == ("basal", "mid", "apical")
    return ModelSpec(
        name="motion_scoring",
        summary="Scores of regional wall motion from three short-axis cines: MMSA.",
        inputs=(
            TensorSpec(
                "cines",
                "float32",
                (1, SLICES, FRAMES, HEIGHT, WIDTH),
                unit="grey level",
                frame="x right, y down",
                description="Basal, mid and apical slice, 0..255; one beat, from end-diastole.",
            ),
            TensorSpec(
                "landmarks",
                "float32",
                (1, SLICES, 3, 2),
                unit="px",
                frame="each slice; x right, y down, x first",
                description="Anterior and inferior junction of left and right ventricle, centre "
                "of the cavity.",
                points_of="cines",
            ),
        ),
        outputs=(
            TensorSpec(
                "probabilities",
                "float32",
                (1, len(SEGMENTS), len(SCORES)),
                unit="probability",
                tolerance=0.01,
                role="scores",
                names=SCORES,
                places=SEGMENTS,
                description="Of each score, for each segment.",
            ),
            TensorSpec(
                "segment_scores",
                "int32",
                (1, len(SEGMENTS)),
                unit="score 1..4",
                places=SEGMENTS,
                description="The most likely score: 1 normal, 2 hypokinetic, 3 akinetic, "
                "4 dyskinetic.",
            ),
            TensorSpec(
                "abnormal",
                "int32",
                (1, len(SEGMENTS)),
                unit="0 normal, 1 abnormal",
                places=SEGMENTS,
                description="Whether the most likely score is above 1.",
            ),
            TensorSpec(
                "motion_score_index",
                "float32",
                (1,),
                unit="1",
                tolerance=0.001,
                description="Mean of the 16 most likely scores, 1..4.",
            ),
            TensorSpec(
                "segment_motion",
                "float32",
                (1, len(SEGMENTS), FRAMES, 2),
                unit="polar samples",
                frame="each segment; outwards first, then in the order of the segments",
                tolerance=0.02,
                places=SEGMENTS,
                description=f"Mean motion from each frame to the {DISTANCE}rd after it.",
            ),
        ),
        weights=Weights(source="seed 0", licence="Apache-2.0", trained=False),
        source="Xue et al., Regional Cardiac Motion Scoring with Multi-scale Motion-based Spatial "
        "Attention; widths of FlowNetS",
        feed=Feed("call"),
        view="three short-axis slices of cine-MR: basal, mid, apical",
    )


def example_study(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """A phantom's beat in three slices, with the landmarks of each.

    Args:
        sizes: Of the axes frames, height and width.
        seed: Of the texture.
    """
    cines, landmarks = _study(sizes["frames"], sizes["height"], sizes["width"], seed)
    return {"cines": cines.clone(), "landmarks": landmarks.clone()}


@lru_cache(maxsize=16)  # an export asks for the same studies again
def _study(frames: int, height: int, width: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    cines, landmarks = [], []
    for level, (place, endo_mm, epi_mm) in enumerate(_RINGS):
        phantom = ShortAxisPhantom(
            SLICES * seed + level,
            size=(height, width),
            depth_mm=_ACROSS_MM * height / min(height, width),
            contrast="mr",
            beat=Beat(frame_rate_hz=_DRAWN),
            height=place,
            endo_mm=endo_mm,
            epi_mm=epi_mm,
            far_mm=60.0,
        )
        heart = phantom.kinematics
        # The septum is on the left. The right ventricle joins where its 120 degrees end.
        marks = [heart.wall_point(angle, 1.0) for angle in (-120.0, 120.0)]
        points = np.stack([*marks, np.asarray(heart.centre_mm)]) / phantom.spacing_mm[0]
        cines.append(_stretched(phantom.frames, frames))
        landmarks.append(points)
    grey = torch.from_numpy(np.stack(cines)[None])
    return grey, torch.from_numpy(np.stack(landmarks)[None]).float()


def _stretched(drawn: np.ndarray, frames: int) -> np.ndarray:
    """A beat of `frames` frames, f32: drawing each frame would take much longer than the model."""
    place = np.arange(frames) * (len(drawn) / frames)
    first = place.astype(int)
    share = (place - first)[:, None, None]
    return ((1 - share) * drawn[first] + share * drawn[(first + 1) % len(drawn)]).astype(np.float32)
