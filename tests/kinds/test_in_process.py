"""A served stream says what the same stream says in process, value for value, for every kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pytest

from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream
from cineflow.served import Cause, Output, Result
from cineflow_client import Client
from tests.kinds.test_served_kinds import SIZE, blob, texture

Push = tuple[np.ndarray, dict[str, Any]]


@dataclass(frozen=True)
class Sequence:
    """What is sent to a model, and the readings that must have come at least once.

    Attributes:
        model: Its name.
        pushes: Each frame, with the further arguments of `push`.
        has: Readings that some result has; the comparison would be empty without them.
        settings: Of the stream: spacing and asked readings.
    """

    model: str
    pushes: list[Push]
    has: set[str]
    settings: dict[str, Any] = field(default_factory=dict)


def moving(count: int, step: Any, seed: int = 0) -> list[np.ndarray]:
    """Frames of a texture that is at x = step(k) in frame k, whole pixels."""
    wide = texture(seed, (SIZE[0], SIZE[1] + 32))
    return [np.ascontiguousarray(wide[:, 16 - step(k) :][:, : SIZE[1]]) for k in range(count)]


def beating() -> Iterator[Push]:
    """Three beats of 20 frames, without triggers: end-diastole is found in the motion."""
    there = [*range(10), *range(10, 0, -1)]
    for frame in moving(70, lambda k: there[k % 20]):
        yield frame, {}


def triggered(frames: list[np.ndarray], at: set[int], **more: Any) -> Iterator[Push]:
    """Frames 20 ms apart with an R wave at some; every fifth number is left out."""
    for k, frame in enumerate(frames):
        yield frame, {"beat": k in at, "time_ms": 20.0 * k, "index": k + k // 4, **more}


def with_points(frames: list[np.ndarray]) -> Iterator[Push]:
    queries = np.float32([[[10, 12], [20, 30], [40, 8]]])
    for k, (frame, more) in enumerate(triggered(frames, {9})):
        yield frame, {**more, **({"given": {"queries": queries}} if k == 0 else {})}


def volumes() -> list[np.ndarray]:
    grain = np.random.default_rng(1).integers(0, 256, (16, 40, 32)).astype(np.uint8)
    return [np.ascontiguousarray(grain[:, 8 - k : 8 - k + 32]) for k in range(4)]


DARK = [np.zeros(SIZE, np.uint8)] * 2  # no texture: its quality is infinite and NaN
FLOW = {"flow", "displacement", "quality_parts", "beat_info"}
SEQUENCES = {
    "beats found in the motion": Sequence("grid_sample_flow", list(beating()), FLOW),
    "triggers, times, dropped and dark frames": Sequence(
        "grid_sample_flow",
        list(triggered([*moving(9, int), *DARK, *moving(3, int)], {3, 7})),
        FLOW | {"strain"},
        {"spacing_mm": (0.5, 0.25), "readings": ("strain",)},
    ),
    "a state": Sequence("conv_gru", [(texture(k, SIZE), {}) for k in range(5)], set()),
    "float frames against a reference": Sequence(
        "reference_shift",
        list(triggered([blob(24 + k, 20).astype(np.float32) for k in range(6)], {2})),
        {"displacement", "beat_info", "strain"},
        {"spacing_mm": (0.5, 0.25), "readings": ("strain",)},
    ),
    "a window with given points": Sequence(
        "point_tracker",
        list(with_points([blob(24 + k, 20) for k in range(14)])),
        {"points", "lengths", "beat_info"},
        {"spacing_mm": (0.5, 0.25)},
    ),
    "labels": Sequence(
        "segmentation", [(texture(k, SIZE), {"time_ms": 20.0 * k}) for k in range(3)], {"areas"},
        {"spacing_mm": (0.5, 0.25)},
    ),
    "heat maps": Sequence(
        "heat_maps", [(blob(20 + k, 20), {}) for k in range(3)],
        {"points", "confidence", "lengths"}, {"spacing_mm": (0.5, 0.25)},
    ),
    "volumes": Sequence(
        "volume_flow", list(triggered(volumes(), {2})),
        {"flow", "displacement", "beat_info", "strain"},
        {"spacing_mm": (1.0, 0.5, 0.25), "readings": ("strain",)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_server_says_what_a_stream_in_process_says(
    client: Client, bundles: Mapping[str, Bundle], name: str
) -> None:
    sequence = SEQUENCES[name]
    bundle = bundles[sequence.model]
    stream = Stream(open_engine(bundle), bundle.spec, **sequence.settings)
    found: list[Result] = []
    with client.stream(sequence.model, **sequence.settings) as served:
        for frame, more in sequence.pushes:
            here, there = stream.push(frame, **more), served.push(frame, **more)
            for part in fields(Result):
                if part.name not in ("latency_ms", "times"):  # each run has its own
                    require_same(part.name, getattr(here, part.name), getattr(there, part.name))
            found.append(here)
    for reading in sequence.has:
        assert any(getattr(result, reading) is not None for result in found), reading
    if name == "beats found in the motion":
        assert found[-1].beat_info.cause is Cause.MOTION
        assert found[-1].beat_info.drift_px is not None
    if "spacing_mm" in sequence.settings:
        assert found[-1].unit == "mm"


def require_same(name: str, here: Any, there: Any) -> None:
    """Fail with the name of the part that differs; NaN equals NaN, None does not."""
    assert type(here).__name__ == type(there).__name__, name
    if isinstance(here, np.ndarray):
        assert here.dtype == there.dtype, name
        np.testing.assert_array_equal(here, there, err_msg=name)
    elif isinstance(here, Mapping):
        assert here.keys() == there.keys(), name
        for key in here:
            require_same(f"{name}[{key!r}]", here[key], there[key])
    elif isinstance(here, Output) or (name in ("quality_parts", "beat_info") and here is not None):
        for part in fields(here):
            require_same(f"{name}.{part.name}", getattr(here, part.name), getattr(there, part.name))
    else:
        assert here == there or (here != here and there != there), (name, here, there)


def test_outputs_are_written_to_memory_that_is_given(bundles: Mapping[str, Bundle]) -> None:
    """Where it fits; and what is read off them is the same."""
    bundle = bundles["segmentation"]
    engine, frames = open_engine(bundle), moving(2, lambda k: k)
    asked: list[tuple[str, str, tuple[int, ...]]] = []
    memory = np.zeros(1 << 20, np.uint8)

    def room(name: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray | None:
        asked.append((name, dtype, shape))
        return None if len(asked) > 1 else np.ndarray(shape, dtype, memory)

    there = Stream(engine, bundle.spec)
    for frame in frames:
        here = Stream(engine, bundle.spec).push(frame)
        given = there.push(frame, room=room)
        np.testing.assert_array_equal(given.areas, here.areas)
        for name, output in here.outputs.items():
            np.testing.assert_array_equal(given.outputs[name].values, output.values)
        name = asked[0][0]
        assert np.shares_memory(given.outputs[name].values, memory) == (frame is frames[0])
        values = here.outputs[name].values
        assert asked[0] == (name, values.dtype.name, values.shape)
