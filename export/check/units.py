"""How far two results of one output are apart, in what the output means.

    labels         the share of the pixels that differ, and the Dice of each class
    heat maps      the distance of their peaks, in pixels of the frame
    points         the distance of each point, in its unit
    scores         the difference of each number; the highest class must be the same
    all others     the difference of each number

The tolerance of the spec limits the first figure of each line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cineflow.errors import ExportError
from cineflow.motion.landmarks import peaks
from cineflow.spec import ModelSpec, Role, TensorSpec
from cineflow.spec.axes import size_of
from cineflow.spec.outputs import role_rank

#: Unit of the differences by role; others have the unit of their spec.
UNITS: Mapping[str, str] = {Role.LABELS: "of the pixels", Role.HEAT_MAPS: "px"}


@dataclass(frozen=True)
class Gap:
    """The difference of two results of one output.

    Attributes:
        distances: What the tolerance limits, any shape; infinite where only one side is finite.
        dice: Dice of each class, by its name; labels only.
        ranks_changed: Rows of scores whose highest class is a different one.
    """

    distances: np.ndarray
    dice: Mapping[str, float] = field(default_factory=dict)
    ranks_changed: int = 0


def unit_of(tensor: TensorSpec) -> str:
    """Unit of an output's `Gap.distances` and of its tolerance."""
    return UNITS.get(tensor.role, tensor.unit)


def measure(
    tensor: TensorSpec,
    expected: np.ndarray,
    actual: np.ndarray,
    spec: ModelSpec,
    sizes: Mapping[str, int],
) -> Gap:
    """Compare two results of one output.

    Args:
        tensor: The output, or a state.
        expected: The reference's values.
        actual: The other side's values.
        spec: Of the model: its feed says what a frame is.
        sizes: Size along each dynamic axis.

    Raises:
        ExportError: The shapes differ.
    """
    gap = absolute_difference(expected, actual)
    if not gap.size or not tensor.role:
        return Gap(gap)
    rank = spec.feed.rank
    one, other = (_frames(tensor, values, rank) for values in (expected, actual))
    if tensor.role == Role.LABELS:
        return Gap(np.array([np.mean(one != other)]), dice_by_class(tensor, one, other))
    if tensor.role == Role.HEAT_MAPS and np.isfinite(gap).all():
        size = frame_size(spec, sizes) or one.shape[-rank:]
        flat = [maps.reshape(-1, *maps.shape[-rank:]) for maps in (one, other)]
        first, second = (peaks(maps, size)[0].astype(np.float64) for maps in flat)
        return Gap(np.linalg.norm(first - second, axis=-1))
    if tensor.role == Role.POINTS:
        return Gap(np.linalg.norm(_frames(tensor, gap, rank), axis=-1))
    if tensor.role == Role.SCORES:
        changed = int((one.argmax(axis=-1) != other.argmax(axis=-1)).sum())
        return Gap(gap, ranks_changed=changed)
    return Gap(gap)


def spread(values: Sequence[np.ndarray]) -> float:
    """Standard deviation of all values, summed in f64: in f16 the sum would be infinite."""
    return float(np.std(np.stack(values), dtype=np.float64))


def dice_by_class(tensor: TensorSpec, one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """2 |A and B| / (|A| + |B|) of each class; 1 for a class that neither side has.

    Source: Dice 1945, doi:10.2307/1932409.
    """
    classes = range(len(tensor.names)) if tensor.names else np.union1d(one, other)
    found = {}
    for label in classes:
        left, right = one == label, other == label
        total = int(left.sum()) + int(right.sum())
        name = tensor.names[label] if tensor.names else str(label)
        found[name] = 2.0 * int((left & right).sum()) / total if total else 1.0
    return found


def _frames(tensor: TensorSpec, values: np.ndarray, rank: int) -> np.ndarray:
    """The values with the axes of one frame last, and batch and time in front as one axis."""
    axes = role_rank(tensor.role, rank)
    if tensor.time_axis is not None:
        values = np.moveaxis(values, tensor.time_axis, 0)
    return values.reshape(-1, *values.shape[values.ndim - axes :])


def frame_size(spec: ModelSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Pixels of a frame; () for a call, which has no frames."""
    if not spec.frame_inputs:
        return ()
    return tuple(size_of(dim, sizes) for dim in spec.frame_inputs[0].shape[-spec.feed.rank :])


def absolute_difference(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """|expected - actual| in f64: 0 for equal non-finite values, infinite if only one is finite.

    Raises:
        ExportError: The shapes differ.
    """
    if expected.shape != actual.shape:
        raise ExportError(
            f"a result of {list(expected.shape)}",
            f"{list(actual.shape)}",
            "The graph does not follow its dynamic axes: compute sizes from the inputs' shapes",
        )
    left, right = expected.astype(np.float64), actual.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        gap = np.where(same, 0.0, np.abs(left - right))
    return np.where(np.isnan(gap), np.inf, gap)
