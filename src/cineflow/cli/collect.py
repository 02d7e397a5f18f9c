"""Collecting what a stream gives: rows of numbers, whole arrays, and what the report draws."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cineflow.cine import Cine, Geometry
from cineflow.motion.quality_grey import grey_factor, lowered
from cineflow.report import (
    Panel,
    Readings,
    ReadingsRecorder,
    ResultFile,
    Row,
    Trace,
    TraceRecorder,
    View,
    numbers_of,
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
        panels: Of volumes: the same for each plane that is drawn; `readings` are the first one's.
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
    panels: tuple[Panel, ...] = ()


@dataclass(frozen=True, eq=False)
class Slice:
    """One plane of volumes that the report draws.

    Attributes:
        view: Which slice it is.
        cine: That slice over time.
        geometry: From its pixels to those of the same slice of the model's volumes.
    """

    view: View
    cine: Cine
    geometry: Geometry


class Collector:
    """Collects results frame by frame.

    Args:
        cine: The clip, in its own pixels.
        geometry: From those pixels to the model's.
        spec: The model.
        keep: Whether whole arrays are kept.
        slices: Of volumes: the planes that are drawn, the one of `cine` first.
    """

    def __init__(
        self,
        cine: Cine,
        geometry: Geometry,
        spec: ModelSpec,
        *,
        keep: bool,
        slices: Sequence[Slice] = (),
    ) -> None:
        self._cine = cine
        self._geometry = geometry
        self._spec = spec
        self._served: Mapping[str, Any] = json.loads(spec.to_json())
        tracks = has_reading(self._served, "quality_parts")
        self._trace = TraceRecorder(cine, scale=_scale(geometry)) if tracks else None
        self._slices = slices
        self._recorders: list[ReadingsRecorder] = []
        if not tracks:
            self._recorders = [
                ReadingsRecorder(one.cine, one.geometry, spec, one.view) for one in slices
            ] or [ReadingsRecorder(cine, geometry, spec)]
        self._arrays = ResultFile() if keep else None
        self._grey = grey_factor(cine.frames, cine.sector)
        self._rows: list[Row] = []
        self._absent: Counter[tuple[str, str]] = Counter()
        self._engine = self._unit = ""

    def add(self, result: Any) -> None:
        """Add the next frame's `Result`, the client's or this package's.

        A frame past the clip's end only fills its last window. It has no row, and of its result
        only what describes the clip's frames is kept.

        Of a clip with few grey levels, the quality is lowered by `quality_grey`.
        """
        if self._grey > 1 and result.quality_parts is not None:
            parts = lowered(result.quality_parts, self._grey)
            result = replace(result, quality_parts=parts)
        if result.current >= len(self._cine):
            self._add_past_the_end(result)
            return
        self._engine, self._unit = result.engine, result.unit
        time_ms = float(self._cine.times_ms[result.current])
        self._rows.append(scalars_of(result, self._spec, time_ms))
        self._add_numbers(result)
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
        for recorder in self._recorders:
            recorder.add(result)
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
        self._add_numbers(result)
        for recorder in self._recorders:
            recorder.add(result)
        if self._arrays is not None:
            arrays = encode(result, self._served)
            left_out = {NOTES.name, *_OF_CURRENT}
            if result.described >= len(self._cine):  # a window's own outputs are of other frames
                left_out |= {row.name for row in READINGS}
            arrays = {name: array for name, array in arrays.items() if name not in left_out}
            self._arrays.add(result.described, arrays)

    def _add_numbers(self, result: Any) -> None:
        """Single numbers stand in the row of the frame that they belong to."""
        for index, cells in numbers_of(result, self._spec).items():
            if 0 <= index < len(self._rows):
                self._rows[index] |= cells

    def finish(self) -> Collected:
        """Everything collected so far."""
        absent: dict[str, tuple[str, int]] = {}
        for (name, reason), count in self._absent.items():
            if count > absent.get(name, ("", 0))[1]:
                absent[name] = reason, count
        found = [recorder.finish(self._rows, absent) for recorder in self._recorders]
        pairs = zip(self._slices, found, strict=False)
        return Collected(
            rows=tuple(self._rows),
            absent=absent,
            arrays=self._arrays,
            trace=None if self._trace is None else self._trace.finish(),
            readings=found[0] if found else None,
            engine=self._engine,
            unit=self._unit,
            panels=tuple(Panel(one.view, one.cine, readings) for one, readings in pairs),
        )


def _scale(geometry: Geometry) -> float:
    """Pixels of the model's picture for each of the clip; rounding makes the axes differ."""
    return sum(geometry.scale) / 2
