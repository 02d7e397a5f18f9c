"""The known-answer probes of a bundle, made at its export; `cineflow.runtime.probing` runs them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cineflow.errors import ArgumentError, EngineError, ExportError, FrameError, SpecError
from cineflow.export.check.units import frame_size
from cineflow.export.recipe import nearest_size, spec_axes
from cineflow.runtime.bundle import graph_inputs, graph_outputs
from cineflow.runtime.engine import Engine
from cineflow.runtime.feed import FrameFeed
from cineflow.runtime.probes import (
    PROBES_FILE,
    TYPICAL_PROBES_FILE,
    Allowance,
    Probes,
)
from cineflow.runtime.probing import require_passed, run_probes
from cineflow.runtime.streamable import require_streamable
from cineflow.spec import FeedKind, ModelSpec, Role, TensorSpec
from cineflow.spec.axes import root_axis, size_of
from cineflow.spec.outputs import frame_dims
from cineflow.spec.tensors import MOTION_UNITS

SEED = 1

#: Size to start from along each dynamic axis: probes travel with the bundle, so they are small.
SIZE = 16

#: Typical sizes to start from; the first whose inputs are small enough is taken.
TYPICAL_SIZES = (256, 128, 64)

#: Most bytes of the inputs of typical probes.
TYPICAL_BYTES = 2 << 20

#: Frames of a stream that is not a window, at small sizes and at typical ones.
FRAMES, TYPICAL_FRAMES = 4, 2

#: Share of labels that may differ between two runtimes: those where two classes are equally likely.
LABELS_SHARE = 0.01

#: Waves that make up the picture of a probe, their shortest length and their motion, in pixels.
_WAVES, _SHORTEST, _STEP = 24, 6.0, (0.4, 0.7, -0.3)

#: Arrays by name for sizes and a seed: a recipe's example inputs, or random ones.
MakeInputs = Callable[[Mapping[str, int], int], Mapping[str, np.ndarray]]


def write_probes(
    directory: Path,
    spec: ModelSpec,
    reference: Engine,
    made_by: str,
    inputs: MakeInputs,
    engines: Sequence[Engine],
) -> None:
    """Write `probes.npz` into a staged bundle, before its manifest, and the one of typical sizes.

    Args:
        directory: The staged bundle.
        spec: Of the model.
        reference: Gives the known results.
        made_by: What it is, for people.
        inputs: Makes the inputs that are not frames.
        engines: Runtimes that opened the bundle; each must pass.

    Raises:
        ExportError: The model fails on the probes, or a runtime differs from the reference by more
            than the tolerances of the spec.
    """
    try:
        made = [
            (file, make_probes(spec, reference, made_by, inputs, sizes, frames))
            for file, sizes, frames in (
                (PROBES_FILE, probe_sizes(spec), FRAMES),
                (TYPICAL_PROBES_FILE, typical_probe_sizes(spec), TYPICAL_FRAMES),
            )
            if sizes is not None
        ]
        for engine in engines:
            for _, probes in made:
                outcomes = run_probes(probes, engine, spec)
                require_passed(probes.judge(outcomes), spec.name, engine.name)
    except (ArgumentError, EngineError, FrameError) as error:
        raise ExportError(
            f"known results of {spec.name} for a short, seeded input: {error.wanted}",
            error.got,
            "State a larger tolerance in the spec if that is good enough; a server refuses an "
            "engine that does not give these results",
        ) from error
    for file, probes in made:
        (directory / file).write_bytes(probes.to_bytes())


def make_probes(
    spec: ModelSpec,
    reference: Engine,
    made_by: str,
    inputs: MakeInputs,
    sizes: Mapping[str, int],
    frames: int = FRAMES,
) -> Probes:
    """Seeded inputs, and what `reference` gives for them; arguments as `write_probes`.

    A model that a stream can run is probed by a short sequence, any other by one run.

    Args:
        sizes: Size along each dynamic axis.
        frames: Of the sequence, for a stream that is not a window.
    """
    streams = spec.feed.streams and _streams(spec)
    questions = _sequence(spec, sizes, inputs, frames) if streams else _call(spec, sizes, inputs)
    outcomes = run_probes(questions, reference, spec)
    names = [one.name for one in (spec.outputs if streams else graph_outputs(spec))]
    allowances = {
        one.name: _allowance(one, spec, sizes, streams=streams)
        for one in graph_outputs(spec)
        if one.name in names
    }
    return Probes(
        allowances=allowances,
        results=[
            {name: how.compared(answer[name]) for name, how in allowances.items() if name in answer}
            for answer in outcomes
        ],
        frames=questions.frames,
        first=questions.first,
        each=questions.each,
        inputs=questions.inputs,
        made_by=made_by,
    )


def probe_sizes(spec: ModelSpec) -> dict[str, int]:
    """Small sizes of the dynamic axes, different where the spec allows it."""
    return {
        name: nearest_size(axis, max(axis.minimum, SIZE) + position * axis.multiple)
        for position, (name, axis) in enumerate(spec_axes(spec).items())
    }


def typical_probe_sizes(spec: ModelSpec) -> dict[str, int] | None:
    """Sizes that engines are tuned for, for engines that do not take the small ones.

    Every axis but the first of a tensor (its batch) gets the first of `TYPICAL_SIZES` whose inputs
    are small enough for a bundle; the others get their smallest size. None where nothing grows.
    """
    small, axes = probe_sizes(spec), spec_axes(spec)
    tensors = spec.frame_inputs or spec.inputs
    roots = {root_axis(dim) for one in tensors for dim in one.shape[1:]}
    grown = {axis.name for axis in roots if axis is not None}
    for size in TYPICAL_SIZES:
        sizes = {
            name: nearest_size(axis, size if name in grown else axis.minimum)
            for name, axis in axes.items()
        }
        if all(sizes[name] <= small[name] for name in grown):
            return None
        if _input_bytes(spec, sizes) <= TYPICAL_BYTES:
            return sizes
    return None


def _input_bytes(spec: ModelSpec, sizes: Mapping[str, int]) -> int:
    """About as many bytes as the inputs of typical probes have."""
    tensors, frames = graph_inputs(spec), 1
    if spec.feed.streams and _streams(spec):
        window = spec.feed.kind == FeedKind.WINDOW
        frames = spec.feed.length + spec.feed.hop if window else TYPICAL_FRAMES
        layout = next(iter(FrameFeed(spec).layouts.values()))
        frame = math.prod(size_of(dim, sizes) for dim in layout.size)
        tensors = spec.given_inputs
    else:
        frame = 0
    values = [math.prod(size_of(dim, sizes) for dim in one.shape) for one in tensors]
    return 4 * frames * (frame + sum(values))


def _streams(spec: ModelSpec) -> bool:
    try:
        require_streamable(spec)
    except SpecError:
        return False
    return True


def _call(spec: ModelSpec, sizes: Mapping[str, int], inputs: MakeInputs) -> Probes:
    made = inputs(sizes, SEED)
    return Probes({}, [], inputs={one.name: made[one.name] for one in graph_inputs(spec)})


def _sequence(spec: ModelSpec, sizes: Mapping[str, int], inputs: MakeInputs, frames: int) -> Probes:
    feed = spec.feed
    window = feed.kind == FeedKind.WINDOW
    count = feed.length + feed.hop if window else frames
    layout = next(iter(FrameFeed(spec).layouts.values()))
    shape = tuple(size_of(dim, sizes) for dim in layout.size)
    first: dict[str, np.ndarray] = {}
    each: dict[str, np.ndarray] = {}
    if spec.given_inputs:
        made = [inputs(sizes, SEED + step) for step in range(count)]
        for one in spec.given_inputs:
            if one.name in feed.at_start:
                first[one.name] = made[0][one.name]
            else:
                each[one.name] = np.stack([arrays[one.name] for arrays in made])
    return Probes({}, [], frames=moving_texture(count, shape, feed.grey), first=first, each=each)


def moving_texture(count: int, shape: tuple[int, ...], grey: tuple[float, float]) -> np.ndarray:
    """A smooth, seeded texture that drifts: [count, *shape], u8 where 0..255 is the range."""
    random = np.random.default_rng(SEED)
    coordinates = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    frames = np.zeros((count, *shape))
    for _ in range(_WAVES):
        direction = random.normal(size=len(shape))
        length = random.uniform(_SHORTEST, 4 * _SHORTEST)
        wave = direction / np.linalg.norm(direction) * (2 * np.pi / length)
        phase = random.uniform(0, 2 * np.pi)
        for step in range(count):
            along = sum(
                k * (x - step * move) for k, x, move in zip(wave, coordinates, _STEP, strict=False)
            )
            frames[step] += np.sin(along + phase)
    low, high = grey
    share = (frames - frames.min()) / np.ptp(frames)
    if (low, high) == (0.0, 255.0):
        return np.round(255 * share).astype(np.uint8)
    return np.clip(low + (high - low) * share, low, high).astype(np.float32)


def _allowance(
    tensor: TensorSpec, spec: ModelSpec, sizes: Mapping[str, int], *, streams: bool
) -> Allowance:
    """What the spec allows between two runtimes, by the measure of `cineflow.export.check.units`.

    Scores are compared by value: near a tie, the highest class says nothing about an engine.
    """
    allowed, unit, rank = float(tensor.tolerance or 0.0), tensor.unit, spec.feed.rank
    if tensor.role == Role.LABELS:
        unit = "share"
        allowed = LABELS_SHARE if tensor.tolerance is None else allowed
    if streams and tensor.role in (Role.FLOW, Role.DISPLACEMENT) and tensor.time_axis is None:
        # A stream gives it in pixels.
        longest = max(size_of(dim, sizes) for dim in tensor.shape[-rank:])
        allowed, unit = allowed * MOTION_UNITS[unit](longest), "px"
    each_step = allowed if spec.states else 0.0
    if tensor.role == Role.HEAT_MAPS:
        _, dims = frame_dims(tensor, rank)
        own = tuple(size_of(dim, sizes) for dim in dims[-rank:])
        frame = frame_size(spec, sizes) or own
        return Allowance("px", allowed, each_step, rank, frame, tensor.time_axis)
    if tensor.role == Role.POINTS:
        return Allowance(unit, allowed, each_step, rank, time_axis=tensor.time_axis)
    return Allowance(unit, allowed, each_step)
