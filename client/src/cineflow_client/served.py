"""The served contract: what crosses the wire between a cineflow server and its clients.

Ports, enums, results, and how a result becomes tensors and comes back, stand here and nowhere else.
The Triton configuration, the backend, the client and the tables of docs/serving.md read this file.
The client carries an identical copy, because it is installed without cineflow; a test compares the
two. Standard library and NumPy only. A spec is its JSON form here (`ModelSpec.to_json`).

A new reading is one row of `READINGS` and its attribute in `Result`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any

import numpy as np

#: Version of this contract; it is a parameter of every served configuration.
CONTRACT = 3

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

Spec = Mapping[str, Any]


# --- What a result says ---------------------------------------------------------------------------


class Cause(IntEnum):
    """Why the reference frame is what it is: the stream's first frame, a trigger that came with its
    frame, end-diastole found in the motion, or the first frame after a gap."""

    START = 0
    TRIGGER = 1
    MOTION = 2
    GAP = 3


class Rhythm(IntEnum):
    """The last interval between two beats, or the time since the last beat.

    EARLY and LATE are more than 20 % off the median of the last eight intervals. EARLY is an
    ectopic beat or a double trigger; LATE is a missed trigger or a pause. If frame times are known,
    above 220 beats per minute is also EARLY and below 30 also LATE. UNKNOWN lasts until two
    intervals are known; without beats and frame times it never ends.
    """

    UNKNOWN = 0
    REGULAR = 1
    EARLY = 2
    LATE = 3


@dataclass(frozen=True)
class BeatInfo:
    """The beat that a frame belongs to.

    Attributes:
        number: From 0; 0 is what comes before the first trigger or found end-diastole.
        cause: Why it has the reference frame that it has.
        delay_frames: Frames from the reference to the first result that referred to it: 0 for a
            trigger, more where end-diastole was found in the motion.
        rhythm: How the interval before this beat was. LATE also while the beat itself goes on for
            longer than beats do (a missed trigger, or none found): the displacement then drifts.
        drift_px: Loop closure of the beat before: how far its displacement was from zero when its
            heart was back, mean over the tissue. Nothing is compensated. None before the first
            whole beat, and after one that was EARLY or LATE: its heart was not back.
    """

    number: int = 0
    cause: Cause = Cause.START
    delay_frames: int = 0
    rhythm: Rhythm = Rhythm.UNKNOWN
    drift_px: float | None = None


@dataclass(frozen=True)
class Quality:
    """How well one pair of frames supports the flow between them.

    Frames without texture (black or uniform) cannot be measured. The index is then 0, the expected
    error infinite, and the parts are NaN, or None where they are optional.

    Attributes:
        index: 0 (no support) to 1. It falls as `expected_error_px` grows. It is 1/2 at the error
            that best separated failed from good frames on the tuning phantoms.
        expected_error_px: End-point error of frames with these parts on the tuning phantoms
            (geometric mean over the wall), px; infinite without texture.
        correlation: Correlation, -1..1, of the speckle with the next frame's warped back by the
            flow. Four fifths of the tissue exceed it.
        photometric_px: Standard deviation of a position estimated from one pixel, by residual and
            gradient (Cramer-Rao). Four fifths of the tissue are better.
        deformation: |du/dx| of the flow, 1 per frame. Nine tenths of the tissue deform less.
        appearance: Difference of the picture from its running mean over about five frames, grey
            levels. Four fifths of the tissue change less. None for a stream's first pair.
        temporal_px: Change of the flow since the previous pair, scaled to the time between frames,
            mean over the tissue; None for a stream's first pair.
        forward_backward_px: Mean |f(p) + b(p + f(p))| over the tissue; None unless the backward
            flow was computed.
        folding_percent: Share of the tissue where the flow folds the picture.
    """

    index: float
    expected_error_px: float
    correlation: float | None
    photometric_px: float | None
    deformation: float | None
    appearance: float | None
    temporal_px: float | None
    forward_backward_px: float | None
    folding_percent: float | None

    @classmethod
    def untracked(cls) -> Quality:
        """A stream's first frame: nothing was tracked, so nothing can be wrong."""
        return cls(1.0, 0.0, 1.0, 0.0, 0.0, None, None, None, 0.0)


