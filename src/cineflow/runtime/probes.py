"""Known-answer probes: inputs and results of a bundle's export, run on the engine that will serve.

Runtimes and drivers differ: one version reads linear sampling as nearest, one command gives other
results on another card. A probe shows it before the first patient does. A bundle carries a few
small, seeded inputs and what the reference gave for them, each output with its unit and the largest
difference that is allowed.

    probes.npz   about             JSON: how it was made, and unit and allowance of each output
                 frames            [T, H, W] or [T, D, H, W], for a model of a stream
                 first/NAME        an input that is given with the first frame
                 each/NAME         [T, ...] an input that is given with every frame
                 input/NAME        an input of a call
                 result/STEP/NAME  values of an output after a frame, or of the call (step 0)

The values of a result are every k-th of a large output. Of heat maps they are the peaks in pixels
of the frame, x first: what their tolerance limits.

A bundle may carry the same for larger frames, in `probes-typical.npz`: an engine that was built for
a narrow range of sizes cannot run small ones. The files are listed in the manifest like every
other. They are optional: older bundles have one of them, or none. `probing.py` runs them.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cineflow.errors import ArgumentError
from cineflow.motion.landmarks import peaks

PROBES_FILE = "probes.npz"

#: The same at sizes that engines are tuned for.
TYPICAL_PROBES_FILE = "probes-typical.npz"

#: Most values that are kept of one output after one frame: every k-th of a larger one.
KEPT_VALUES = 16384

#: Outputs by name after one frame, or of a call; None stands for "without this output".
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Allowance:
    """How far an output may be from the known answer.

    Attributes:
        unit: Unit of `allowed`; "share" is the share of values that differ.
        allowed: Largest difference.
        each_step: Added for every further frame: a state carries differences on.
        components: Coordinates of a point, whose distances are compared; 0: each value by itself.
        frame: Sizes of the frame, for heat maps: their peaks are the points. () for other outputs.
        time_axis: Axis of the output along which a window's frames lie, where points are compared.
    """

    unit: str
    allowed: float
    each_step: float = 0.0
    components: int = 0
    frame: tuple[int, ...] = ()
    time_axis: int | None = None

    def compared(self, values: np.ndarray) -> np.ndarray:
        """The values of an output that are stored and compared, in one line.

        Raises:
            ArgumentError, ValueError: Heat maps of a wrong rank, or that are not finite.
        """
        if not self.components:
            return kept(values)
        if self.time_axis is not None:
            values = np.moveaxis(values, self.time_axis, 0)
        if self.frame:
            maps = values.reshape(-1, *values.shape[values.ndim - len(self.frame) :])
            values, _ = peaks(maps, self.frame)
        return np.ascontiguousarray(values).reshape(-1)

    def difference(self, wanted: np.ndarray, output: np.ndarray | None) -> float:
        """How far an output is from the values that were stored, at its worst.

        Infinite where it is missing, of the wrong size or not finite.
        """
        if output is None:
            return math.inf
        try:
            got = self.compared(output)
        except (ArgumentError, ValueError):
            return math.inf
        if got.shape != wanted.shape:
            return math.inf
        if self.unit == "share":
            return float((got != wanted).mean()) if wanted.size else 0.0
        gap = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
        if self.components:
            gap = np.linalg.norm(gap.reshape(-1, self.components), axis=-1)
        worst = float(gap.max(initial=0.0))
        return worst if math.isfinite(worst) else math.inf

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the fields of points only where points are compared."""
        values: dict[str, Any] = {
            "unit": self.unit, "allowed": self.allowed, "each_step": self.each_step
        }  # fmt: skip
        if self.components:
            values |= {
                "components": self.components, "frame": list(self.frame),
                "time_axis": self.time_axis,
            }  # fmt: skip
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Allowance:
        """Read back what `to_dict` wrote, also before points were compared."""
        return cls(**{**values, "frame": tuple(values.get("frame", ()))})


