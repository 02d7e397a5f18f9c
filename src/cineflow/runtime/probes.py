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

The file is listed in the manifest like every other. It is optional: older bundles have none.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cineflow.errors import BundleError, EngineError, ProfileError
from cineflow.runtime.bundle import Bundle, file_sha256
from cineflow.runtime.engine import Engine
from cineflow.runtime.stream import Stream
from cineflow.spec import ModelSpec

PROBES_FILE = "probes.npz"

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
    """

    unit: str
    allowed: float
    each_step: float = 0.0


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
                    name, how.unit, _difference(wanted, got, how.unit),
                    how.allowed + step * how.each_step,
                )  # fmt: skip
                if name not in worst or _excess(found) > _excess(worst[name]):
                    worst[name] = found
        return list(worst.values())

    def to_bytes(self) -> bytes:
        """The content of `probes.npz`; equal probes give equal bytes."""
        about = {
            "made_by": self.made_by,
            "outputs": {
                name: {"unit": how.unit, "allowed": how.allowed, "each_step": how.each_step}
                for name, how in self.allowances.items()
            },
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
            allowances={name: Allowance(**how) for name, how in about["outputs"].items()},
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


def read_probes(bundle: Bundle) -> Probes | None:
    """The probes of a bundle; None where it was written without.

    Raises:
        BundleError: The file differs from the manifest, or cannot be read.
    """
    entry = bundle.manifest["files"].get(PROBES_FILE)
    if entry is None:
        return None
    file = bundle.path / PROBES_FILE
    digest = file_sha256(file)
    remedy = "Export it again: `cineflow export NAME --out DIR`"
    if digest != entry["sha256"]:
        raise BundleError(
            f"{PROBES_FILE} with SHA-256 {entry['sha256'][:12]}..., as its manifest says",
            f"{digest[:12]}... in {bundle.path}",
            remedy,
        )
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return Probes.from_arrays(dict(arrays))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise BundleError(
            f"probes in {file}", f"{type(error).__name__}: {error}", remedy
        ) from error


def run_probes(probes: Probes, engine: Engine, spec: ModelSpec) -> list[Arrays]:
    """What an engine gives for the inputs of the probes, through a `Stream` where frames come."""
    if probes.frames is None:
        return [engine.run(probes.inputs)]
    stream = Stream(engine, spec)
    return [
        {
            name: output.values
            for name, output in stream.push(frame, given=given).outputs.items()
        }
        for frame, given in probes.steps()
    ]  # fmt: skip


def require_probes(
    bundle: Bundle, engine: Engine, warn: Callable[[str], None] = lambda message: None
) -> list[Deviation]:
    """Run a bundle's probes on the engine that will serve it.

    Args:
        bundle: The model.
        engine: It is open and ready.
        warn: Called with a sentence where nothing could be proven: the bundle has no probes, or the
            engine was built for other sizes.

    Returns:
        The deviation of each output; empty where nothing could be proven.

    Raises:
        EngineError: An output differs by more than is allowed, or the engine fails.
        BundleError: The probes are damaged.
    """
    probes = read_probes(bundle)
    if probes is None:
        warn(f"{bundle.served_name} has no probes; export it again to get some")
        return []
    try:
        outcomes = run_probes(probes, engine, bundle.spec)
    except ProfileError as error:
        warn(f"{bundle.served_name} was not probed: {error}")
        return []
    deviations = probes.judge(outcomes)
    require_passed(deviations, bundle.served_name, engine.name)
    return deviations


def require_passed(deviations: Sequence[Deviation], model: str, engine: str) -> None:
    """Raise `EngineError` with every deviation that is not allowed."""
    if failed := [str(one) for one in deviations if not one.passed]:
        raise EngineError(
            f"{engine} to give the known results of {model}",
            "; ".join(failed),
            "Do not serve with it. Undo the last change of driver or runtime, build the engine "
            "again, or choose another runtime",
        )


def _difference(wanted: np.ndarray, got: np.ndarray | None, unit: str) -> float:
    if got is None:
        return math.inf
    values = kept(got)
    if values.shape != wanted.shape:
        return math.inf
    if unit == "share":
        return float((values != wanted).mean()) if wanted.size else 0.0
    gap = np.abs(values.astype(np.float64) - wanted.astype(np.float64)).max(initial=0.0)
    return float(gap) if np.isfinite(gap) else math.inf


def _excess(one: Deviation) -> float:
    """How much of what is allowed a deviation uses; above 1 it fails."""
    if one.worst == 0:
        return 0.0
    return one.worst / one.allowed if one.allowed > 0 else math.inf
