"""End-diastole to end-systole: motion and strain of each runtime, composed over a phantom beat.

A difference of 0.001 px between two runtimes may be noise on one frame pair and a bias over a beat.
So each runtime runs the stream of the model over the same phantom. The motion from end-diastole to
end-systole and the strain of the wall are compared with those of the reference runtime.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cineflow.errors import EngineError, SpecError
from cineflow.export.check.parity import figure
from cineflow.export.recipe import nearest_size
from cineflow.motion.strain import deformation_gradient, green_lagrange
from cineflow.phantom import Beat, ShortAxisPhantom
from cineflow.runtime.engine import Engine
from cineflow.runtime.stream import Stream
from cineflow.runtime.streamable import require_streamable
from cineflow.spec import ModelSpec, Role
from cineflow.spec.axes import root_axis, size_of

#: Accepted difference of composed ED-to-ES motion.
COMPOSED_TOLERANCE_PX = 0.05

#: Accepted difference of strain, percentage points.
STRAIN_TOLERANCE_POINTS = 0.25

#: Pixels of the phantom along a dynamic axis, or the nearest size that the axis accepts.
_SIDE = 128

#: A smaller phantom has a wall of only a few pixels.
_SMALLEST_SIDE = 32

#: Ten frames that include end-systole: enough to compose, few enough to run in seconds.
_BEAT = Beat(frame_rate_hz=25.0, beats=0.42)


@dataclass(frozen=True)
class BeatParity:
    """How far one runtime's composed motion is from the reference runtime's.

    Attributes:
        runtime: Engine name.
        kernels: What ran our own ops.
        precision: Storage type of its features.
        height: Pixels of the phantom's frames.
        width: Pixels of the phantom's frames.
        composed_px: Largest difference of the ED-to-ES displacement inside the wall, pixels of the
            frame whatever the unit of the model.
        strain_points: Largest difference of the mean Green-Lagrange strain of the wall, any
            component, in percentage points.
        motion_px: Mean length of the reference's own displacement, as a scale for the differences.
    """

    runtime: str
    kernels: str
    precision: str
    height: int
    width: int
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

    @property
    def share_of_tolerance(self) -> float:
        """The larger difference as a multiple of its tolerance; infinite where it is not finite."""
        shares = (
            self.composed_px / COMPOSED_TOLERANCE_PX,
            self.strain_points / STRAIN_TOLERANCE_POINTS,
        )
        return max(shares) if np.isfinite(shares).all() else np.inf

    @property
    def said(self) -> str:
        """The comparison in words."""
        return (
            f"over a phantom beat of {self.motion_px:.3g} px at most {self.composed_px:.2g} px "
            f"(tolerance {COMPOSED_TOLERANCE_PX}) and {self.strain_points:.2g} strain points "
            f"(tolerance {STRAIN_TOLERANCE_POINTS})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a report."""
        rounded = {
            key: figure(value) for key, value in asdict(self).items() if isinstance(value, float)
        }
        tolerances = {
            "tolerance_px": figure(COMPOSED_TOLERANCE_PX),
            "tolerance_points": STRAIN_TOLERANCE_POINTS,
        }
        return asdict(self) | rounded | tolerances | {"passed": self.passed}


def compare_beat(
    spec: ModelSpec, reference_engine: Engine, engines: Sequence[tuple[Engine, str]]
) -> tuple[list[BeatParity], list[str]]:
    """Every runtime against the reference, on the beat of a small phantom.

    Args:
        spec: Of the model; `why_no_beat` must return "" for it.
        reference_engine: The engine that the others are compared with.
        engines: Each with the precision of its features.

    Returns:
        A row per runtime, and a sentence for each runtime that failed.
    """
    frames, wall = speckle_beat(*_frame_size(spec))
    reference = composed(reference_engine, spec, frames)
    rows, refusals = [], []
    for engine, precision in engines:
        try:
            other = composed(engine, spec, frames)
        except EngineError as error:  # the profile is too narrow
            refusals.append(f"{engine.name} ({engine.kernels}), phantom beat: {error}")
            continue
        gap = np.linalg.norm(other - reference, axis=0)[wall]
        strain = np.abs(mean_strain(other, wall) - mean_strain(reference, wall))
        rows.append(
            BeatParity(
                runtime=engine.name,
                kernels=engine.kernels,
                precision=precision,
                height=frames.shape[1],
                width=frames.shape[2],
                composed_px=float(gap.max()),
                strain_points=float(100 * strain.max()),
                motion_px=float(np.linalg.norm(reference, axis=0)[wall].mean()),
            )
        )
    return rows, refusals


def why_no_beat(spec: ModelSpec) -> str:
    """Why `compare_beat` does not apply to a model; "" if it does."""
    if not gives_motion(spec):
        return f"no output of {spec.name} is a flow or a displacement"
    try:
        require_streamable(spec)
    except SpecError as error:
        return f"{spec.name} does not stream: wanted {error.wanted}; got {error.got}"
    if spec.feed.volume:
        return f"{spec.name} takes volumes, and the phantom is a plane"
    if spec.given_inputs:
        names = ", ".join(tensor.name for tensor in spec.given_inputs)
        return f"{spec.name} is given {names}, which the phantom does not have"
    if min(size := _frame_size(spec)) < _SMALLEST_SIDE:
        return f"a phantom of {size[0]} x {size[1]} px is too small to have a wall"
    if spec.feed.length > (frames := len(speckle_beat(*size)[0])):
        return f"{spec.name} looks at {spec.feed.length} frames, and the phantom has {frames}"
    return ""


def gives_motion(spec: ModelSpec) -> bool:
    """Whether an output says where the tissue went."""
    return any(spec.output_of(role) is not None for role in (Role.FLOW, Role.DISPLACEMENT))


def _frame_size(spec: ModelSpec) -> tuple[int, int]:
    """Height and width of the phantom: the model's own where they are fixed."""
    dims = spec.frame_inputs[0].shape[-2:]
    axes = (root_axis(dim) for dim in dims)
    sizes = {axis.name: nearest_size(axis, _SIDE) for axis in axes if axis is not None}
    height, width = (size_of(dim, sizes) for dim in dims)
    return height, width


def composed(engine: Engine, spec: ModelSpec, frames: np.ndarray) -> np.ndarray:
    """Displacement [2, H, W] px from the first frame to the last that the model describes.

    Args:
        engine: Runs the model.
        spec: Of the model; its stream feeds it, carries its states and composes its flow.
        frames: f32 [T, H, W], 0..255.

    Raises:
        EngineError: The engine fails or gives a value that is not finite.
    """
    stream = Stream(engine, spec)
    low, high = spec.feed.grey
    motion = None
    for number, frame in enumerate(frames):
        grey = (low + frame * np.float32((high - low) / 255.0)).clip(low, high)
        found = stream.push(grey.astype(np.float32), beat=number == 0).displacement
        motion = motion if found is None else found
    assert motion is not None  # `why_no_beat` has counted the frames
    return np.asarray(motion)


def mean_strain(displacement: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """Mean Green-Lagrange strain [2, 2] inside `wall`, on the first frame's grid."""
    strain: np.ndarray = green_lagrange(deformation_gradient(displacement))[wall].mean(axis=0)
    return strain


@functools.cache
def speckle_beat(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """From end-diastole to end-systole of a contracting short-axis phantom.

    Returns:
        Frames [T, height, width] f32, 0..255; the wall at end-diastole, bool [height, width].
    """
    phantom = ShortAxisPhantom(seed=7, size=(height, width), beat=_BEAT)
    return phantom.frames[: phantom.es + 1].astype(np.float32), phantom.myocardium(0)
