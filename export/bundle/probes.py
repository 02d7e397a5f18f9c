"""The known-answer probes of a bundle, made at its export; `cineflow.runtime.probes` runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cineflow.errors import EngineError, ExportError, FrameError, SpecError
from cineflow.export.recipe import nearest_size, spec_axes
from cineflow.runtime.bundle import graph_inputs, graph_outputs
from cineflow.runtime.engine import Engine
from cineflow.runtime.feed import FrameFeed
from cineflow.runtime.probes import (
    PROBES_FILE,
    Allowance,
    Arrays,
    Probes,
    kept,
    require_passed,
    run_probes,
)
from cineflow.runtime.stream import require_streamable
from cineflow.spec import FeedKind, ModelSpec, Role, TensorSpec
from cineflow.spec.axes import size_of
from cineflow.spec.tensors import MOTION_UNITS

SEED = 1

#: Size to start from along each dynamic axis: probes travel with the bundle, so they are small.
SIZE = 16

#: Frames of a stream that is not a window.
FRAMES = 4

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
    """Write `probes.npz` into a staged bundle, before its manifest.

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
        probes = make_probes(spec, reference, made_by, inputs)
        for engine in engines:
            require_passed(probes.judge(run_probes(probes, engine, spec)), spec.name, engine.name)
    except (EngineError, FrameError) as error:
        raise ExportError(
            f"known results of {spec.name} for a short, seeded input: {error.wanted}",
            error.got,
            "State a larger tolerance in the spec if that is good enough; a server refuses an "
            "engine that does not give these results",
        ) from error
    (directory / PROBES_FILE).write_bytes(probes.to_bytes())


def make_probes(spec: ModelSpec, reference: Engine, made_by: str, inputs: MakeInputs) -> Probes:
    """Seeded inputs, and what `reference` gives for them; arguments as `write_probes`.

    A model that a stream can run is probed by a short sequence, any other by one run.
    """
    sizes = probe_sizes(spec)
    streams = spec.feed.streams and _streams(spec)
    questions = _sequence(spec, sizes, inputs) if streams else _call(spec, sizes, inputs)
    outcomes = run_probes(questions, reference, spec)
    names = [one.name for one in (spec.outputs if streams else graph_outputs(spec))]
    return Probes(
        allowances={
            one.name: _allowance(one, spec, sizes, streams=streams)
            for one in graph_outputs(spec)
            if one.name in names
        },
        results=[_kept(answer, names) for answer in outcomes],
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


def _streams(spec: ModelSpec) -> bool:
    try:
        require_streamable(spec)
    except SpecError:
        return False
    return True


def _call(spec: ModelSpec, sizes: Mapping[str, int], inputs: MakeInputs) -> Probes:
    made = inputs(sizes, SEED)
    return Probes({}, [], inputs={one.name: made[one.name] for one in graph_inputs(spec)})


def _sequence(spec: ModelSpec, sizes: Mapping[str, int], inputs: MakeInputs) -> Probes:
    feed = spec.feed
    window = feed.kind == FeedKind.WINDOW
    count = feed.length + feed.hop if window else FRAMES
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
    """What the spec allows between two runtimes, in the unit in which the output is given."""
    if tensor.role == Role.LABELS and tensor.tolerance is None:
        return Allowance("share", LABELS_SHARE)
    allowed, unit = float(tensor.tolerance or 0.0), tensor.unit
    if streams and tensor.role in (Role.FLOW, Role.DISPLACEMENT) and tensor.time_axis is None:
        # A stream gives it in pixels.
        longest = max(size_of(dim, sizes) for dim in tensor.shape[-spec.feed.rank :])
        allowed, unit = allowed * MOTION_UNITS[unit](longest), "px"
    return Allowance(unit, allowed, each_step=allowed if spec.states else 0.0)


def _kept(answer: Arrays, names: list[str]) -> dict[str, np.ndarray]:
    return {name: kept(answer[name]) for name in names if name in answer}
