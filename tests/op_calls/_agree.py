"""Compares the result of a call with the reference."""

from __future__ import annotations

import itertools

import numpy as np

from tests.op_calls._op import Call
from tests.op_calls._values import ROUNDING


def agree(got: np.ndarray, call: Call, coordinates: float = 0.0) -> None:
    """Assert that `got` is the reference's result, up to the rounding of f32 and of the storage.

    Args:
        got: The result; bfloat16 as float32.
        call: What was computed.
        coordinates: Error of coordinates that the front adds to the kernels' own, pixels.
    """
    wanted = call.gold()
    assert got.shape == wanted.shape == call.shape
    assert got.dtype == ("float32" if call.result == "bfloat16" else call.result)
    coordinates = max(coordinates, call.op.coordinates)
    aside = 2 * max(coordinates, call.op.blur)
    levels = levels_of(wanted) if call.result == "uint8" else wanted
    # Every byte is finite, so it does not show whether the result was.
    hidden = call.result == "uint8" and not all(map(is_finite, call.inputs.values()))
    if aside and (hidden or not alike(got, levels).all()):
        # Whether a pixel of weight 1e-5 or 0 was read shows where it is not finite. It counts as 0
        # times infinity where only one coordinate is off, by an error of the front.
        sides = (-aside, 0.0, aside) if coordinates else (-aside, aside)
        for side in itertools.product(sides, repeat=call.op.dimensions):
            got = np.where(alike(call.gold(side), wanted), got, levels)
    # Only where bytes are asked for are the values grey levels, up to 1.5 times 255.
    magnitude = 384 if call.options.get("to_bytes") else call.op.magnitude
    half = 0.5 if call.result == "uint8" else 0.0
    np.testing.assert_allclose(
        got.astype(np.float64),
        levels,
        rtol=ROUNDING[call.result],
        atol=half
        + magnitude * call.op.condition(call.options) * (coordinates + ROUNDING["float32"]),
    )


def levels_of(values: np.ndarray) -> np.ndarray:
    """Grey levels 0..255 that are not rounded yet; 0 for NaN."""
    return np.clip(np.where(np.isnan(values), 0, values), 0, 255)


def is_finite(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all())


def alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where both are finite, or the same infinity, or NaN."""
    finite = np.isfinite(one) & np.isfinite(other)
    return finite | (one == other) | (np.isnan(one) & np.isnan(other))
