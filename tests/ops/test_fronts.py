"""One semantics: every op on every front against the independent NumPy reference."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cineflow.errors import ArgumentError
from tests.core.cuda_backend import DeviceArray
from tests.op_calls import OPS, ROWS, VOLUMES, Call, Op, agree, make_call
from tests.op_calls._values import BORDERS, NASTY
from tests.ops.fronts import Front
from tests.ops.strategies import calls

EACH_OP = pytest.mark.parametrize("op", ROWS.values(), ids=ROWS)
EACH_MOVING_OP = pytest.mark.parametrize(
    "op", [op for op in ROWS.values() if op.moves], ids=lambda op: op.label
)


def check(front: Front, call: Call) -> None:
    """The front's result is the reference's."""
    agree(front.run(call), call, front.coordinates)


def random_call(data: st.DataObject, op: Op, front: Front) -> Call:
    call: Call = data.draw(calls(op, front.storages, front.layouts, front.outputs))
    return call


@EACH_OP
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_agrees_with_the_reference(front, op, data):
    check(front, random_call(data, op, front))


@pytest.mark.slow
@pytest.mark.timeout(900)
@EACH_OP
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_agrees_with_the_reference_on_many_more(front, op, data):
    check(front, random_call(data, op, front))


@pytest.mark.parametrize("border", BORDERS)
@EACH_MOVING_OP
def test_a_coordinate_out_of_range_is_the_same_everywhere(front, op, border):
    """One coordinate at a time, the others on their pixels."""
    values = [*NASTY, np.float32(1e5)]
    changes = {"border": border, "shared": False}
    options = op.typical | {name: value for name, value in changes.items() if name in op.typical}
    calm = make_call(op, options, shape=SHAPES["many"])
    moved = calm.inputs[op.moves]
    moved[:] = 0 if moved.ndim > 3 else 3
    for index, value in enumerate(values):
        for axis in range(op.dimensions):
            if moved.ndim > 3:
                moved[0, axis, ..., 1 + axis, index] = value
            else:  # centres [N, 2], or points [N, K, 2]
                moved[2 * index + axis, ..., axis] = value
    check(front, calm)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("sweep", [1.5, -4.0])
@pytest.mark.parametrize(
    "op", [OPS["polar_resample"], OPS["polar_unresample"]], ids=lambda op: op.name
)
def test_a_sector_ends_at_its_own_edges(front, op, sweep, border):
    options = op.typical | {"sweep": sweep, "border": border}
    check(front, make_call(op, options, shape=(1, 1, 9, 17), seed=1))


#: [N, C, H, W] of images at the edges of what is an image.
SHAPES = {
    "many": (22, 2, 5, 12),
    "empty batch": (0, 3, 5, 7),
    "no channels": (2, 0, 5, 7),
    "no rows": (1, 2, 0, 4),
    "one pixel": (2, 3, 1, 1),
    "one row": (1, 2, 1, 33),
    "one column": (1, 17, 33, 1),
}


HARDLY_IMAGES = [
    pytest.param(op, name, border, id=f"{op.label}-{name}-{border}")
    for op in ROWS.values()
    for name in SHAPES
    for border in (BORDERS if "border" in op.typical else ("zeros",))
    # PolarGrid refuses a polar image without rows; see the test below.
    if name != "many" and (op.name, name) != ("polar_unresample", "no rows")
]


@pytest.mark.parametrize(("op", "name", "border"), HARDLY_IMAGES)
def test_hardly_an_image(front, op, name, border):
    """The typical radius, 4, is larger than these images."""
    options = op.typical | {"border": border} if "border" in op.typical else op.typical
    call = make_call(op, options, shape=SHAPES[name])
    try:
        check(front, call)
    except AssertionError:
        raise
    except Exception as error:
        # A body of standard operators may refuse images without pixels.
        refused = re.search(r"must be non-empty|cannot be reshaped|with a value of 0", str(error))
        if name != "no rows" or front.takes_empty_images or not refused:
            raise


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_polar_image_without_rows_is_all_outside(cuda, device, wraps):
    full = np.full((1, 1, 3, 5), 7, np.float32)  # there is something to read by mistake
    arrays = full[:, :, :0], np.zeros((1, 2), np.float32), np.ones((1, 1, 4, 4), np.float32)
    tensors = arrays if device == "cpu" else [DeviceArray(array) for array in arrays]
    cuda.module.polar_unresample(*tensors, 0.0, 0.5, 0.0, 1.0, wraps, False, 1.0, 0.0)
    assert not arrays[2].any()


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
@EACH_OP
def test_the_same_bits_from_any_number_of_threads_and_call_to_call(front, op, layout):
    if layout not in front.layouts:
        pytest.skip(f"{front.name} takes contiguous arrays only")
    # Large enough for several threads; the shim runs every CUDA thread one after another.
    shape = (1, 5, 19, 23) if front.name == "cuda" else (2, 16, 61, 67)
    size = {"rows": 61, "columns": 67} if "rows" in op.typical else {}
    call = make_call(op, op.typical | size, shape=shape, layout=layout)
    first = front.run(call, threads=1)
    for threads in (1, 3, 8):
        np.testing.assert_array_equal(front.run(call, threads=threads), first)


@EACH_OP
def test_planes_of_two_to_the_31_are_refused_before_a_pixel_is_read(front, op):
    if front.layouts == ("planar",):
        pytest.skip("a contiguous plane of that size does not fit; see test_onnxruntime.py")
    call = make_call(op, op.typical, shape=(1, 2, 3, 4), layout="stretched")
    what = "volumes" if op.dimensions == 3 else "planes"
    with pytest.raises(ArgumentError, match=f"{what} of fewer than 2147483648 elements"):
        front.run(call)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("depth", [0, 1, 7])
@pytest.mark.parametrize("op", VOLUMES.values(), ids=VOLUMES)
def test_a_volume_of_any_depth(front, op, depth, border):
    options = op.typical | {"border": border} if "border" in op.typical else op.typical
    call = make_call(op, options | {"depth": depth}, shape=(2, 3, 4, 21), seed=5)
    try:
        check(front, call)
    except AssertionError:
        raise
    except Exception as error:
        refused = re.search(r"must be non-empty|cannot be reshaped", str(error))
        if depth > 0 or front.takes_empty_images or not refused:
            raise


@pytest.mark.parametrize("op", VOLUMES.values(), ids=VOLUMES)
def test_a_slice_between_slices_is_their_mean(front, op):
    """The z axis is the third of the flow, and counts slices: the first two axes stay still."""
    call = make_call(op, op.typical | {"depth": 4}, shape=(1, 3, 5, 19), seed=6)
    if not op.moves:
        pytest.skip("the op samples nothing")
    call.inputs[op.moves][:] = 0
    call.inputs[op.moves][:, 2] = 0.5
    source = next(values for name, values in call.inputs.items() if name != op.moves)
    if op.name == "warp":
        mean = (source[:, :, :-1] + source[:, :, 1:]) / 2
        np.testing.assert_allclose(front.run(call)[:, :, :-1], mean, atol=255 * front.coordinates)
    check(front, call)


def one_image(op: str, options: dict[str, object], **inputs: np.ndarray) -> Call:
    """A call of `op` with inputs of the test's own."""
    return Call(ROWS[op], inputs, options)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("axes", [2, 3])
