"""A result as tensors, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from cineflow_client.served.ports import (
    COMPUTED,
    DEADLINE,
    FLAGS,
    INDEX_NAMES,
    INDICES,
    NOTES,
    STATE,
    raw_outputs,
)
from cineflow_client.served.readings import READINGS, Spec, lacking
from cineflow_client.served.results import Deadline, Output, Result, Times


class Codec:
    """Results of one model as tensors, and back. What does not change from frame to frame is kept.

    Args:
        spec: The model.
    """

    def __init__(self, spec: Spec) -> None:
        self._lacking = lacking(spec)
        self._raw = [item["name"] for item in raw_outputs(spec)]
        self._items = {item["name"]: item for item in spec["outputs"]}
        self._moving = [item for item in spec["outputs"] if item["name"] not in self._raw]
        self._said: tuple[dict[str, Any], bytes] = ({}, b"{}")  # the last notes

    def encode(
        self,
        result: Result,
        wanted: Sequence[str] | None = None,
        more_notes: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The tensors of a result by port.

        Args:
            result: The result.
            wanted: Names of the ports; all of them by default.
            more_notes: What the notes say besides.
        """
        there = result.outputs
        arrays = {name: there[name].values for name in self._raw if name in there}
        for row in READINGS:
            if wanted is not None and row.name not in wanted:
                continue  # reading it may copy it from a card
            value = getattr(result, row.name)
            if value is not None:
                arrays[row.name] = np.asarray(row.pack(value) if row.pack else value, row.dtype)
        if result.state is not None:
            arrays[STATE.name] = np.frombuffer(result.state, np.uint8)
        if result.times is not None:
            span = (result.times.started_s, result.times.computed_s)
            arrays[COMPUTED.name] = np.array([round(1e9 * one) for one in span], np.int64)
        if result.deadline is not None:
            arrays[DEADLINE.name] = _pack_deadline(result.deadline)
        indices = [int(getattr(result, name)) for name in INDEX_NAMES]
        arrays[INDICES.name] = np.array(indices, np.int64)
        notes = {"unit": result.unit, "absent": dict(result.absent), "engine": result.engine}
        notes |= more_notes or {}
        said, text = self._said
        if notes != said:
            text = json.dumps(notes).encode()
            self._said = notes, text
        arrays[NOTES.name] = np.frombuffer(bytearray(text), np.uint8)
        return arrays if wanted is None else {k: v for k, v in arrays.items() if k in wanted}

    def notes(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """What is said in words with a result."""
        text = arrays[NOTES.name].tobytes()
        said, known = self._said
        if text != known:
            said = json.loads(text)
            self._said = said, text
        return said

    def decode(
        self,
        arrays: Mapping[str, np.ndarray],
        latency_ms: float | None,
        place: Callable[[Times], Times] = lambda times: times,
    ) -> Result:
        """The result that `encode` was given.

        Args:
            arrays: The tensors by port.
            latency_ms: As in the result.
            place: Makes the result's times of the server's alone.

        Raises:
            KeyError: A tensor that every answer has is missing: another version of this contract.
        """
        notes = self.notes(arrays)
        indices = dict(zip(INDEX_NAMES, arrays[INDICES.name].tolist(), strict=True))
        readings: dict[str, Any] = {
            row.name: row.unpack(arrays[row.name]) if row.unpack else arrays[row.name]
            for row in READINGS
            if row.name in arrays
        }
        outputs = {
            name: described_output(self._items[name], arrays[name])
            for name in self._raw
            if name in arrays
        }
        state = arrays.get(STATE.name)
        return Result(
            **indices | {name: bool(indices[name]) for name in FLAGS},
            **readings,
            outputs=outputs | _moving_outputs(self._moving, readings),
            unit=notes["unit"],
            absent=notes["absent"] | self._lacking,
            engine=notes["engine"],
            state=None if state is None else state.tobytes(),
            latency_ms=latency_ms,
            times=place(_span(arrays[COMPUTED.name])),
            deadline=_unpack_deadline(arrays[DEADLINE.name]) if DEADLINE.name in arrays else None,
        )


def encode(result: Result, spec: Spec, wanted: Sequence[str] | None = None) -> dict[str, Any]:
    """The tensors of one result by port; see `Codec.encode`."""
    return Codec(spec).encode(result, wanted)


def decode(arrays: Mapping[str, np.ndarray], spec: Spec, latency_ms: float | None) -> Result:
    """The result that `encode` was given; see `Codec.decode`."""
    return Codec(spec).decode(arrays, latency_ms)


def _span(computed: np.ndarray) -> Times:
    started_s, computed_s = (1e-9 * one for one in computed.tolist())
    return Times(None, started_s, started_s, computed_s, computed_s)


def _pack_deadline(deadline: Deadline) -> np.ndarray:
    holds = math.nan if deadline.holds is None else float(deadline.holds)
    return np.array([holds, deadline.expected_ms, deadline.load, deadline.late_frames])


def _unpack_deadline(values: np.ndarray) -> Deadline:
    holds, expected_ms, load, late_frames = values.tolist()
    return Deadline(None if math.isnan(holds) else bool(holds), expected_ms, load, int(late_frames))


def described_output(item: Mapping[str, Any], values: np.ndarray) -> Output:
    """An output's values with what its spec says about them."""
    names, places = tuple(item["names"]), tuple(item.get("places", ()))
    return Output(values, item["unit"], item["frame"], item["role"], names, places)


def motion_outputs(spec: Spec, readings: Mapping[str, Any]) -> dict[str, Output]:
    """Flow and displacement under the names of the spec: they are the readings, in pixels."""
    raw = {item["name"] for item in raw_outputs(spec)}
    return _moving_outputs((item for item in spec["outputs"] if item["name"] not in raw), readings)


def _moving_outputs(
    items: Iterable[Mapping[str, Any]], readings: Mapping[str, Any]
) -> dict[str, Output]:
    return {
        item["name"]: Output(readings[item["role"]], "px", item["frame"], item["role"])
        for item in items
        if readings.get(item["role"]) is not None
    }
