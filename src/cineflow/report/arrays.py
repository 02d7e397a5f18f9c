"""What the arrays of a result file are: unit, frame, role and names of each."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from cineflow.served import INDICES, READINGS, Quality, raw_outputs
from cineflow.spec import ModelSpec

#: Unit of a reading where all its values have one. Those of lengths and areas depend on the stream.
_UNITS = {"flow": "px", "displacement": "px", "points": "px", "confidence": "1", "strain": "1"}

#: What the columns of a reading are.
_COLUMNS = {
    "quality_parts": [part.name for part in fields(Quality)],
    "beat_info": ["number", "cause", "delay_frames", "rhythm", "drift_px"],
}


def described_arrays(spec: ModelSpec, unit: str) -> dict[str, dict[str, Any]]:
    """What each array of a stream's result file is, by name.

    An output that is a reading under another name (a flow) has only `array`, the reading's name.

    Args:
        spec: The model.
        unit: Unit of the lengths: "mm" or "px".
    """
    served = json.loads(spec.to_json())
    about: dict[str, dict[str, Any]] = {INDICES.name: {"unit": "frame", "meaning": INDICES.meaning}}
    raw = {item["name"] for item in raw_outputs(served)}
    for item in served["outputs"]:
        if item["name"] in raw:
            about[item["name"]] = described_output(item)
        elif item["name"] != item["role"]:
            about[item["name"]] = {"array": item["role"]}
    units = {**_UNITS, "lengths": unit, "areas": f"{unit}^{spec.feed.rank}"}
    for row in READINGS:
        if not row.lacks(served):
            about[row.name] = {"unit": units.get(row.name, ""), "meaning": row.meaning}
            if row.name in _COLUMNS:
                about[row.name]["names"] = _COLUMNS[row.name]
    return about


def described_output(item: dict[str, Any]) -> dict[str, Any]:
    """What an output is, from its entry in the spec's JSON form."""
    kept = ("unit", "frame", "role", "names", "places", "components", "time_axis", "description")
    return {key: item[key] for key in kept if item.get(key) not in (None, "", [])}
