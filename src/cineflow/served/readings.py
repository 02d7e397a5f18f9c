"""What a stream reads off the outputs of a model: one row for each reading.

A new reading is one row of `READINGS` and its attribute in `Result`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from cineflow.served.results import BeatInfo, Cause, Quality, Rhythm

#: A ModelSpec in its JSON form.
Spec = Mapping[str, Any]


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


_PARTS = tuple(part.name for part in fields(Quality))
#: Parts of the quality that are None where they are not measured; the others are NaN then.
_OPTIONAL_PARTS = ("appearance", "temporal_px", "forward_backward_px")


def _unpack_quality(values: np.ndarray) -> Quality:
    parts = dict(zip(_PARTS, values.tolist(), strict=True))
    for name in _OPTIONAL_PARTS:
        parts[name] = _measured(parts[name])
    return Quality(**parts)


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


def has_reading(spec: Spec, name: str) -> bool:
    """Whether a model has the reading `name` (`Result`'s attribute) at all."""
    return any(row.name == name and not row.lacks(spec) for row in READINGS)


def lacking(spec: Spec) -> dict[str, str]:
    """Why a model does not have the readings that it does not have, by name."""
    return {row.name: reason for row in READINGS if (reason := row.lacks(spec))}