@dataclass(frozen=True)
class Deviation:
    """How far one output was from the known answer, at its worst.

    Attributes:
        output: Its name.
        unit: Unit of the two figures.
        worst: Largest difference; infinite where the output is missing, of the wrong size or NaN.
        allowed: Largest difference that is allowed there.
    """

    output: str
    unit: str
    worst: float
    allowed: float

    @property
    def passed(self) -> bool:
        """Whether the difference is allowed."""
        return self.worst <= self.allowed

    def __str__(self) -> str:
        if math.isinf(self.worst):
            return f"{self.output}: missing, of the wrong size or not finite"
        unit = "of the values differ" if self.unit == "share" else self.unit
        return f"{self.output}: {self.worst:.2g} {unit}, allowed {self.allowed:.2g}"


@dataclass(frozen=True, eq=False)
class Probes:
    """Inputs with known results.

    Attributes:
        allowances: By output name.
        results: The outcomes, one mapping per frame, or one for a call.
        frames: [T, ...] grey levels; None for a call.
        first: Inputs given with the first frame, by name.
        each: Inputs given with every frame, by name, [T, ...].
        inputs: Inputs of the call, by name.
        made_by: What gave the outcomes ("torch 2.13.0").
    """

    allowances: Mapping[str, Allowance]
    results: Sequence[Arrays]
    frames: np.ndarray | None = None
    first: Arrays = field(default_factory=dict)
    each: Arrays = field(default_factory=dict)
    inputs: Arrays = field(default_factory=dict)
    made_by: str = ""

    def steps(self) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Each frame of the stream, with the inputs that are given with it."""
        assert self.frames is not None
        for step, frame in enumerate(self.frames):
            given = {name: values[step] for name, values in self.each.items()}
            yield frame, given | (dict(self.first) if step == 0 else {})

    def judge(self, outcomes: Sequence[Arrays]) -> list[Deviation]:
        """The worst deviation of each output, over all frames.

        Args:
            outcomes: Outputs by name after each frame, or of the call.
        """
        worst: dict[str, Deviation] = {}
        for step, known in enumerate(self.results):
            for name, wanted in known.items():
                how = self.allowances[name]
                got = outcomes[step].get(name)
                found = Deviation(
                    name, how.unit, how.difference(wanted, got), how.allowed + step * how.each_step
                )
                if name not in worst or _excess(found) > _excess(worst[name]):
                    worst[name] = found
        return list(worst.values())

    def to_bytes(self) -> bytes:
        """The content of `probes.npz`; equal probes give equal bytes."""
        about = {
            "made_by": self.made_by,
            "outputs": {name: how.to_dict() for name, how in self.allowances.items()},
        }
        arrays: dict[str, Any] = {"about": np.array(json.dumps(about, sort_keys=True))}
        if self.frames is not None:
            arrays["frames"] = self.frames
        for part, group in (("first", self.first), ("each", self.each), ("input", self.inputs)):
            arrays |= {f"{part}/{name}": array for name, array in group.items()}
        for step, result in enumerate(self.results):
            arrays |= {f"result/{step}/{name}": values for name, values in result.items()}
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        return content.getvalue()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Probes:
        """Read back what `to_bytes` wrote.

        Raises:
            KeyError, ValueError, TypeError: The arrays are not those of probes.
        """
        about = json.loads(str(arrays["about"]))
        groups: dict[str, dict[str, np.ndarray]] = {"first": {}, "each": {}, "input": {}}
        results: dict[int, dict[str, np.ndarray]] = {}
        for key, array in arrays.items():
            part, _, rest = key.partition("/")
            if part in groups:
                groups[part][rest] = array
            elif part == "result":
                step, _, name = rest.partition("/")
                results.setdefault(int(step), {})[name] = array
        frames = arrays.get("frames")
        steps = 1 if frames is None else len(frames)
        return cls(
            allowances={name: Allowance.from_dict(how) for name, how in about["outputs"].items()},
            results=[results.get(step, {}) for step in range(steps)],
            frames=frames,
            first=groups["first"],
            each=groups["each"],
            inputs=groups["input"],
            made_by=about["made_by"],
        )


def kept(values: np.ndarray) -> np.ndarray:
    """The values of an output that are stored and compared, in one line."""
    flat = np.ascontiguousarray(values).reshape(-1)
    return flat[:: -(-flat.size // KEPT_VALUES) or 1]


def _excess(one: Deviation) -> float:
    """How much of what is allowed a deviation uses; above 1 it fails."""
    if one.worst == 0:
        return 0.0
    return one.worst / one.allowed if one.allowed > 0 else math.inf
