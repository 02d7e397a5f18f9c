"""Collecting what a stream gives: rows of numbers, whole arrays, and what the report draws."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cineflow.cine import Cine, Geometry
from cineflow.report import (
    Readings,
    ReadingsRecorder,
    ResultFile,
    Row,
    Trace,
    TraceRecorder,
    scalars_of,
)
from cineflow.served import INDICES, NOTES, READINGS, encode, has_reading
from cineflow.spec import ModelSpec

#: What belongs to the frame that came, also where a window's outputs describe an earlier one.
_OF_CURRENT = (INDICES.name, *(row.name for row in READINGS if row.of_current))


@dataclass(frozen=True, eq=False)
class Collected:
    """What a stream gave for a clip.

    Attributes:
        rows: The numbers of each frame.
        absent: For each reading or output that was missing: the reason, and in how many frames.
        arrays: Every output and reading; None where they were not kept.
        trace: The tracked motion of a model with a flow; None for other models.
        readings: What the report of other models draws.
        engine: What ran the model at the server.
        unit: Unit of the lengths: "mm" or "px".
    """

    rows: tuple[Row, ...]
    absent: Mapping[str, tuple[str, int]]
    arrays: ResultFile | None
    trace: Trace | None
    readings: Readings | None
    engine: str
    unit: str


class Collector:
    """Collects results frame by frame.

    Args:
        cine: The clip, in its own pixels.
        geometry: From those pixels to the model's.
        spec: The model.
        keep: Whether whole arrays are kept.
        slice_of: Of volumes: index of the slice that `cine` shows, and the depth of the model's
            volume.
    """

    def __init__(
        self,
        cine: Cine,
        geometry: Geometry,
        spec: ModelSpec,
        *,
        keep: bool,
        slice_of: tuple[int, int] | None = None,
    ) -> None:
        self._cine = cine
        self._geometry = geometry
        self._spec = spec
        self._served: Mapping[str, Any] = json.loads(spec.to_json())
        tracks = has_reading(self._served, "quality_parts")
        self._trace = TraceRecorder(cine) if tracks else None
        self._readings = None if tracks else ReadingsRecorder(cine, geometry, spec, slice_of)
        self._arrays = ResultFile() if keep else None
        self._rows: list[Row] = []
        self._absent: Counter[tuple[str, str]] = Counter()
        self._engine = self._unit = ""

    def add(self, result: Any) -> None:
        """Add the next frame's `Result`, the client's or this package's.

        A frame past the clip's end only fills its last window. It has no row, and of its result
        only what describes the clip's frames is kept.
        """
        if result.current >= len(self._cine):
            self._add_past_the_end(result)
            return
        self._engine, self._unit = result.engine, result.unit
        time_ms = float(self._cine.times_ms[result.current])
        self._rows.append(scalars_of(result, self._spec, time_ms))
        self._absent.update(result.absent.items())
        if self._trace is not None:
            self._trace.add(
                self._geometry.field_to_source(result.displacement),
                result.quality,
                result.reference,
                result.beat,
                parts=result.quality_parts,
                beat_info=result.beat_info,
            )
        if self._readings is not None:
            self._readings.add(result)
        if self._arrays is not None:
            arrays = encode(result, self._served)
            del arrays[NOTES.name]
            now = {name: arrays.pop(name) for name in _OF_CURRENT if name in arrays}
            self._arrays.add(result.current, now)
            self._arrays.add(result.described, arrays)

    def _add_past_the_end(self, result: Any) -> None:
        if not result.outputs:
            return
        self._engine, self._unit = result.engine, result.unit
        if self._readings is not None:
            self._readings.add(result)
        if self._arrays is not None:
            arrays = encode(result, self._served)
            left_out = {NOTES.name, *_OF_CURRENT}
            if result.described >= len(self._cine):  # a window's own outputs are of other frames
                left_out |= {row.name for row in READINGS}
            arrays = {name: array for name, array in arrays.items() if name not in left_out}
            self._arrays.add(result.described, arrays)

    def finish(self) -> Collected:
        """Everything collected so far."""
        absent: dict[str, tuple[str, int]] = {}
        for (name, reason), count in self._absent.items():
            if count > absent.get(name, ("", 0))[1]:
                absent[name] = reason, count
        return Collected(
            rows=tuple(self._rows),
            absent=absent,
            arrays=self._arrays,
            trace=None if self._trace is None else self._trace.finish(),
            readings=None if self._readings is None else self._readings.finish(self._rows, absent),
            engine=self._engine,
            unit=self._unit,
        )
