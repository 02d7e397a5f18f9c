"""What the ops refuse, before any work, and the message."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from cineflow import ops
from cineflow.errors import ArgumentError
from tests.op_calls import OPS, ROWS, Op, make_call

EACH_OP = pytest.mark.parametrize("op", ROWS.values(), ids=ROWS)
MAP = np.zeros((1, 3, 4, 5), np.float32)


def good(op: Op) -> dict[str, Any]:
    """The arguments of a good call on images [1, 3, 4, 5]."""
    call = make_call(op, shape=MAP.shape)
    return call.inputs | call.words


def test_every_public_function_has_its_row() -> None:
    functions = {name for name, value in vars(ops).items() if callable(value)}
    # Grids, and what is made of other ops: tests/ops/test_scan_convert.py.
    others = {"PolarGrid", "ProbeGeometry", "VolumeGeometry", "scan_mask", "scan_unconvert"}
    others |= {"CorrelationBlock", "pyramid_level"}  # tests/ops/test_correlation_pyramid.py
    assert functions - others == set(OPS)


@EACH_OP
def test_a_good_call_is_not_refused(op: Op) -> None:
    getattr(ops, op.name)(**good(op))


@pytest.mark.parametrize(
    ("op", "changes", "wanted"),
    [
        pytest.param(op, changes, wanted, id=f"{op.label}-{'-'.join(changes)}-{wanted}")
        for op in ROWS.values()
        for changes, wanted in op.refusals
    ],
)
def test_bad_arguments_are_refused(op: Op, changes: Mapping[str, Any], wanted: str) -> None:
    with pytest.raises(ArgumentError, match=wanted):
        getattr(ops, op.name)(**good(op) | changes)


@EACH_OP
def test_out_in_the_memory_of_an_input_is_refused(op: Op) -> None:
    call = make_call(op, shape=MAP.shape)
    name, first = next(iter(call.inputs.items()))
    memory = np.zeros(first.size + math.prod(call.shape), np.float32)
    out = memory[first.size - 1 : -1].reshape(call.shape)
    arguments = good(op) | {name: memory[: first.size].reshape(first.shape), "out": out}
    with pytest.raises(ArgumentError, match="overlaps no input"):
        getattr(ops, op.name)(**arguments)


@EACH_OP
def test_a_read_only_out_is_refused(op: Op) -> None:
    out = np.zeros(make_call(op, shape=MAP.shape).shape, np.float32)
    out.setflags(write=False)
    with pytest.raises(ArgumentError, match="may be written"):
        getattr(ops, op.name)(**good(op), out=out)


#: Values that no argument takes, although Python converts some of them.
NOTHING = (None, True, np.True_, "x", "4", b"4", 1j, [1], {}, (None, 0), (4, True), object())


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize(
    ("op", "argument"),
    [
        pytest.param(op, argument, id=f"{op.label}-{argument}")
        for op in ROWS.values()
        for argument in (*good(op), "out")
    ],
)
def test_an_argument_of_a_wrong_type_is_refused_by_its_name(op, argument, kind):
    given = good(op)
    if kind == "torch":
        torch = pytest.importorskip("torch")
        arrays = {n: v for n, v in given.items() if isinstance(v, np.ndarray)}
        given = given | {name: torch.from_numpy(array) for name, array in arrays.items()}
    getattr(ops, op.name)(**given)
    for wrong in (*NOTHING, *op.wrong.get(argument, ())):
        if wrong is None and argument == "out":
            continue
        if isinstance(wrong, (bool, np.bool_)) and isinstance(given.get(argument), bool):
            continue  # a flag
        with pytest.raises(ArgumentError) as refused:
            getattr(ops, op.name)(**{**given, argument: wrong})
        assert argument in refused.value.wanted, wrong


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize(
    ("op", "changes"),
    [
        pytest.param(op, changes, id=f"{op.label}-{changes}")
        for op in ROWS.values()
        for changes in op.huge
    ],
)
def test_a_result_that_is_too_large_is_refused_before_memory_is_allocated(op, changes, kind):
    def array(shape: tuple[int, ...]) -> Any:
        """An array of any size in the memory of one number."""
        if kind == "numpy":
            return np.broadcast_to(np.float32(0), shape)
        return pytest.importorskip("torch").zeros(()).expand(shape)

    arguments = good(op) | changes
    arguments |= {
        name: array(value if isinstance(value := arguments[name], tuple) else value.shape)
        for name in op.tensors
    }
    what = r"((planes|volumes) of fewer than 2147483648 elements|sides below 16777216)"
    wanted = rf"(out|grid) with {what}"
    with pytest.raises(ArgumentError, match=wanted):
        getattr(ops, op.name)(**arguments)


GRID = {"angles": 8, "radii": 5, "last_radius": 4.0}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"angles": 0}, "at least 1 x 1 samples"),
        ({"angles": 8.0}, "at least 1 x 1 samples"),
        ({"sweep": 7.0}, "two pi"),
        ({"last_radius": 0.0}, "radii that differ"),
        ({"angles": 2**24}, "grid with sides below 16777216"),
        ({"angles": 10**400}, "grid with sides below 16777216"),
    ],
    ids=str,
)
def test_a_bad_grid_is_refused(changes, wanted):
    with pytest.raises(ArgumentError, match=wanted):
        ops.PolarGrid(**(GRID | changes))


@pytest.mark.parametrize(
    "argument", ["angles", "radii", "last_radius", "first_radius", "first_angle", "sweep"]
)
def test_a_grid_is_made_of_numbers(argument):
    counts = argument in ("angles", "radii")
    for wrong in (*NOTHING, *((2.5, np.float32(2)) if counts else (10**400,))):
        with pytest.raises(ArgumentError, match="1 x 1 samples" if counts else argument):
            ops.PolarGrid(**(GRID | {argument: wrong}))


def test_a_grid_keeps_floats():
    grid = ops.PolarGrid(8, 5, last_radius=Decimal(4), sweep=np.array(2 * math.pi))
    assert grid == ops.PolarGrid(**GRID)
    assert {grid} == {pickle.loads(pickle.dumps(grid))}
    assert grid.is_full_circle is True


def test_any_real_number_is_a_scale():
    ones = MAP + 1
    half = ops.correlation(ones, ones, scale=0.5)
    np.testing.assert_array_equal(ops.correlation(ones, ones, scale=np.float32(0.5)), half)


@pytest.mark.parametrize(("word", "factor"), [("mean", 1 / 3), ("sqrt", 3**-0.5)])
def test_the_words_of_scale_are_factors_of_the_channels(word, factor):
    ones = MAP + 1
    given = ops.correlation(ones, ones, scale=factor)
    np.testing.assert_array_equal(ops.correlation(ones, ones, scale=word), given)
