"""What an output's shape must be for the role it plays, and how its values are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cineflow.errors import SpecError
from cineflow.spec.axes import Dim, describe_dim
from cineflow.spec.feed import Feed
from cineflow.spec.tensors import MOTION_UNITS, Role, TensorSpec

_WHOLE = ("uint8", "int32", "int64")


def role_rank(role: str, rank: int) -> int:
    """Axes of one frame's values for a role; `rank` is 2 for images and 3 for volumes."""
    ranks: Mapping[str, int] = {
        Role.FLOW: rank + 1,
        Role.DISPLACEMENT: rank + 1,
        Role.LABELS: rank,
        Role.PROBABILITIES: rank + 1,
        Role.HEAT_MAPS: rank + 1,
        Role.POINTS: 2,
        Role.SCORES: 1,
    }
    return ranks[role]


def frame_dims(tensor: TensorSpec, rank: int) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
    """The leading sizes (batch) and those of one frame's values; the time axis is in neither."""
    dims = tuple(dim for i, dim in enumerate(tensor.shape) if i != tensor.time_axis)
    split = len(dims) - role_rank(tensor.role, rank)
    return dims[: max(split, 0)], dims[max(split, 0) :]


def require_role_shape(tensor: TensorSpec, feed: Feed) -> None:
    """Raise `SpecError` unless an output's shape, dtype and names suit its role."""
    if not tensor.role:
        return
    leading, dims = frame_dims(tensor, feed.rank)
    problems = []
    if len(dims) < role_rank(tensor.role, feed.rank):
        problems.append(f"{role_rank(tensor.role, feed.rank)} axes for each frame")
    elif tensor.role != Role.SCORES and not all(
        dim == 1 if isinstance(dim, int) else dim.accepts(1) for dim in leading
    ):
        problems.append("leading axes of 1")
    if tensor.role in (Role.FLOW, Role.DISPLACEMENT) and dims[:1] != (feed.rank,):
        problems.append(f"{feed.rank} components before the sizes")
    if tensor.role == Role.POINTS and dims[-1:] != (feed.rank,):
        problems.append(f"{feed.rank} coordinates last")
    if tensor.role == Role.LABELS and tensor.dtype not in _WHOLE:
        problems.append(f"a dtype of {', '.join(_WHOLE)}")
    count = _named_size(tensor.role, dims)
    if tensor.names and isinstance(count, int) and len(tensor.names) != count:
        problems.append(f"{count} names")
    if tensor.components and len(tensor.components) != feed.rank:
        problems.append(f"{feed.rank} components")
    if problems:
        raise SpecError(
            f"{tensor.name} with the role {tensor.role} to have {', '.join(problems)}",
            f"{tensor.dtype} [{tensor.describe_shape()}], names {list(tensor.names)}, "
            f"components {list(tensor.components)}",
            "Reshape at the end of the model, or leave the role out",
        )


def require_frame_axes(tensor: TensorSpec, feed: Feed, frames: Sequence[TensorSpec]) -> None:
    """Raise `SpecError` unless an output's time axis and grid are those of the frames.

    A flow and a displacement move the frame's own pixels, so they lie on its grid. Labels,
    probabilities and heat maps may have any resolution. A call has no frames.

    Args:
        tensor: The output.
        feed: Of the model.
        frames: The inputs that take frames.
    """
    if not frames:
        return
    time = tensor.time_axis
    if time is not None and not _is_time(tensor.shape[time], feed, frames):
        count = feed.frames_of(frames[-1].name)
        raise SpecError(
            f"{tensor.name}: {count} frame{'s' if count > 1 else ''} along its time axis {time}, "
            f"as many as {frames[-1].name} takes",
            describe_dim(tensor.shape[time]),
            "Give every frame of the window a value, or leave the time axis out",
        )
    if tensor.role not in (Role.FLOW, Role.DISPLACEMENT):
        return
    _, dims = frame_dims(tensor, feed.rank)
    grid = frames[-1].shape[-feed.rank :]
    if dims[1:] != grid:
        raise SpecError(
            f"{tensor.name} with the role {tensor.role} on the grid of the frames, "
            f"[{', '.join(map(describe_dim, grid))}]",
            f"[{', '.join(map(describe_dim, dims[1:]))}]",
            "Enlarge it to the frame at the end of the model, or leave the role out",
        )


def _is_time(dim: Dim, feed: Feed, frames: Sequence[TensorSpec]) -> bool:
    """Whether a size is the number of frames that the model sees at once."""
    last = frames[-1]
    known = feed.time_axis is not None and feed.time_axis < len(last.shape)
    of_input = known and dim == last.shape[feed.time_axis or 0] and not isinstance(dim, int)
    return of_input or dim == feed.frames_of(last.name)


def _named_size(role: str, dims: tuple[Dim, ...]) -> Dim | None:
    """The size that `TensorSpec.names` counts; None where the values themselves are the names."""
    if role in (Role.PROBABILITIES, Role.HEAT_MAPS, Role.POINTS):
        return dims[0] if dims else None
    return dims[-1] if role == Role.SCORES and dims else None


def frame_values(tensor: TensorSpec, array: np.ndarray, rank: int) -> np.ndarray:
    """An output's values with time first: [T, ...] (T = 1 without a time axis), batch taken off."""
    time = tensor.time_axis
    array = array[None] if time is None else np.moveaxis(array, time, 0)
    axes = role_rank(tensor.role, rank)
    if tensor.role == Role.SCORES:
        return array
    return array.reshape(array.shape[0], *array.shape[array.ndim - axes :])


def motion_in_pixels(tensor: TensorSpec, motion: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """A flow or displacement [n, ...] f32 in pixels with x first.

    Args:
        tensor: Says the unit and the order of the components.
        motion: As the model gives it, without batch and time.
        size: The frame's sizes: (H, W) or (D, H, W).

    Raises:
        SpecError: The unit is not one of `MOTION_UNITS`.
    """
    require_motion_unit(tensor)
    order = tensor.components or ("x", "y", "z")[: len(size)]
    factor = MOTION_UNITS[tensor.unit]
    if tensor.unit == "px" and order == tuple(sorted(order)):
        return np.asarray(motion, np.float32)
    sides = dict(zip(("x", "y", "z"), reversed(size), strict=False))
    parts = [motion[order.index(name)] * factor(sides[name]) for name in sorted(order)]
    return np.stack(parts).astype(np.float32)


def require_motion_unit(tensor: TensorSpec) -> None:
    """Raise `SpecError` unless pixels can be made of this motion's unit."""
    if tensor.unit not in MOTION_UNITS:
        raise SpecError(
            f"{tensor.name}: motion in {', '.join(repr(unit) for unit in MOTION_UNITS)}",
            repr(tensor.unit),
            "Convert it to pixels at the end of the model",
        )
