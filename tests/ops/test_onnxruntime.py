"""Our ops as ONNX nodes: what only this front has. test_fronts.py tests the values."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from cineflow import _C
from tests.op_calls import OPS, ROWS, Call, Op, make_call
from tests.ops.fronts import feeds, graph, numpy_front, onnx_front, open_session

EACH_OP = pytest.mark.parametrize("op", ROWS.values(), ids=ROWS)

#: Ops whose result has a size that is a sum of products of sizes.
SIZES_BY_ARITHMETIC = ("correlation_pyramid", "feature_pyramid")

WARP = """
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[n, c, h, w] src, float[n, 2, ho, wo] flow) => (float[n, c, ho, wo] out) {
  out = cineflow.Warp <border: string = "zeros"> (src, flow)
}
"""


def typical(op: Op, storage: str = "float32") -> Call:
    """A call whose attributes f32 holds exactly: ONNX stores them in f32."""
    options = dict(op.typical)
    if "sweep" in options:
        steps = {"polar_unresample": 11, "scan_convert": 10}.get(op.name, options["rows"])
        options["sweep"] = 0.25 * steps
    return make_call(op, options, shape=(2, 3, 11, 14), seed=4, storage=storage)


@pytest.mark.parametrize(
    ("op", "storage"),
    [
        pytest.param(op, storage, id=f"{op.label}-{storage}")
        for op in ROWS.values()
        for storage in op.storages
        if storage != "bfloat16"  # NumPy has no bfloat16
    ],
)
def test_the_kernel_is_the_same_code_as_in_numpy(library, op, storage):
    call = typical(op, storage)
    ours = numpy_front(_C.instruction_set()).run(call)
    np.testing.assert_array_equal(onnx_front("kernel", library).run(call), ours)


@EACH_OP
def test_the_output_shape_is_known_before_any_tensor_is_there(library, op):
    call = typical(op)
    model = onnx.parser.parse_model(graph(call))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    if op.name in SIZES_BY_ARITHMETIC:  # the runtime has no names for sums of sizes
        for value, array in zip(model.graph.input, call.inputs.values(), strict=True):
            for dim, size in zip(value.type.tensor_type.shape.dim, array.shape, strict=True):
                dim.dim_value = size
    (out,) = open_session(onnx.printer.to_text(model), library).get_outputs()
    sizes = {
        f"{name}_{axis}": size
        for name, values in call.inputs.items()
        for axis, size in enumerate(values.shape)
    }
    assert [sizes.get(axis, axis) for axis in out.shape] == list(call.gold().shape)


def test_one_session_serves_many_sizes(library):
    session = open_session(WARP, library)
    for side in (1, 5, 64):
        src = np.ones((1, 1, side, side), np.float32)
        flow = np.zeros((1, 2, side, side), np.float32)
        np.testing.assert_array_equal(session.run(None, {"src": src, "flow": flow})[0], src)


CORRELATION = graph(typical(OPS["correlation"]))
POLAR = graph(typical(OPS["polar_resample"]))


@pytest.mark.parametrize(
    ("text", "good", "bad", "wanted"),
    [
        (WARP, '"zeros"', '"mirror"', 'wanted border of "zeros" or "clamp"; got "mirror"'),
        (WARP, 'string = "zeros"', "int = 1", "wanted border as a string; got a value of the"),
        (CORRELATION, "radius: int = 4", "radius: int = 33", "wanted radius in 0..32; got 33"),
        (CORRELATION, "int = 4", "float = 4.0", "wanted radius as a whole number; got a value of"),
        (CORRELATION, "float = 0.125", "int = 1", "wanted scale as a finite number; got a value"),
        (POLAR, "rows: int = 9,", "", "wanted rows in 1..16777215; got 0"),
    ],
)
def test_a_wrong_attribute_is_refused_when_the_model_loads(library, text, good, bad, wanted):
    assert good in text
    with pytest.raises(Exception, match=wanted):
        open_session(text.replace(good, bad), library)


def test_an_absent_attribute_means_the_default(library):
    call = typical(OPS["warp"])
    given, absent = (
        open_session(text, library).run(None, feeds(call))[0]
        for text in (WARP, WARP.replace('<border: string = "zeros">', ""))
    )
    np.testing.assert_array_equal(given, absent)


@pytest.mark.parametrize(
    ("src", "flow", "wanted"),
    [
        ((2, 1, 4, 5), (1, 2, 4, 5), r"wanted flow with 2 \(src's batch\) along axis 0; got 1"),
        ((1, 1, 4, 5), (1, 3, 4, 5), r"wanted flow with 2 \(x and y\) along axis 1; got 3"),
        ((1, 4, 5), (1, 2, 4, 5), "wanted src of rank 4 or 5; got src of rank 3"),
        ((1, 1, 3, 4, 5), (1, 2, 4, 5), "wanted flow of rank 5; got flow of rank 4"),
        ((1, 1, 4, 5), (1, 3, 3, 4, 5), "wanted flow of rank 4; got flow of rank 5"),
        ((1, 1, 4, 5), (2,), "wanted flow of rank 4; got flow of rank 1"),
        ((1,) * 7, (1, 2, 4, 5), "wanted tensors of rank 6 at most; got rank 7"),
    ],
)
def test_wrong_shapes_are_refused_in_the_ops_own_words(library, src, flow, wanted):
    model = onnx.parser.parse_model(WARP)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.ClearField("shape")
    inputs = {"src": np.zeros(src, np.float32), "flow": np.zeros(flow, np.float32)}
    with pytest.raises(Exception, match=wanted):
        open_session(onnx.printer.to_text(model), library).run(None, inputs)


@pytest.mark.parametrize(
    "op",
    [OPS["polar_resample"], OPS["polar_unresample"], OPS["scan_convert"]],
    ids=lambda o: o.name,
)
def test_a_plane_of_two_to_the_31_bytes_is_refused_before_a_pixel_is_read(library, op):
    """The pages are zeros that the system allocates when they are read."""
    call = typical(op, "uint8")
    inputs = feeds(call) | {"src": np.zeros((1, 1, 2**15, 2**16 + 1), np.uint8)}
    with pytest.raises(Exception, match="planes of fewer than 2147483648 elements"):
        open_session(graph(call), library).run(None, inputs)
