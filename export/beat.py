"""Precision where it matters: ED-to-ES motion and strain, composed over a phantom beat.

A difference of 0.001 px between two runtimes may be noise on one frame pair and a bias over a
beat. So each runtime tracks the same phantom, its flows are composed, and the composed motion and
the strain of the wall are compared with those of the reference runtime.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cineflow.export.parity import DIGITS
from cineflow.motion.compose import compose_all
from cineflow.motion.strain import deformation_gradient, green_lagrange
from cineflow.phantom import Beat, ShortAxisPhantom
from cineflow.runtime.engine import Engine
from cineflow.spec import Axis, ModelSpec

#: Accepted difference of composed ED-to-ES motion, px, and of strain, percentage points.
COMPOSED_TOLERANCE_PX = 0.05
STRAIN_TOLERANCE_POINTS = 0.25

#: Pixels of the phantom; a multiple of what every flow model divides by.
_SIDE = 128

#: Ten frames, end-systole among them: enough to compose, few enough to run in seconds.
_BEAT = Beat(frame_rate_hz=25.0, beats=0.42)


@dataclass(frozen=True)
class BeatParity:
    """How far one runtime's composed motion is from the reference runtime's.

    Attributes:
        runtime: Engine and kernels.
        precision: Storage type of its features.
        composed_px: Largest difference of the ED-to-ES displacement inside the wall.
        strain_points: Largest difference of the mean Green-Lagrange strain of the wall, any
            component, in percentage points.
        motion_px: Mean length of the reference's own displacement, to read the others against.
    """

    runtime: str
    precision: str
    composed_px: float
    strain_points: float
    motion_px: float

    @property
    def passed(self) -> bool:
        """Whether both differences are within tolerance."""
        return (
            self.composed_px <= COMPOSED_TOLERANCE_PX
            and self.strain_points <= STRAIN_TOLERANCE_POINTS
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a report."""
        rounded = {
            key: float(f"{value:.{DIGITS}g}")
            for key, value in asdict(self).items()
            if isinstance(value, float)
        }
        return asdict(self) | rounded | {"passed": self.passed}


def compare_beat(
    spec: ModelSpec, reference_engine: Engine, engines: Sequence[tuple[Engine, str]]
) -> list[BeatParity]:
    """Every runtime against the reference, on the beat of a small phantom.

    Args:
        spec: Of the model.
        reference_engine: What the others are compared with.
        engines: Each with the precision of its features.

    Returns:
        Nothing for a model that is not a two-frame flow.
    """
    if not tracks_pairs(spec):
        return []
    frames, wall = speckle_beat()
    reference = composed(reference_engine, spec, frames)
    rows = []
    for engine, precision in engines:
        other = composed(engine, spec, frames)
        gap = np.linalg.norm(other - reference, axis=0)[wall]
        strain = np.abs(mean_strain(other, wall) - mean_strain(reference, wall))
        rows.append(
            BeatParity(
                runtime=f"{engine.name} ({engine.kernels})",
                precision=precision,
                composed_px=float(gap.max()),
                strain_points=float(100 * strain.max()),
                motion_px=float(np.linalg.norm(reference, axis=0)[wall].mean()),
            )
        )
    return rows


def tracks_pairs(spec: ModelSpec) -> bool:
    """Whether `spec` is a flow from two grey frames of one size that the phantom can have."""
    if spec.states or len(spec.inputs) != 2 or spec.outputs[0].unit != "px":
        return False
    sizes = {tensor.shape for tensor in spec.inputs}
    shape = spec.inputs[0].shape
    return (
        len(sizes) == 1
        and len(shape) == 4
        and shape[:2] == (1, 1)
        and all(isinstance(dim, Axis) and dim.accepts(_SIDE) for dim in shape[2:])
    )


def composed(engine: Engine, spec: ModelSpec, frames: np.ndarray) -> np.ndarray:
    """Displacement [2, H, W] px from the first frame to the last, composed by warping."""
    first, second = (tensor.name for tensor in spec.inputs)
    pairs = itertools.pairwise(frames)
    flows = (
        engine.run({first: previous[None, None], second: current[None, None]})
        for previous, current in pairs
    )
    path: np.ndarray = compose_all(flow[spec.outputs[0].name][0] for flow in flows)
    return path[-1]


def mean_strain(displacement: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """Mean Green-Lagrange strain [2, 2] inside `wall`, on the first frame's grid."""
    strain: np.ndarray = green_lagrange(deformation_gradient(displacement))[wall].mean(axis=0)
    return strain


@functools.cache
def speckle_beat() -> tuple[np.ndarray, np.ndarray]:
    """From end-diastole to end-systole of a contracting short-axis phantom.

    Returns:
        Frames [T, side, side] f32, 0..255; the wall at end-diastole, bool [side, side].
    """
    phantom = ShortAxisPhantom(seed=7, size=(_SIDE, _SIDE), beat=_BEAT)
    return phantom.frames[: phantom.es + 1].astype(np.float32), phantom.myocardium(0)
