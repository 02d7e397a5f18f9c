"""What of a stream stays on a card: the flow that a model gives, and what is read off it.

Flow and displacement come to host memory when somebody reads them off a result or takes the
stream's state out.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from cineflow.ops.held import Card, stays
from cineflow.runtime.engine import Engine
from cineflow.served import Output, Result
from cineflow.spec import ModelSpec, Role

T = TypeVar("T")


def flow_on_card(engine: Engine, spec: ModelSpec) -> tuple[Card | None, tuple[str, ...]]:
    """The card that an engine can leave the flow on, and the output's name.

    Returns:
        (None, ()) where it cannot, or where the flow would have to be converted: to f32, to pixels,
        to x first, or from several frames to one.
    """
    card: Card | None = getattr(engine, "card", None)
    tensor = spec.output_of(Role.FLOW)
    if card is None or tensor is None:
        return None, ()
    ready = tensor.dtype == "float32" and tensor.unit == "px" and tensor.time_axis is None
    sorted_ = tuple(tensor.components) == tuple(sorted(tensor.components))
    return (card, (tensor.name,)) if ready and sorted_ else (None, ())


class _Read:
    """An attribute whose array comes to host memory when it is read."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, one: Any, owner: type) -> Any:
        values = vars(one)
        value = values[self._name]
        if stays(value):
            value = values[self._name] = np.asarray(value)
        return value

    def __set__(self, one: Any, value: Any) -> None:
        vars(one)[self._name] = value


class _ResultOnCard(Result):
    flow = _Read()
    displacement = _Read()


class _OutputOnCard(Output):
    values = _Read()


def read_on_request(result: Result) -> Result:
    """`result`; what of it is held on a card is fetched where it is read."""
    if not stays(result.flow) and not stays(result.displacement):
        return result
    outputs = {
        name: _as(_OutputOnCard, one) if stays(one.values) else one
        for name, one in result.outputs.items()
    }
    return _as(_ResultOnCard, result, outputs=outputs)


def _as(kind: type[T], one: object, **values: Any) -> T:
    copy: T = object.__new__(kind)
    vars(copy).update(vars(one), **values)
    return copy
