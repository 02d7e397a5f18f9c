"""Hypothesis strategies for the table of ops."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.op_calls import Call, Op, make_call
from tests.op_calls._values import SIDES

BATCHES, CHANNELS = range(3), range(1, 20)


@st.composite
def calls(
    draw: Any, op: Op, storages: tuple[str, ...], layouts: tuple[str, ...], outputs: tuple[str, ...]
) -> Call:
    """Random calls of `op`; storage type and layout are drawn for each tensor.

    Args:
        draw: Hypothesis's.
        op: The op.
        storages: Of the images.
        layouts: Of the inputs.
        outputs: Layouts of a result that the caller gives; empty where none can be given.
    """

    def pick(values: Any) -> Any:
        return draw(st.sampled_from(values))

    storage = pick([name for name in op.storages if name in storages])
    layout = dict.fromkeys(op.tensors, pick(layouts))
    if draw(st.booleans()):
        layout = {name: pick(layouts) for name in op.tensors}
    if outputs and draw(st.booleans()):
        layout["out"] = pick(outputs)
    return make_call(
        op,
        op.choose(pick),
        shape=(pick(BATCHES), pick(CHANNELS), pick(SIDES[0]), pick(SIDES[1])),
        seed=draw(st.integers(0, 2**32 - 1)),
        storage=storage,
        layout=layout,
        holes=storage != "uint8" and draw(st.booleans()),
    )
