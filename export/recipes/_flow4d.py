"""What the recipes of `flow4d` share: all but the size of the network."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from cineflow.export.recipes._speckle import moved_volume
from cineflow.models.flow4d import MULTIPLE, PAPER, SMALL, WINDOW
from cineflow.spec import Axis, Dim, Feed, FeedKind, ModelSpec, Role, TensorSpec, Weights

VARIANTS = {"small": SMALL, "paper": PAPER}

DEPTH = Axis("depth", minimum=16, maximum=256, multiple=MULTIPLE)
HEIGHT = Axis("height", minimum=16, maximum=256, multiple=MULTIPLE)
WIDTH = Axis("width", minimum=16, maximum=256, multiple=MULTIPLE)

_UNTRAINED = Weights(source="seed 0", licence="Apache-2.0", trained=False)
_SOURCE = (
    "Teng et al. 2024 (arXiv 2407.04663), of which the abstract is known; the update of TV-L1 "
    "(Zach et al. 2007); widths of VoxelMorph's public code"
)
_GRID = "reference volume's grid; channel 0 = x right, 1 = y down, 2 = z into the screen"


def _volume(name: str, description: str, frames: int = 1) -> TensorSpec:
    return TensorSpec(
        name,
        "float32",
        (1, frames, DEPTH, HEIGHT, WIDTH),
        unit="grey level",
        frame="x right, y down, z into the screen",
        description=description,
    )


def _before(number: int, words: str) -> TensorSpec:
    return TensorSpec(
        f"before{number}",
        "float32",
        (1, 3, DEPTH / 2, HEIGHT / 2, WIDTH / 2),
        unit="px",
        frame="reference volume's grid at half the resolution, in its voxels; x, y, z",
        tolerance=0.02,
        description=f"The field of {words}; zero where the tissue has not moved.",
    )


_STATES = (_before(1, "the volume before"), _before(2, "the volume before that one"))


def _terms(shape: tuple[Dim, ...], time_axis: int | None) -> tuple[TensorSpec, TensorSpec]:
    """The two terms of the training's loss, as figures of each volume."""
    return (
        TensorSpec(
            "reconstruction",
            "float32",
            shape,
            unit="grey level",
            tolerance=0.1,
            time_axis=time_axis,
            description="Mean |current(p + displacement(p)) - reference(p)| where it is inside.",
        ),
        TensorSpec(
            "temporal",
            "float32",
            shape,
            unit="px",
            tolerance=0.02,
            time_axis=time_axis,
            description="Mean length of u(t) - 2 u(t-1) + u(t-2): how unevenly the motion goes on.",
        ),
    )


def causal_spec(name: str) -> ModelSpec:
    """One volume after the other, from the fields of the two before."""
    return ModelSpec(
        name=name,
        summary="Motion of volumes from the reference volume: unrolled TV-L1 with a 3-D network.",
        inputs=(
            _volume("reference", "The reference volume, 0..255."),
            _volume("current", "The current volume, 0..255."),
        ),
        outputs=(
            TensorSpec(
                "displacement",
                "float32",
                (1, 3, DEPTH, HEIGHT, WIDTH),
                unit="px",
                frame=_GRID,
                tolerance=0.05,
                role=Role.DISPLACEMENT,
                description="current(p + displacement(p)) matches reference(p), once trained.",
            ),
            *_terms((1,), None),
        ),
        states=_STATES,
        weights=_UNTRAINED,
        source=_SOURCE,
        feed=Feed(FeedKind.REFERENCE, ("reference", "current"), volume=True),
    )


def window_spec(name: str) -> ModelSpec:
    """All volumes of a window at once, one window after the other."""
    return ModelSpec(
        name=name,
        summary="Motion of volumes from the reference volume, all volumes of a window at once.",
        inputs=(
            _volume("reference", "The reference volume, 0..255."),
            _volume("volumes", "The window, 0..255, oldest volume first.", WINDOW),
        ),
        outputs=(
            TensorSpec(
                "fields",
                "float32",
                (1, WINDOW, 3, DEPTH, HEIGHT, WIDTH),
                unit="px",
                frame=_GRID,
                tolerance=0.05,
                role=Role.DISPLACEMENT,
                time_axis=1,
                description="volume(p + field(p)) matches reference(p), once trained.",
            ),
            *_terms((1, WINDOW), 1),
        ),
        states=_STATES,
        weights=_UNTRAINED,
        source=_SOURCE,
        feed=Feed(
            FeedKind.WINDOW,
            ("reference", "volumes"),
            volume=True,
            length=WINDOW,
            hop=WINDOW,
            time_axis=1,
        ),
    )


def _example_states(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """Smooth fields of a voxel or two, each of its own."""
    generator = torch.Generator().manual_seed(seed)
    half = [sizes[name] // 2 for name in ("depth", "height", "width")]
    made = {}
    for name in ("before1_in", "before2_in"):
        coarse = torch.randn((1, 3, 3, 3, 3), generator=generator)
        made[name] = torch.nn.functional.interpolate(
            coarse, size=half, mode="trilinear", align_corners=True
        )
    return made


def causal_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """Speckle, the same speckle moved, and the fields of two volumes before."""
    size = sizes["depth"], sizes["height"], sizes["width"]
    reference, current = moved_volume(size, seed)
    return {"reference": reference, "current": current, **_example_states(sizes, seed)}


def window_inputs(sizes: Mapping[str, int], seed: int) -> dict[str, torch.Tensor]:
    """Speckle, and a window in which it moves on from volume to volume."""
    size = sizes["depth"], sizes["height"], sizes["width"]
    shifts = [(0.6 * k, 0.3 * k, -0.2 * k) for k in range(1, WINDOW + 1)]
    reference = moved_volume(size, seed)[0]
    window = torch.cat([moved_volume(size, seed, shift)[1] for shift in shifts], dim=1)
    return {"reference": reference, "volumes": window, **_example_states(sizes, seed)}
