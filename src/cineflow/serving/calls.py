"""Calls of a stateless model: requests that fit together run as one batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from cineflow.errors import ArgumentError, CineflowError
from cineflow.runtime.engine import Engine
from cineflow.runtime.readings import checked_outputs
from cineflow.served import misplaced_points
from cineflow.spec import ModelSpec

Arrays = Mapping[str, np.ndarray]


class CallRunner:
    """Runs the calls of one model.

    Args:
        engine: Runs the model.
        spec: The model; its feed is a call.
        batch_limit: Largest batch; 0 where the model's tensors have no batch axis.
    """

    def __init__(self, engine: Engine, spec: ModelSpec, batch_limit: int) -> None:
        self._engine = engine
        self._spec = spec
        self._inputs = json.loads(spec.to_json())["inputs"]
        self._batch_limit = batch_limit

    def run(self, calls: Sequence[Arrays]) -> list[dict[str, np.ndarray] | CineflowError]:
        """The outputs of each call in order, or its error. An error concerns its own call only."""
        results: list[dict[str, np.ndarray] | CineflowError | None] = [None] * len(calls)
        groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for position, arrays in enumerate(calls):
            try:
                self._check(arrays)
            except CineflowError as error:
                results[position] = error
                continue
            groups.setdefault(self._kind(arrays, position), []).append(position)
        for members in groups.values():
            for part in self._within_limit(members, calls):
                for position, result in zip(
                    part, self._together([calls[k] for k in part]), strict=True
                ):
                    results[position] = result
        return [result for result in results if result is not None]

    def _check(self, arrays: Arrays) -> None:
        wanted = [tensor.name for tensor in self._spec.inputs]
        if missing := [name for name in wanted if name not in arrays]:
            raise ArgumentError(f"the inputs {wanted}", f"no {missing}", "Send all of them")
        sizes: dict[str, int] = {}
        for tensor in self._spec.inputs:
            tensor.check(arrays[tensor.name], sizes)
            if arrays[tensor.name].dtype.kind == "f" and not np.isfinite(arrays[tensor.name]).all():
                raise ArgumentError(
                    f"{tensor.name}: finite values",
                    "NaN or infinite values",
                    "Give a number for every value.",
                )
        if wrong := misplaced_points(self._inputs, arrays):
            raise ArgumentError(
                "points inside their pictures, apart from one another",
                wrong,
                "Points are in pixels of the pictures that are sent, x first.",
            )

    def _kind(self, arrays: Arrays, position: int) -> tuple[tuple[int, ...], ...]:
        """Calls of one kind can run together: equal shapes but for the batch."""
        if not self._batch_limit:
            return ((position,),)
        return tuple(arrays[tensor.name].shape[1:] for tensor in self._spec.inputs)

    def _within_limit(self, members: Sequence[int], calls: Sequence[Arrays]) -> list[list[int]]:
        first = self._spec.inputs[0].name
        parts: list[list[int]] = []
        rows = 0
        for position in members:
            count = len(calls[position][first]) if self._batch_limit else 1
            if not parts or not self._batch_limit or rows + count > self._batch_limit:
                parts.append([])
                rows = 0
            parts[-1].append(position)
            rows += count
        return parts

    def _together(self, calls: Sequence[Arrays]) -> list[dict[str, np.ndarray] | CineflowError]:
        try:
            if len(calls) == 1:
                return [self._outputs(calls[0])]
            names = [tensor.name for tensor in self._spec.inputs]
            outputs = self._outputs(
                {name: np.concatenate([c[name] for c in calls]) for name in names}
            )
            ends = np.cumsum([len(call[names[0]]) for call in calls])[:-1]
            split = {name: np.split(array, ends) for name, array in outputs.items()}
            return [{name: parts[k] for name, parts in split.items()} for k in range(len(calls))]
        except CineflowError as error:
            if len(calls) == 1:
                return [error]
        # One call may have spoiled the batch for the others.
        return [self._together([call])[0] for call in calls]

    def _outputs(self, arrays: Arrays) -> dict[str, np.ndarray]:
        return checked_outputs(self._spec, self._engine.run(arrays))