@dataclass(frozen=True, eq=False)
class Output:
    """One output of the model, as the model gives it.

    Attributes:
        values: The array, with the batch and time axes that the spec states.
        unit: Unit of the values.
        frame: Coordinate frame of the values or the grid.
        role: "labels", "points", ...; "" for an output that only its name explains.
        names: Classes or points that the values stand for.
        places: What the values along one axis belong to (AHA segments): the first of that size.
    """

    values: np.ndarray
    unit: str
    frame: str = ""
    role: str = ""
    names: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """What a stream says about one frame.

    Readings that this frame does not have are None, and `absent` says why. n is 2 for images
    [H, W] and 3 for volumes [D, H, W]; x points right, y down; vectors have x first.

    Attributes:
        outputs: The model's outputs by name. Empty where the model did not run: the first frame of
            a pair, a window that is not full, a frame between two hops.
        current: Index of this frame.
        previous: Index of the frame that the flow starts from; `current` for the first.
        reference: Index of the frame that the displacement refers to.
        described: Index of the frame that the outputs and what is read off them describe:
            `current`, less the latency of a window. Quality and beat are those of `current`.
        flow: float32 [n, ...] px, on the previous frame's grid: current(p + flow(p)) ~ previous(p).
            Zeros for the first frame.
        displacement: float32 [n, ...] px, on the reference frame's grid: where each of its points
            is now, minus where it was.
        quality_parts: How far to trust the flow, and what that was made from.
        beat_info: The heart beat that this frame belongs to.
        points: float32 [K, n] px, x first.
        confidence: float32 [K]: the height of each point's heat map.
        lengths: float32 [K - 1] from each point to the next, in `unit`.
        areas: float32 [classes], in `unit` squared (cubed for volumes).
        strain: float32 [3 or 6, ...], a fraction: Green-Lagrange strain on the reference grid as
            xx, yy, xy (xx, yy, zz, xy, xz, yz). Only where it was asked for.
        repeat: Whether this frame is the last one over again, value for value.
        gap_frames: Frames lost between the stream's last frame and this one, by their indices.
        re_referenced: Whether more than `MOST_LOST_FRAMES` were lost. This frame is then treated as
            a stream's first: nothing was tracked, and it is the new reference.
        unit: "px", or "mm" where the stream knows its spacing.
        absent: Why a reading is None, or an output not there, by its name.
        engine: The runtime that ran the model, with its version ("onnxruntime 1.31.0").
        state: The stream after this frame, as bytes for another stream to go on from. Only where
            it was asked for; None in process, where `Stream.state` gives it.
        latency_ms: From the call that sent the frame to its result; None in process.
    """

    outputs: Mapping[str, Output]
    current: int
    previous: int
    reference: int
    described: int
    flow: np.ndarray | None = None
    displacement: np.ndarray | None = None
    quality_parts: Quality | None = None
    beat_info: BeatInfo | None = None
    points: np.ndarray | None = None
    confidence: np.ndarray | None = None
    lengths: np.ndarray | None = None
    areas: np.ndarray | None = None
    strain: np.ndarray | None = None
    repeat: bool = False
    gap_frames: int = 0
    re_referenced: bool = False
    unit: str = "px"
    absent: Mapping[str, str] = field(default_factory=dict)
    engine: str = ""
    state: bytes | None = None
    latency_ms: float | None = None

    @property
    def quality(self) -> float | None:
        """How far to trust the flow, 0..1, and 1 for the first frame; None without a flow."""
        return None if self.quality_parts is None else self.quality_parts.index

    @property
    def beat(self) -> int | None:
        """Number of the heart beat, from 0; None where beats are not followed."""
        return None if self.beat_info is None else self.beat_info.number


# --- Ports ----------------------------------------------------------------------------------------


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


def has_reference(spec: Spec) -> bool:
    """Whether a model sees a reference frame: the feed `reference`, or a window that has one."""
    feed = spec["feed"]
    return feed["kind"] == "reference" or (feed["kind"] == "window" and len(feed["inputs"]) == 2)


@dataclass(frozen=True)
class Needs:
    """What a reading is made from.

    Attributes:
        roles: Roles of outputs; one of them is enough.
        images: Whether volumes do not have it yet.
        reference: Whether a feed with a reference frame is also enough.
    """

    roles: tuple[str, ...]
    images: bool = False
    reference: bool = False

    def describe(self) -> str:
        """In words, as the table of readings has it."""
        feed = ", or a reference frame" if self.reference else ""
        return f"{' or '.join(self.roles)}{feed}{' (images only)' if self.images else ''}"

    def lack(self, spec: Spec) -> str:
        """Why a model does not have it, in words; "" where it does."""
        there = bool(roles_of(spec) & set(self.roles))
        if self.reference:
            if there or has_reference(spec):
                return ""
            return f"{spec['name']} has no flow and no reference frame, so beats are not followed"
        if not there:
            return f"{spec['name']} has no output with the role {' or '.join(self.roles)}"
        return "volumes do not have it yet" if self.images and rank_of(spec) == 3 else ""


