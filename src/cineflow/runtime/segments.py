"""Segmented engines: a graph cut at our ops, run as engine -> our kernel -> engine.

The steps come from the bundle (`segments/segments.json`). `SegmentedEngine` runs ONNX Runtime
segments on the CPU; engines/tensorrt.py runs the same steps on a card.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import cineflow.ops  # noqa: F401  declares the ops
from cineflow.errors import BundleError, EngineError
from cineflow.ops.dispatch import run
from cineflow.ops.operator import Operator
from cineflow.runtime.bundle import Bundle, file_sha256, graph_inputs, graph_outputs
from cineflow.runtime.checks import check_inputs

SEGMENTS_DIR = "segments"
STEPS_FILE = "segments.json"

#: Runs one step: takes values by name and returns values by name.
Runner = Callable[[Mapping[str, Any]], Mapping[str, Any]]

#: One of our ops. It takes its tensors, its attributes in the order of the step, and `out=`. It may
#: have `workspace_floats(*arguments)`; where that is above 0, it also takes `workspace=`.
Kernel = Callable[..., Any]


@dataclass(frozen=True)
class SegmentStep:
    """One engine or one of our ops.

    Attributes:
        inputs: Names of the values it reads.
        outputs: Names of the values it writes.
        segment: File of the engine's graph; None for an op.
        op: Name of the op ("Warp"); empty for an engine.
        attributes: The op's attributes, in the order in which its kernel takes them.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    segment: Path | None = None
    op: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


def read_steps(bundle: Bundle) -> list[SegmentStep]:
    """The steps of a bundle exported with `--split-ops`.

    Raises:
        BundleError: The bundle was not split, or a file of the steps is missing or changed.
    """
    folder = bundle.path / SEGMENTS_DIR
    remedy = "Export it with --split-ops"
    try:
        text = (folder / STEPS_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise BundleError(f"segments in {bundle.path}", str(error), remedy) from error
    _require_sound(bundle, folder / STEPS_FILE, remedy)
    listed = json.loads(text)
    steps = []
    for item in listed:
        segment = folder / item["segment"] if "segment" in item else None
        if segment is not None:
            _require_sound(bundle, segment, remedy)
        steps.append(
            SegmentStep(
                inputs=tuple(item["inputs"]),
                outputs=tuple(item["outputs"]),
                segment=segment,
                op=item.get("op", ""),
                attributes=item.get("attributes", {}),
            )
        )
    return steps


def _require_sound(bundle: Bundle, file: Path, remedy: str) -> None:
    expected = bundle.manifest["files"].get(f"{SEGMENTS_DIR}/{file.name}", {}).get("sha256")
    if file_sha256(file) != expected:
        raise BundleError(f"{file} with the hash in the manifest", "different content", remedy)


class SegmentedEngine:
    """A split bundle as one engine.

    Args:
        bundle: Exported with `--split-ops`.
        open_segment: Opens one segment's graph.
        ops: Kernel of each op; None takes `kernels()`.
        name: Engine name.

    Raises:
        BundleError: The bundle has no segments.
        EngineError: It needs an op that is missing in `ops`, or a value that no step writes.
    """

    kernels = "cineflow kernels between the segments"

    def __init__(
        self,
        bundle: Bundle,
        open_segment: Callable[[SegmentStep], Runner],
        *,
        ops: Mapping[str, Kernel] | None = None,
        name: str = "onnxruntime-segments",
    ) -> None:
        self.name = name
        self.model = bundle.served_name
        self._inputs = graph_inputs(bundle.spec)
        self._outputs = [tensor.name for tensor in graph_outputs(bundle.spec)]
        steps = read_steps(bundle)
        ops = kernels() if ops is None else ops
        require_complete(steps, [t.name for t in self._inputs], self._outputs, ops)
        self._program = [
            (step, open_segment(step) if step.segment else _op_runner(step, ops[step.op]))
            for step in steps
        ]
        self._last_use = _last_uses(steps, self._outputs)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of the graph, for every input by name.

        Raises:
            ArgumentError: An input does not fit the spec.
            EngineError: A step failed.
        """
        values: dict[str, Any] = dict(check_inputs(self._inputs, inputs))
        for position, (step, runner) in enumerate(self._program):
            values.update(runner({name: values[name] for name in step.inputs}))
            for name in self._last_use[position]:
                del values[name]  # features of a pyramid are large: drop them after their last use
        return {name: values[name] for name in self._outputs}


def kernels() -> Mapping[str, Kernel]:
    """Our ops by the name of their node ("Warp"), for NumPy and CuPy arrays."""
    return {
        "".join(word.capitalize() for word in name.split("_")): DeclaredKernel(operator)
        for name, operator in Operator.declared.items()
    }


class DeclaredKernel:
    """A declared op as a `Kernel`."""

    def __init__(self, operator: Any) -> None:
        self._operator = operator
        self._run = partial(run, operator)

    def __call__(self, *arguments: Any, **memory: Any) -> Any:
        return self._run(*arguments, **memory)

    def workspace_floats(self, *arguments: Any) -> int:
        """What the op needs on a GPU next to its result, in float32 numbers."""
        needs = self._operator.workspace
        return int(needs(*arguments)) if needs is not None else 0


def _op_runner(step: SegmentStep, op: Kernel) -> Runner:
    def run(values: Mapping[str, Any]) -> Mapping[str, Any]:
        tensors = (values[name] for name in step.inputs)
        return {step.outputs[0]: op(*tensors, *step.attributes.values())}

    return run


def require_complete(
    steps: Sequence[SegmentStep],
    inputs: Sequence[str],
    outputs: Sequence[str],
    ops: Mapping[str, Kernel],
) -> None:
    """Raise `EngineError` if a value, an op or an output of the steps is missing."""
    made = set(inputs)
    for step in steps:
        missing = [name for name in step.inputs if name not in made]
        if missing:
            raise EngineError(
                "every value before the step that reads it", f"{missing} not made yet"
            )
        if step.segment is None and step.op not in ops:
            raise EngineError(f"an op of {sorted(ops)}", repr(step.op))
        made.update(step.outputs)
    missing = [name for name in outputs if name not in made]
    if missing:
        raise EngineError(f"steps that make {list(outputs)}", f"no step for {missing}")


def _last_uses(steps: Sequence[SegmentStep], outputs: Sequence[str]) -> list[list[str]]:
    """For each step, the values that no later step reads."""
    last: dict[str, int] = {}
    for position, step in enumerate(steps):
        for name in (*step.inputs, *step.outputs):
            last[name] = position
    grouped: list[list[str]] = [[] for _ in steps]
    for name, position in last.items():
        if name not in outputs:
            grouped[position].append(name)
    return grouped
