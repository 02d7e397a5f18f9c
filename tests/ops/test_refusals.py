"""What the ops refuse, before any work, and how they say it."""

from __future__ import annotations

import math
import pickle
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from cineflow import ops
from cineflow.errors import ArgumentError


def zeros(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


GRID = ops.PolarGrid(8, 5, last_radius=4.0)
MAP = zeros(1, 3, 4, 5)
FLOW = zeros(1, 2, 4, 5)
POLAR = zeros(1, 3, 8, 5)


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: ops.compose_flow(FLOW, zeros(2, 2, 4, 5)), "displacement's batch"),
        (lambda: ops.compose_flow(MAP, FLOW), "displacement with 2 .x and y."),
        (lambda: ops.compose_flow(FLOW, FLOW.astype("float16")), "flow of dtype float32"),
        (lambda: ops.compose_flow(FLOW, FLOW, out=FLOW), "apart from every input"),
        (lambda: ops.correlation(MAP, zeros(1, 2, 4, 5)), "f1's channels"),
        (lambda: ops.correlation(MAP, MAP.astype("float16")), "f2 of dtype float32"),
        (lambda: ops.correlation(MAP.astype("uint8"), MAP), "f1 of dtype float32"),
        (lambda: ops.correlation(MAP, MAP, radius=33), "radius in 0..32"),
        (lambda: ops.correlation(MAP, MAP, radius=-1), "radius in 0..32"),
        (lambda: ops.correlation(MAP, MAP, dilation=0), "dilation in 1..16"),
        (lambda: ops.correlation(MAP, MAP, radius=2.0), "radius in 0..32; got 2.0"),
        (lambda: ops.correlation(MAP, MAP, radius=None), "radius in 0..32; got None"),
        (lambda: ops.correlation(MAP, MAP, dilation=2**40), "dilation in 1..16"),
        (lambda: ops.correlation(MAP, MAP, dilation=1.5), "dilation in 1..16; got 1.5"),
        (lambda: ops.correlation(MAP, MAP, scale=1e300), "scale in"),
        (lambda: ops.correlation(MAP, MAP, scale=np.ones(3)), '"mean", "sqrt"'),
        (lambda: ops.correlation(MAP, MAP, order=np.ones(3)), '"yx" or "xy"'),
        (lambda: ops.warp(MAP, FLOW, border=None), '"zeros" or "clamp"'),
        (lambda: ops.warp(MAP, FLOW, border=np.array(["zeros", "x"])), '"zeros" or "clamp"'),
        (lambda: ops.correlation(MAP, MAP, scale="sum"), '"mean", "sqrt"'),
        (lambda: ops.correlation(MAP, MAP, scale=math.nan), '"mean", "sqrt"'),
        (lambda: ops.correlation(MAP, MAP, order="zz"), '"yx" or "xy"'),
        (lambda: ops.correlation(MAP, MAP, out=MAP), r".2 radius . 1.\^2"),
        (lambda: ops.warp_correlation(MAP, MAP, zeros(1, 2, 4, 6)), "f1's width"),
        (lambda: ops.polar_resample(MAP[0], (0, 0), GRID), "N, C, rows, columns"),
        (lambda: ops.polar_resample(MAP, zeros(3, 2), GRID), "src's batch, or 1"),
        (lambda: ops.polar_resample(MAP, zeros(1, 3), GRID), "x and y"),
        (lambda: ops.polar_resample(MAP, (0, 0), GRID, scale=math.inf), "scale in"),
        (lambda: ops.polar_unresample(MAP, (0, 0), GRID, (9, 9)), "the grid's"),
        *(
            (lambda size=size: ops.polar_unresample(POLAR, (0, 0), GRID, size), "two whole numbers")
            for size in (4, (4, 4, 4), (4.0, 4))
        ),
        *(
            (lambda centre=centre: ops.polar_resample(MAP, centre, GRID), wanted)
            for centre, wanted in (
                ((0,), r"centre as \(x, y\)"),
                ((0, 0, 7), r"centre as \(x, y\)"),
                (("a", 0), "centre's x as a number"),
            )
        ),
        (lambda: ops.polar_resample(MAP, (0, 0), GRID, scale="x"), "scale as a number"),
        (lambda: ops.PolarGrid(0, 5, last_radius=4.0), "1 x 1 samples at least"),
        (lambda: ops.PolarGrid(8.0, 5, last_radius=4.0), "1 x 1 samples at least"),
        (lambda: ops.PolarGrid(8, 5, last_radius=4.0, sweep=7.0), "two pi"),
        (lambda: ops.PolarGrid(8, 5, last_radius=0.0), "radii that differ"),
    ],
)
def test_bad_arguments_are_refused_with_what_was_wanted(call, wanted):
    with pytest.raises(ArgumentError, match=wanted):
        call()


MATCHING = {"radius": 4, "dilation": 1, "scale": "mean", "order": "yx"}
POLAR_OPTIONS = {"centre": (0, 0), "grid": GRID, "border": "zeros", "scale": 1.0, "offset": 0.0}

