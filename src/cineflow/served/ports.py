"""The tensors on the wire: inputs and outputs of a served model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cineflow.served.readings import READINGS, Reading, Spec, rank_of

#: Version of this contract; it is a parameter of every served configuration.
CONTRACT = 4

#: NumPy dtype -> KServe datatype.
DATATYPES = {
    "uint8": "UINT8",
    "bool": "BOOL",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}

#: The largest index that a frame may be given. It travels in 64 bits; what is above is left for the
#: frames after it.
LAST_INDEX = 2**62

#: Frames that may be lost in a row: motion is still tracked across them. After more, the next frame
#: is a new reference (`Result.re_referenced`): at 30 frames per second the heart has then gone
#: through a quarter of a beat unseen.
MOST_LOST_FRAMES = 8

#: Parameters of a stream's requests. With START: the time from one frame to the next and the time
#: that a result may take, us, a W3C trace context, and how often the stream went on before. With
#: each frame: how long the last one took
#: at the client, us, and how many were later than the budget. Without a frame: the stream is frozen
#: and keeps its place. With START: a direct connection is wanted; the notes of the response then
#: name it.
PERIOD = "period_us"
BUDGET = "budget_us"
TRACEPARENT = "traceparent"
RESUMED = "resumed"
ROUND_TRIP = "round_trip_us"
LATE_FRAMES = "late_frames"
KEEP_ALIVE = "keep_alive"
DIRECT = "direct"


@dataclass(frozen=True)
class Port:
    """One tensor on the wire.

    Attributes:
        name: Its name at the server.
        dtype: NumPy dtype name.
        shape: Sizes; -1 where the size varies.
        meaning: One sentence, with the unit.
        optional: Whether a request may leave it out.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    meaning: str
    optional: bool = True


#: Always sent: the indices of a result as int64 [7], and what is said in words as JSON.
FLAGS = ("repeat", "re_referenced")
INDEX_NAMES = ("current", "previous", "reference", "described", "repeat", "gap_frames", FLAGS[1])
INDICES = Port(
    "indices",
    "int64",
    (len(INDEX_NAMES),),
    f"{', '.join(INDEX_NAMES)}; {' and '.join(FLAGS)} are 0 or 1",
    optional=False,
)
NOTES = Port("notes", "uint8", (-1,), "JSON: unit, reasons of absence, engine", optional=False)
COMPUTED = Port(
    "computed",
    "int64",
    (2,),
    "start and end of the computation, ns of the server's monotonic clock",
    optional=False,
)
#: Sent to a stream that declared a rate and a budget at START.
DEADLINE = Port(
    "deadline",
    "float64",
    (4,),
    "holds (1 yes, 0 no, NaN: not measured), expected ms, load 0..1, late frames so far; only "
    "where a rate and a budget were declared",
)
#: Sent where it is asked for; an input of the same name takes it back.
STATE = Port("state", "uint8", (-1,), "the stream after this frame; only where it is asked for")


def stream_inputs(spec: Spec) -> list[Port]:
    """What a request of a stream may carry. Given inputs have the names of the spec."""
    frame = (-1,) * rank_of(spec)
    sizes = "D, H, W" if rank_of(spec) == 3 else "H, W"
    low, high = spec["feed"]["grey"]
    at_start = spec["feed"]["at_start"]
    return [
        Port("frame", "uint8", frame, f"[{sizes}] grey levels; this or `frame_f32`, exactly one"),
        Port("frame_f32", "float32", frame, f"[{sizes}] grey levels {low:g}..{high:g}, finite"),
        Port("frame_index", "int64", (1,), "must grow; a gap says that frames were dropped"),
        Port("beat", "bool", (1,), "true: an R wave came with this frame, it is the new reference"),
        Port("time_ms", "float64", (1,), "with every frame of a stream or with none; must grow"),
        Port("spacing_mm", "float64", (rank_of(spec),), f"at START: [{sizes}] mm per pixel"),
        Port(STATE.name, "uint8", (-1,), "at START: a result's `state`, to go on from it"),
        *(
            _port(item, "at START" if item["name"] in at_start else "with each frame")
            for item in spec["inputs"]
            if item["name"] not in spec["feed"]["inputs"]
        ),
    ]