def test_an_outside_corner_is_not_read(front, border, axes):
    # Half a pixel outside, next to an infinite one: the outside counts 0, never 0 * inf = NaN.
    src = np.full((1, 1, *[1] * axes), np.inf, np.float32)
    half = np.full((1, axes, *[1] * axes), 0.5, np.float32)
    name = "warp" if axes == 2 else "warp-3d"
    moved = front.run(one_image(name, {"border": border}, src=src, flow=half))
    assert (moved == np.inf).all()


def test_an_infinite_pixel_beyond_the_weights_stays_there(front):
    src = np.zeros((1, 1, 3, 3), np.float32)
    src[0, 0, :, 1] = np.inf
    flow = np.zeros((1, 2, 3, 3), np.float32)
    flow[0, 0] = -0.5
    moved = front.run(one_image("warp", {"border": "zeros"}, src=src, flow=flow))
    # Column 0 lies half outside: 0.5 of the finite pixel.
    assert (moved[0, 0, :, 0] == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["f1", "f2"])
@pytest.mark.parametrize("name", ["correlation", "warp_correlation"])
def test_a_feature_that_is_not_finite_shows_where_it_is_compared(front, name, where, value):
    """Also at the corner, where it meets zeros outside, and nowhere else."""
    op = OPS[name]
    if front.coordinates and name == "warp_correlation":
        pytest.skip("GridSample may also take a neighbour of weight 1e-7")
    call = make_call(op, op.typical | {"radius": 2}, shape=(1, 3, 6, 40))
    call.inputs[where][0, 1, [0, 3, 5], [0, 9, 39]] = value
    if "flow" in call.inputs:
        call.inputs["flow"][:] = 0.5
    check(front, call)


def test_there_and_back_again(front):
    """A smooth image to polar coordinates and back: an error that both directions share shows."""
    y, x = np.mgrid[0:64, 0:64].astype(np.float32)
    smooth = np.sin(x / 9)[None, None] * np.cos(y / 11)
    centre = np.float32([[31.5, 31.5]])
    grid = {
        "first_angle": 0.0,
        "angle_step": 2 * np.pi / 256,
        "wraps": True,
        "first_radius": 0.0,
        "radius_step": 0.5,
        "border": "zeros",
        "scale": 1.0,
        "offset": 0.0,
    }
    there = one_image(
        "polar_resample", {"rows": 256, "columns": 64} | grid, src=smooth, centre=centre
    )
    polar = front.run(there)
    back = one_image(
        "polar_unresample", {"rows": 64, "columns": 64} | grid, src=polar, centre=centre
    )
    image = front.run(back)
    inside = np.hypot(x - 31.5, y - 31.5) < 30
    assert np.abs(image - smooth)[0, 0][inside].max() < 0.005


@pytest.mark.parametrize("op", [OPS["warp"], VOLUMES["warp-3d"]], ids=lambda op: op.label)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_coordinate_a_whole_pixel_outside_reads_no_pixel(front, op, axis):
    if axis >= op.dimensions:
        pytest.skip("images have two axes")
    if front.coordinates:
        pytest.skip("GridSample reads a neighbour of weight 0, as docs/ops/onnxruntime.md says")
    src = np.full((1, 1, *[3] * op.dimensions), np.nan, np.float32)
    flow = np.zeros((1, op.dimensions, *[1] * op.dimensions), np.float32)
    for value in (-1, 3, -1.5, 3.5):
        flow[0, axis] = value
        call = one_image(op.label, {"border": "zeros"}, src=src, flow=flow)
        assert front.run(call) == 0
        np.testing.assert_array_equal(call.gold(), 0)
