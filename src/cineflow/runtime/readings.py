"""From a run of a model to its outputs, and to the readings that their roles bring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from cineflow.errors import EngineError, SpecError
from cineflow.motion.landmarks import chain_lengths, class_areas, peaks
from cineflow.motion.strain import deformation_gradient, green_lagrange
from cineflow.ops.finite import all_finite
from cineflow.ops.held import stays
from cineflow.runtime.bundle import graph_outputs
from cineflow.runtime.carried import KeepsState, LeavesOutputs
from cineflow.runtime.engine import Engine
from cineflow.served import Output
from cineflow.spec import FeedKind, ModelSpec, Role, TensorSpec
from cineflow.spec.axes import size_of
from cineflow.spec.outputs import frame_values, motion_in_pixels, require_motion_unit

#: Gives memory for an output by its name, dtype and shape, or None.
Room = Callable[[str, str, tuple[int, ...]], np.ndarray | None]

#: Order of the strain tensor's entries: xx, yy, xy and xx, yy, zz, xy, xz, yz.
_ENTRIES = {2: ((0, 0), (1, 1), (0, 1)), 3: ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))}


def require_readable(spec: ModelSpec) -> None:
    """Raise `SpecError` unless every reading that the outputs promise can be made.

    Motion or points in an unknown unit, two outputs of one role, a flow from a feed without a
    previous frame, or a displacement without a reference frame is refused here, before a stream or
    a repository is made of it.
    """
    for role in Role:
        several = [one.name for one in spec.outputs if role and one.role == role]
        if len(several) > 1:
            raise SpecError(
                f"{spec.name}: one output with the role {role.value}",
                f"{several}",
                "Leave the role out of the others; they are served by their names",
            )
    for role in (Role.FLOW, Role.DISPLACEMENT):
        tensor = spec.output_of(role)
        if tensor is not None:
            require_motion_unit(tensor)
    flow, displacement = spec.output_of(Role.FLOW), spec.output_of(Role.DISPLACEMENT)
    points = spec.output_of(Role.POINTS)
    if points is not None and points.unit != "px":
        raise SpecError(
            f"{points.name}: points in 'px', pixels of the frame",
            repr(points.unit),
            "Convert them at the end of the model, or leave the role out",
        )
    kind = spec.feed.kind
    if flow is not None and not (kind == FeedKind.PAIR or (kind == FeedKind.FRAME and spec.states)):
        raise SpecError(
            f"{spec.name}: a flow from the previous frame to the current one, to be composed",
            f"{flow.name} of the feed {kind}{'' if spec.states else ' without a state'}",
            "Give it no role, or the role displacement if it refers to a reference frame",
        )
    if displacement is not None and not (
        kind == FeedKind.REFERENCE
        or (kind == FeedKind.WINDOW and len(spec.feed.inputs) == 2)
        or spec.states
        or spec.feed.at_start
    ):
        raise SpecError(
            f"{spec.name}: a displacement from a reference frame, which the model sees or keeps",
            f"{displacement.name} of the feed {kind} without a reference and without a state",
            'Feed("reference", ...), or the role flow if it starts at the previous frame',
        )
    if displacement is not None and flow is not None:
        raise SpecError(
            f"{spec.name}: one output that says where the tissue went",
            f"{flow.name} (flow) and {displacement.name} (displacement)",
            "Give one of them no role; it is served by its name",
        )


def run_frame(
    engine: Engine,
    spec: ModelSpec,
    inputs: Mapping[str, np.ndarray],
    carried: Mapping[str, np.ndarray],
    places: Mapping[str, np.ndarray] = MappingProxyType({}),
    left: tuple[str, ...] = (),
) -> tuple[dict[str, np.ndarray], Mapping[str, np.ndarray]]:
    """One run of a model with what it carries.

    Args:
        engine: Runs it; one that `KeepsState` keeps the state.
        spec: The model.
        inputs: The inputs of the spec by name.
        carried: The state before the run by name.
        places: Memory for outputs by name. They are written there if the engine `WritesInto`.
        left: Outputs that stay on the card of an engine that `LeavesOutputs`.

    Returns:
        The outputs of the spec by name, and the state after the run by name.

    Raises:
        EngineError: The engine fails, or an output or a state is missing or not finite: such a
            state would spoil every frame after it.
    """
    if left:
        outputs, after = cast(LeavesOutputs, engine).run_leaving(inputs, carried, left)
        return checked_outputs(spec, outputs, states=False), after
    if spec.states and isinstance(engine, KeepsState):
        outputs, after = engine.run_keeping(inputs, carried)
        return checked_outputs(spec, outputs, states=False), after
    taken = {**inputs, **{f"{name}_in": value for name, value in carried.items()}}
    # Not `isinstance`, which takes as long as a small model.
    run_into = getattr(engine, "run_into", None) if places else None
    found = engine.run(taken) if run_into is None else run_into(taken, places)
    arrays = checked_outputs(spec, found)
    return arrays, {one.name: found[f"{one.name}_out"] for one in spec.states}


def checked_outputs(
    spec: ModelSpec, outputs: Mapping[str, np.ndarray], *, states: bool = True
) -> dict[str, np.ndarray]:
    """The model's outputs by name; the states are checked and left out.

    Args:
        spec: The model.
        outputs: What its engine gave.
        states: Whether the states are among them; False where the engine keeps and checks them.

    Raises:
        EngineError: An output or a state is missing, or has a value that is not finite: a state
            that is not finite would spoil every frame after it.
    """
    arrays = {}
    for tensor in graph_outputs(spec) if states else spec.outputs:
        if tensor.name not in outputs:
            raise EngineError(f"the output {tensor.name}", f"{sorted(outputs)}")
        array = outputs[tensor.name]
        if stays(array):
            pass  # its engine has looked at it
        elif array.dtype.kind == "f" and not all_finite(array):
            raise EngineError(f"a finite {tensor.name}", f"NaN or infinite values from {spec.name}")
        arrays[tensor.name] = array
    return {one.name: arrays[one.name] for one in spec.outputs}


def travels_raw(tensor: TensorSpec) -> bool:
    """Whether an output leaves the server as the model gives it, and not as a reading."""
    return tensor.role not in (Role.FLOW, Role.DISPLACEMENT) or tensor.time_axis is not None


def places_of(spec: ModelSpec, sizes: Mapping[str, int], room: Room) -> dict[str, np.ndarray]:
    """Memory for the outputs that travel raw, by name, as far as there is room.

    Args:
        spec: The model.
        sizes: Of the dynamic axes.
        room: Gives memory, or None.
    """
    places = {}
    for one in filter(travels_raw, spec.outputs):
        if all(axis.name in sizes for axis in one.axes):
            place = room(one.name, one.dtype, tuple(size_of(dim, sizes) for dim in one.shape))
            if place is not None:
                places[one.name] = place
    return places


def raw_outputs(spec: ModelSpec, arrays: Mapping[str, np.ndarray]) -> dict[str, Output]:
    """The outputs as a result carries them. Flow and displacement are added as readings."""
    return {
        one.name: Output(arrays[one.name], one.unit, one.frame, one.role, one.names, one.places)
        for one in filter(travels_raw, spec.outputs)
    }


def motion_of(
    spec: ModelSpec, role: Role, arrays: Mapping[str, np.ndarray], size: tuple[int, ...]
) -> np.ndarray | None:
    """The flow or displacement of the frame that is described, f32 [n, ...] px, x first.

    It is held on the card where the output is.
    """
    tensor = spec.output_of(role)
    if tensor is None:
        return None
    if stays(arrays[tensor.name]):  # it is in pixels, with x first: see `flow_on_card`
        return arrays[tensor.name].reshape(len(size), *size)
    return motion_in_pixels(tensor, _described(spec, tensor, arrays), size)


def landmark_readings(
    spec: ModelSpec,
    arrays: Mapping[str, np.ndarray],
    size: tuple[int, ...],
    spacing: tuple[float, ...] | None,
) -> dict[str, Any]:
    """points, confidence and lengths, of heat maps or of points."""
    readings: dict[str, Any] = {}
    if (maps := spec.output_of(Role.HEAT_MAPS)) is not None:
        values = _described(spec, maps, arrays)
        readings["points"], readings["confidence"] = peaks(values, size)
    if (points := spec.output_of(Role.POINTS)) is not None:
        found = np.asarray(_described(spec, points, arrays), np.float32)
        order = points.components or ("x", "y", "z")[: len(size)]
        readings["points"] = found[:, [order.index(name) for name in sorted(order)]]
    if "points" in readings:
        readings["lengths"] = chain_lengths(readings["points"], spacing)
    return readings


def area_readings(
    spec: ModelSpec,
    arrays: Mapping[str, np.ndarray],
    size: tuple[int, ...],
    spacing: tuple[float, ...] | None,
) -> dict[str, Any]:
    """areas, of labels or of probabilities. Their maps cover the frame, at any resolution."""
    if (labels := spec.output_of(Role.LABELS)) is not None:
        values = _described(spec, labels, arrays)
        classes = len(labels.names) or int(values.max(initial=0)) + 1
    elif (shares := spec.output_of(Role.PROBABILITIES)) is not None:
        values = _described(spec, shares, arrays)
        classes, values = len(values), values.argmax(axis=0)
    else:
        return {}
    pixels = np.float32(np.prod(size) / values.size)  # of the frame, for each sample of the map
    return {"areas": class_areas(values, classes, spacing) * pixels}


def strain_of(displacement: np.ndarray, spacing: tuple[float, ...] | None) -> np.ndarray:
    """Green-Lagrange strain of a displacement [n, ...] px, f32 [3 or 6, ...], a fraction."""
    tensor = green_lagrange(deformation_gradient(np.asarray(displacement), spacing))
    entries = _ENTRIES[displacement.shape[0]]
    return np.stack([tensor[..., i, j] for i, j in entries]).astype(np.float32)


def _described(spec: ModelSpec, tensor: TensorSpec, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """An output's values of the frame that the result describes.

    Raises:
        EngineError: Its time axis is not as long as the window.
    """
    values = frame_values(tensor, arrays[tensor.name], spec.feed.rank)
    frames = spec.feed.frames_of(spec.feed.inputs[-1])
    if tensor.time_axis is not None and len(values) != frames:
        raise EngineError(f"{tensor.name} of {frames} frames", f"{len(values)} from {spec.name}")
    described: np.ndarray = values[len(values) - 1 - (spec.feed.latency if len(values) > 1 else 0)]
    return described