def stream_outputs(spec: Spec) -> list[Port]:
    """What the answer to a frame may carry: the model's own outputs, then the readings."""
    return [
        *(_port(item) for item in raw_outputs(spec)),
        *(_reading_port(row, rank_of(spec)) for row in READINGS if not row.lacks(spec)),
        STATE,
        INDICES,
        NOTES,
        COMPUTED,
        DEADLINE,
    ]


def raw_outputs(spec: Spec) -> list[Mapping[str, Any]]:
    """Outputs that travel as the model gives them. Flow and displacement travel as readings."""
    return [
        item
        for item in spec["outputs"]
        if item["role"] not in ("flow", "displacement") or item["time_axis"] is not None
    ]


def reserved_names(spec: Spec) -> set[str]:
    """Names that outputs (or given inputs) of a streamed model may not have: the contract's own."""
    own = {port.name for port in stream_inputs(spec)[:7]}
    told = {port.name for port in (INDICES, NOTES, COMPUTED, DEADLINE)}
    return own | {row.name for row in READINGS} | told


def call_ports(spec: Spec) -> tuple[list[Port], list[Port]]:
    """Inputs and outputs of a call: the spec's own tensors."""
    return (
        [_port(item, optional=False) for item in spec["inputs"]],
        [_port(item) for item in spec["outputs"]],
    )


def misplaced_points(inputs: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray]) -> str:
    """Which points of a call are outside their picture or on one another, in words; "" if none.

    Args:
        inputs: The inputs of the spec.
        arrays: All of them by name, with shapes that fit the spec.
    """
    for item in inputs:
        if not item.get("points_of"):
            continue
        points = np.asarray(arrays[item["name"]], np.float64)
        rank = points.shape[-1]
        size = arrays[item["points_of"]].shape[-rank:]
        inside = (points >= -0.5) & (points <= np.array(size[::-1]) - 0.5)
        outside = np.argwhere(~inside.all(axis=-1))
        if len(outside):
            first = tuple(map(int, outside[0]))
            place = ", ".join(f"{value:g}" for value in points[first])
            return (
                f"{item['name']}{list(first)} at ({place}), outside the "
                f"{' x '.join(map(str, size))} pixels of {item['points_of']}"
            )
        apart = np.linalg.norm(points[..., :, None, :] - points[..., None, :, :], axis=-1)
        near = np.argwhere(np.triu(apart < 1.0, k=1))
        if len(near):
            *at, one, other = map(int, near[0])
            return f"points {one} and {other} of {item['name']}{at} less than a pixel apart"
    return ""


def batch_limit(spec: Spec, axis: str = "batch") -> int:
    """Largest batch of a call, 0 where its tensors do not share the first axis `axis`.

    A tensor that is nothing but its batch has no size left for Triton: such calls run one by one.
    """
    items = (*spec["inputs"], *spec["outputs"])
    first = [item["shape"][0] for item in items if len(item["shape"]) > 1]
    shared = len(first) == len(items) and all(
        isinstance(dim, dict) and dim.get("name") == axis for dim in first
    )
    return int(first[0]["maximum"]) if shared else 0


def _port(item: Mapping[str, Any], when: str = "", *, optional: bool = True) -> Port:
    shape = tuple(dim if isinstance(dim, int) else -1 for dim in item["shape"])
    words = [item["unit"], item["role"], item["frame"], item["description"], when]
    return Port(item["name"], item["dtype"], shape, "; ".join(filter(None, words)), optional)


def _reading_port(row: Reading, rank: int) -> Port:
    shape: list[int] = []
    for size in row.shape:
        if isinstance(size, int):
            shape.append(size)
        else:
            shape += [rank] if size == "n" else [-1] * rank
    return Port(row.name, row.dtype, tuple(shape), row.meaning)