#: A good call of each function, by the names of its arguments.
GOOD: dict[str, dict[str, Any]] = {
    "warp": {"src": MAP, "flow": FLOW, "border": "zeros"},
    "compose_flow": {"displacement": FLOW, "flow": FLOW, "border": "zeros"},
    "correlation": {"f1": MAP, "f2": MAP} | MATCHING,
    "warp_correlation": {"f1": MAP, "f2": MAP, "flow": FLOW, "border": "zeros"} | MATCHING,
    "polar_resample": {"src": MAP} | POLAR_OPTIONS,
    "polar_unresample": {"src": POLAR, "size": (4, 4)} | POLAR_OPTIONS,
}

#: What no argument may be, whatever it is for, and Python makes something of here and there.
NOTHING = (None, True, np.True_, "x", "4", b"4", 1j, [1], {}, (None, 0), (4, True), object())

#: Wrong for an argument of that name only.
WRONG: dict[str, tuple[Any, ...]] = {
    "radius": (2.5, np.float32(2), np.ones(3)),
    "dilation": (2.5, np.ones(3)),
    "scale": (10**400, math.inf, np.ones(3)),
    "offset": (10**400, math.nan, np.ones(3)),
    "border": (3, np.ones(3)),
    "order": (3, np.ones(3)),
    "grid": (3, np.ones(3)),
    "centre": (3, [0, 0], (10**400, 0), (np.ones(2), 0)),
    "size": (4, [4, 4], (4, 4.0), (4, np.ones(2)), np.ones(2)),
}


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize(
    ("op", "argument"), [(op, argument) for op in GOOD for argument in (*GOOD[op], "out")]
)
def test_an_argument_of_a_wrong_type_is_refused_by_its_name(op, argument, kind):
    given = GOOD[op]
    if kind == "torch":
        torch = pytest.importorskip("torch")
        arrays = {n: v for n, v in given.items() if isinstance(v, np.ndarray)}
        given = given | {name: torch.from_numpy(array) for name, array in arrays.items()}
    getattr(ops, op)(**given)
    for wrong in (*NOTHING, *WRONG.get(argument, ())):
        if wrong is None and argument == "out":
            continue
        with pytest.raises(ArgumentError) as refused:
            getattr(ops, op)(**{**given, argument: wrong})
        assert argument in refused.value.wanted, wrong


@pytest.mark.parametrize(
    "argument", ["angles", "radii", "last_radius", "first_radius", "first_angle", "sweep"]
)
def test_a_grid_is_made_of_numbers(argument):
    counts = argument in ("angles", "radii")
    for wrong in (*NOTHING, *((2.5, np.float32(2)) if counts else (10**400,))):
        with pytest.raises(ArgumentError, match="1 x 1 samples" if counts else argument):
            ops.PolarGrid(**{"angles": 8, "radii": 5, "last_radius": 4.0, argument: wrong})


def test_a_grid_keeps_floats():
    grid = ops.PolarGrid(8, 5, last_radius=Decimal(4), sweep=np.array(2 * math.pi))
    assert grid == ops.PolarGrid(8, 5, last_radius=4.0)
    assert {grid} == {pickle.loads(pickle.dumps(grid))}
    assert grid.is_full_circle is True


def test_any_real_number_is_a_scale():
    ones = MAP + 1
    half = ops.correlation(ones, ones, scale=0.5)
    np.testing.assert_array_equal(ops.correlation(ones, ones, scale=np.float32(0.5)), half)


def vast(kind: str, shape: tuple[int, ...]) -> Any:
    """An array of any size in the memory of one number."""
    if kind == "numpy":
        return np.broadcast_to(np.float32(0), shape)
    return pytest.importorskip("torch").zeros(()).expand(shape)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize(
    "call",
    [
        lambda of: ops.warp(of(1, 3, 4, 5), of(1, 2, 2**20, 2**20)),
        lambda of: ops.warp(of(1, 3, 4, 5), of(1, 2, 2**16, 2**15)),
        lambda of: ops.compose_flow(of(1, 2, 2**20, 2**20), of(1, 2, 4, 5)),
        lambda of: ops.correlation(of(1, 1, 2**20, 2**20), of(1, 1, 2**20, 2**20)),
        lambda of: ops.polar_resample(
            of(1, 3, 4, 5), (0, 0), ops.PolarGrid(2**22, 2**22, last_radius=4.0)
        ),
        lambda of: ops.polar_resample(
            of(1, 3, 4, 5), (0, 0), ops.PolarGrid(2**24, 1, last_radius=4.0)
        ),
        lambda of: ops.polar_resample(
            of(1, 3, 4, 5), (0, 0), ops.PolarGrid(10**400, 1, last_radius=4.0)
        ),
        lambda of: ops.polar_unresample(of(1, 3, 8, 5), (0, 0), GRID, (2**30, 2**30)),
        lambda of: ops.polar_unresample(of(1, 3, 8, 5), (0, 0), GRID, (4, 2**64)),
    ],
)
def test_a_result_that_no_kernel_writes_is_refused_before_memory_is_asked_for(call, kind):
    wanted = r"(out|grid) with (planes of fewer than 2147483648 elements|sides below 16777216)"
    with pytest.raises(ArgumentError, match=wanted):
        call(lambda *shape: vast(kind, shape))


def test_a_negative_size_is_refused():
    grid = ops.PolarGrid(8, 8, last_radius=4.0)
    with pytest.raises(ArgumentError, match="-3 x 4"):
        ops.polar_unresample(np.zeros((1, 1, 8, 8), np.float32), (1.0, 1.0), grid, (-3, 4))