@dataclass(frozen=True)
class Reading:
    """One row of the table of readings.

    Attributes:
        name: Attribute of `Result`, and port at the server.
        dtype: NumPy dtype name on the wire.
        shape: Sizes on the wire; "n" for the components of a vector, "..." for the frame's sizes.
        meaning: One sentence, with the unit.
        needs: What it is made from.
        asked: Whether it is sent only to a client that asked for it.
        of_current: Whether it belongs to `Result.current`; the others belong to `described`.
        pack: From the attribute's value to the array; None: it is the array.
        unpack: The way back.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    meaning: str
    needs: Needs
    asked: bool = False
    of_current: bool = False
    pack: Callable[[Any], Any] | None = None
    unpack: Callable[[np.ndarray], Any] | None = None

    def lacks(self, spec: Spec) -> str:
        """Why a model does not have it, in words; "" where it does."""
        return self.needs.lack(spec)


def roles_of(spec: Spec) -> set[str]:
    """Roles that the outputs of a model play."""
    return {item["role"] for item in spec["outputs"]} - {""}


def rank_of(spec: Spec) -> int:
    """Axes of a frame: 2 for images, 3 for volumes."""
    return 3 if spec["feed"]["volume"] else 2


def _pack_quality(quality: Quality) -> list[float | None]:
    return list(vars(quality).values())


#: Parts of the quality that are None where they are not measured; the others are NaN then.
_OPTIONAL_PARTS = ("appearance", "temporal_px", "forward_backward_px")


def _unpack_quality(values: np.ndarray) -> Quality:
    parts = dict(zip((part.name for part in fields(Quality)), values.tolist(), strict=True))
    return Quality(**parts | {name: _measured(parts[name]) for name in _OPTIONAL_PARTS})


def _pack_beat(beat: BeatInfo) -> list[float | None]:
    return [beat.number, beat.cause, beat.delay_frames, beat.rhythm, beat.drift_px]


def _unpack_beat(values: np.ndarray) -> BeatInfo:
    number, cause, delay, rhythm, drift = values.tolist()
    return BeatInfo(
        int(number), Cause(int(cause)), int(delay), Rhythm(int(rhythm)), _measured(drift)
    )


def _measured(value: float) -> Any:
    """NaN stands for what was not measured."""
    return None if math.isnan(value) else value


#: Every reading there is. The order is that of the tables and of the configuration.
READINGS: tuple[Reading, ...] = (
    Reading("flow", "float32", ("n", "..."), "px, previous -> current", Needs(("flow",))),
    Reading(
        "displacement",
        "float32",
        ("n", "..."),
        "px, reference -> current",
        Needs(("flow", "displacement")),
    ),
    Reading(
        "quality_parts",
        "float64",
        (9,),
        "index 0..1, expected error px, correlation, photometric px, deformation, appearance, "
        "temporal px, forward-backward px, folding %; NaN: not measured",
        Needs(("flow",), images=True),
        of_current=True,
        pack=_pack_quality,
        unpack=_unpack_quality,
    ),
    Reading(
        "beat_info",
        "float64",
        (5,),
        "number, cause (0 start, 1 trigger, 2 motion, 3 gap), delay in frames, rhythm (0 unknown, "
        "1 regular, 2 early, 3 late), drift px (NaN: none)",
        Needs(("flow",), reference=True),
        of_current=True,
        pack=_pack_beat,
        unpack=_unpack_beat,
    ),
    Reading("points", "float32", (-1, "n"), "px, x first", Needs(("points", "heat_maps"))),
    Reading("confidence", "float32", (-1,), "height of each heat map", Needs(("heat_maps",))),
    Reading("lengths", "float32", (-1,), "px or mm, point to next", Needs(("points", "heat_maps"))),
    Reading(
        "areas",
        "float32",
        (-1,),
        "px^2 or mm^2 of each class (^3 for volumes)",
        Needs(("labels", "probabilities")),
    ),
    Reading(
        "strain",
        "float32",
        (-1, "..."),
        "Green-Lagrange strain, a fraction: xx, yy, xy (volumes: xx, yy, zz, xy, xz, yz)",
        Needs(("flow", "displacement")),
        asked=True,
    ),
)

#: Always sent: the indices of a result as int64 [7], and what is said in words as JSON.
_FLAGS = ("repeat", "re_referenced")
_INDICES = ("current", "previous", "reference", "described", "repeat", "gap_frames", _FLAGS[1])
INDICES = Port(
    "indices",
    "int64",
    (len(_INDICES),),
    f"{', '.join(_INDICES)}; {' and '.join(_FLAGS)} are 0 or 1",
    optional=False,
)
NOTES = Port("notes", "uint8", (-1,), "JSON: unit, reasons of absence, engine", optional=False)
#: Sent where it is asked for; an input of the same name takes it back.
STATE = Port("state", "uint8", (-1,), "the stream after this frame; only where it is asked for")


def has_reading(spec: Spec, name: str) -> bool:
    """Whether a model has the reading `name` (`Result`'s attribute) at all."""
    return any(row.name == name and not row.lacks(spec) for row in READINGS)


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
    return own | {row.name for row in READINGS} | {INDICES.name, NOTES.name}


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


# --- A result as tensors, and back ----------------------------------------------------------------


def encode(result: Result, spec: Spec, wanted: Sequence[str] | None = None) -> dict[str, Any]:
    """The tensors of a result by port; `wanted` limits them to some names."""
    arrays = {name: result.outputs[name].values for name in _raw_names(spec, result.outputs)}
    for row in READINGS:
        value = getattr(result, row.name)
        if value is not None:
            arrays[row.name] = np.asarray(row.pack(value) if row.pack else value, row.dtype)
    indices = [int(getattr(result, name)) for name in _INDICES]
    notes = {"unit": result.unit, "absent": dict(result.absent), "engine": result.engine}
    if result.state is not None:
        arrays[STATE.name] = np.frombuffer(bytearray(result.state), np.uint8)
    arrays[INDICES.name] = np.array(indices, np.int64)
    arrays[NOTES.name] = np.frombuffer(bytearray(json.dumps(notes).encode()), np.uint8)
    return arrays if wanted is None else {k: v for k, v in arrays.items() if k in wanted}


def decode(arrays: Mapping[str, np.ndarray], spec: Spec, latency_ms: float | None) -> Result:
    """The result that `encode` was given.

    Raises:
        KeyError: A tensor that every answer has is missing: another version of this contract.
    """
    notes = json.loads(bytes(arrays[NOTES.name]))
    indices = dict(zip(_INDICES, arrays[INDICES.name].tolist(), strict=True))
    readings: dict[str, Any] = {
        row.name: row.unpack(arrays[row.name]) if row.unpack else arrays[row.name]
        for row in READINGS
        if row.name in arrays
    }
    by_name = {item["name"]: item for item in spec["outputs"]}
    outputs = {
        name: described_output(by_name[name], arrays[name]) for name in _raw_names(spec, arrays)
    }
    state = arrays.get(STATE.name)
    return Result(
        **indices | {name: bool(indices[name]) for name in _FLAGS},
        **readings,
        outputs=outputs | motion_outputs(spec, readings),
        unit=notes["unit"],
        absent=notes["absent"] | lacking(spec),
        engine=notes["engine"],
        state=None if state is None else state.tobytes(),
        latency_ms=latency_ms,
    )


def lacking(spec: Spec) -> dict[str, str]:
    """Why a model does not have the readings that it does not have, by name."""
    return {row.name: reason for row in READINGS if (reason := row.lacks(spec))}


def described_output(item: Mapping[str, Any], values: np.ndarray) -> Output:
    """An output's values with what its spec says about them."""
    names, places = tuple(item["names"]), tuple(item.get("places", ()))
    return Output(values, item["unit"], item["frame"], item["role"], names, places)


def motion_outputs(spec: Spec, readings: Mapping[str, Any]) -> dict[str, Output]:
    """Flow and displacement under the names of the spec: they are the readings, in pixels."""
    raw = {item["name"] for item in raw_outputs(spec)}
    return {
        item["name"]: Output(readings[item["role"]], "px", item["frame"], item["role"])
        for item in spec["outputs"]
        if item["name"] not in raw and readings.get(item["role"]) is not None
    }


def _raw_names(spec: Spec, there: Mapping[str, Any]) -> list[str]:
    return [item["name"] for item in raw_outputs(spec) if item["name"] in there]
