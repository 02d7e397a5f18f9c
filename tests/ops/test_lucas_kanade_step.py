"""`lucas_kanade_step`: what it promises beyond its agreement with the reference on random calls."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from tests.op_calls import OPS, Call, make_call
from tests.ops.fronts import Front

OP = OPS["lucas_kanade_step"]
CELL, CELLS = 4, 12
OPTIONS = {"cell": CELL, "sigma": 2.0, "refinements": 2, "trust": 8.0, "ridge": 1.0}
SIDE = CELL * CELLS


def tissue(shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Texture in every direction, moved by `shift` (x, y) px, [1, 1, SIDE, SIDE]."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    x, y = x - shift[0], y - shift[1]
    grey = 50 * np.sin(x / 2.5) * np.cos(y / 3.5) + 20 * np.sin((x + y) / 4)
    return grey.astype(np.float32)[None, None]


def flow_of(
    front: Front, previous: np.ndarray, current: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    cells = np.ones((1, 1, CELLS, CELLS), np.float32)
    inputs = {"previous": previous, "current": current, "mask": cells if mask is None else mask}
    return front.run(Call(OP, inputs, OPTIONS))


def test_a_translation_is_found_in_x_and_y(front: Front) -> None:
    flow = flow_of(front, tissue(), tissue((0.5, -0.25)))
    np.testing.assert_allclose(flow[0, :, 3:-3, 3:-3].mean(axis=(1, 2)), (0.5, -0.25), atol=0.03)


@pytest.mark.parametrize("level", [0.0, 255.0, 3e38])
def test_without_texture_there_is_no_motion(front: Front, level: float) -> None:
    flat = np.full((1, 1, SIDE, SIDE), level, np.float32)
    assert not flow_of(front, flat, flat).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_a_cell_that_is_not_valid_leaves_the_others_their_flow(front: Front, value: float) -> None:
    """Its own flow comes from the cells around it, and is close to theirs."""
    current = tissue((0.5, -0.25))
    whole = flow_of(front, tissue(), current)
    current[0, 0, SIDE // 2, SIDE // 2] = value
    flow = flow_of(front, tissue(), current)
    assert np.isfinite(flow).all()
    np.testing.assert_allclose(flow, whole, atol=0.05)
    mask = np.ones((1, 1, CELLS, CELLS), np.float32)
    for y, x in np.ndindex(2, 2):  # the pixel is the corner of a cell, and next to three more
        mask[0, 0, CELLS // 2 - y, CELLS // 2 - x] = 0
    assert not np.array_equal(flow, whole)
    np.testing.assert_allclose(flow, flow_of(front, tissue(), current, mask), atol=1e-5)


def test_what_the_mask_excludes_does_not_move_the_rest(front: Front) -> None:
    """The left half moves one way and the right half the other way."""
    previous, current = tissue(), tissue((0.5, 0.0))
    current[..., SIDE // 2 :] = tissue((-0.5, 0.0))[..., SIDE // 2 :]
    mask = np.ones((1, 1, CELLS, CELLS), np.float32)
    mask[..., CELLS // 2 - 1 :] = 0
    flow = flow_of(front, previous, current, mask)
    assert flow[0, 0, 3:-3, 2:-1].mean() > 0.3
    assert flow_of(front, previous, current)[0, 0, 3:-3, 2:-1].mean() < 0.15


@pytest.mark.parametrize("given", [np.nan, -1.0, -np.inf])
def test_a_mask_that_is_no_weight_counts_0(front: Front, given: float) -> None:
    mask = np.ones((1, 1, CELLS, CELLS), np.float32)
    mask[..., 3:5, 4:8] = 0
    wanted = flow_of(front, tissue(), tissue((0.5, 0.5)), mask)
    mask[mask == 0] = given
    np.testing.assert_array_equal(flow_of(front, tissue(), tissue((0.5, 0.5)), mask), wanted)


def test_stripes_move_across_only(front: Front) -> None:
    """One direction of texture: the determinant is rounding and the ridge."""
    x = np.mgrid[0:SIDE, 0:SIDE][1].astype(np.float32)
    stripes = [np.float32(1000 * np.sin((x - at) / 3))[None, None] for at in (0.0, 0.5)]
    flow = flow_of(front, *stripes)
    assert np.isfinite(flow).all()
    np.testing.assert_allclose(flow[0, 0, 3:-3, 3:-3], 0.5, atol=0.05)
    np.testing.assert_allclose(flow[0, 1], 0, atol=1e-3)


def test_a_batch_is_image_by_image(front: Front) -> None:
    call = make_call(OP, shape=(3, 1, 7, 19), seed=4)
    together = front.run(call)
    for image in range(3):
        one = {name: values[image : image + 1] for name, values in call.inputs.items()}
        np.testing.assert_allclose(
            front.run(Call(OP, one, call.options))[0], together[image], atol=1e-5
        )


def test_a_workspace_on_the_device_must_be_large_enough(cuda) -> None:
    call = make_call(OP, shape=(1, 1, 5, 6))
    arrays = {name: cuda.put(values, "float32", "planar") for name, values in call.inputs.items()}
    out = cuda.empty(call.shape, "float32", "planar")
    for floats, wanted in ((None, "a workspace on the device"), (25 * 30 - 1, "of 3000 bytes")):
        scratch = None if floats is None else cuda.empty((floats,), "float32", "planar")
        with pytest.raises(ArgumentError, match=wanted):
            cuda.module.lucas_kanade_step(**arrays, out=out, workspace=scratch, **call.options)
