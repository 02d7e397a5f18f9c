"""Our ops as ONNX nodes: the same values as every other front, the runtime's threads, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from cineflow import ops, reference
from cineflow.export.operators import OPERATORS, attach_bodies

ONNX_TYPE = {"float32": "float", "float16": "float16", "uint8": "uint8"}

Border = Literal["zeros", "clamp"]


def open_session(graph: str, library: Path | None, threads: int = 1) -> ort.InferenceSession:
    """A session on ONNX's text form; `library` None runs the bodies."""
    model = onnx.parser.parse_model(graph)
    if library is None:
        attach_bodies(model)
    options = ort.SessionOptions()
    options.log_severity_level = 4  # refusals are wanted here; they need no log
    options.intra_op_num_threads = threads
    if library is not None:
        options.register_custom_ops_library(str(library))
    return ort.InferenceSession(model.SerializeToString(), options)


def run_graph(
    graph: str, inputs: Mapping[str, np.ndarray], library: Path | None, threads: int = 1
) -> np.ndarray:
    """The one output of `graph`."""
    (output,) = open_session(graph, library, threads).run(None, dict(inputs))
    return np.asarray(output)


@dataclass(frozen=True)
class Case:
    """One op with one set of attributes.

    Attributes:
        name: For the test's id.
        node: The node's text, from the graph's inputs to `out`.
        shapes: Input name -> axes as ONNX text.
        features: How many of the inputs, from the first on, have the element type; others are f32.
        out: Axes of the output as ONNX text.
        inputs: Random inputs for a batch size.
        op: The public function on these inputs.
        gold: The reference on these inputs.
        dtypes: Element types.
        moves: Whether the last input is a motion in pixels.
        scale: Of the output's values, for tolerances.
        exact_attributes: Whether f32, all that ONNX keeps of a number, holds them exactly.
    """

    name: str
    node: str
    shapes: Mapping[str, str]
    features: int
    out: str
    inputs: Callable[[np.random.Generator, int], dict[str, np.ndarray]]
    op: Callable[..., np.ndarray]
    gold: Callable[..., np.ndarray]
    dtypes: tuple[str, ...] = ("float32", "float16")
    moves: bool = True
    scale: float = 255.0
    exact_attributes: bool = True

    @property
    def has_body(self) -> bool:
        return self.node.split("cineflow.")[1].split()[0] in OPERATORS

    def graph(self, dtype: str = "float32") -> str:
        kinds = [ONNX_TYPE[dtype]] * self.features + ["float"] * len(self.shapes)
        formal = ", ".join(
            f"{kind}[{axes}] {name}"
            for kind, (name, axes) in zip(kinds, self.shapes.items(), strict=False)
        )
        kind = ONNX_TYPE["float32" if dtype == "uint8" else dtype]
        return f"""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main ({formal}) => ({kind}[{self.out}] out) {{ {self.node} }}
"""

    def random(self, seed: int, dtype: str = "float32", batch: int = 2) -> dict[str, np.ndarray]:
        inputs = self.inputs(np.random.default_rng(seed), batch)
        features = list(inputs)[: self.features]
        return inputs | {name: inputs[name].astype(dtype) for name in features}


def grey(rng: np.random.Generator, batch: int) -> np.ndarray:
    return rng.integers(0, 256, (batch, 3, 11, 14)).astype(np.float32)


def motion(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(0, 5, shape).astype(np.float32)


def maps(rng: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
    return {name: rng.random((batch, 5, 9, 13), np.float32) for name in ("f1", "f2")}


PLAIN = "n, c, h, w"
FLOW = "n, 2, ho, wo"


def warp_case(border: Border) -> Case:
    return Case(
        name=f"warp-{border}",
        node=f'out = cineflow.Warp <border: string = "{border}"> (src, flow)',
        shapes={"src": PLAIN, "flow": FLOW},
        features=1,
        out="n, c, ho, wo",
        inputs=lambda rng, n: {"src": grey(rng, n), "flow": motion(rng, n, 2, 9, 17)},
        op=lambda src, flow: ops.warp(src, flow, border=border),
        gold=lambda src, flow: reference.warp(src, flow, border=border),
    )


def compose_case(border: Border) -> Case:
    return Case(
        name=f"compose_flow-{border}",
        node=f'out = cineflow.ComposeFlow <border: string = "{border}"> (displacement, flow)',
        shapes={"displacement": FLOW, "flow": "n, 2, h, w"},
        features=1,
        out=FLOW,
        # The displacement is the motion here: the flow is looked up where it leads.
        inputs=lambda rng, n: {
            "displacement": motion(rng, n, 2, 9, 17),
            "flow": motion(rng, n, 2, 11, 14),
        },
        op=lambda displacement, flow: ops.compose_flow(displacement, flow, border=border),
        gold=lambda displacement, flow: reference.compose_flow(displacement, flow, border=border),
        dtypes=("float32",),
        moves=False,
        scale=10.0,
    )


def correlation_case(radius: int, dilation: int, order: Literal["yx", "xy"]) -> Case:
    side = 2 * radius + 1
    how = {"radius": radius, "dilation": dilation, "scale": 0.5, "order": order}
    return Case(
        name=f"correlation-r{radius}-d{dilation}-{order}",
        node=f"""out = cineflow.Correlation <radius: int = {radius}, dilation: int = {dilation},
            scale: float = 0.5, x_major: int = {int(order == "xy")}> (f1, f2)""",
        shapes={"f1": PLAIN, "f2": PLAIN},
        features=2,
        out=f"n, {side * side}, h, w",
        inputs=maps,
        op=lambda f1, f2: ops.correlation(f1, f2, **how),
        gold=lambda f1, f2: reference.correlation(f1, f2, **how),
        moves=False,
        scale=2.0,
    )


def warp_correlation_case(border: Border) -> Case:
    how = {"radius": 2, "scale": 0.5, "border": border}
    return Case(
        name=f"warp_correlation-{border}",
        node=f"""out = cineflow.WarpCorrelation <radius: int = 2, scale: float = 0.5,
            border: string = "{border}"> (f1, f2, flow)""",
        shapes={"f1": PLAIN, "f2": PLAIN, "flow": "n, 2, h, w"},
        features=2,
        out="n, 25, h, w",
        inputs=lambda rng, n: maps(rng, n) | {"flow": motion(rng, n, 2, 9, 13)},
        op=lambda f1, f2, flow: ops.warp_correlation(f1, f2, flow, **how),
        gold=lambda f1, f2, flow: reference.warp_correlation(f1, f2, flow, **how),
        scale=2.0,
    )


def polar_case(inverse: bool) -> Case:
    """A sector forward, whose steps f32 holds exactly, and a full circle back."""
    name = "polar_unresample" if inverse else "polar_resample"
    grid = ops.PolarGrid(16, 12, last_radius=6.0, sweep=2 * math.pi if inverse else 4.0)
    rays = (grid.angle_step * np.arange(16), 0.5 * np.arange(12))
    rows, columns = (11, 14) if inverse else (16, 12)
    size = ((rows, columns),) if inverse else ()
    return Case(
        name=name,
        node=f"""out = cineflow.Polar{"Unresample" if inverse else "Resample"} <
            rows: int = {rows}, columns: int = {columns}, angle_step: float = {grid.angle_step},
            radius_step: float = 0.5, wraps: int = {int(inverse)}, scale: float = 0.5,
            offset: float = 1.0> (src, centre)""",
        shapes={"src": PLAIN, "centre": "m, 2"},
        features=1,
        out=f"n, c, {rows}, {columns}",
        inputs=lambda rng, n: {
            "src": rng.integers(0, 256, (n, 3, *((16, 12) if inverse else (11, 14)))),
            "centre": np.float32([[6.5, 5.25]]),
        },
        op=lambda src, centre: getattr(ops, name)(src, centre, grid, *size, scale=0.5, offset=1.0),
        gold=lambda src, centre: getattr(reference, name)(
            src, centre, *rays, *size, scale=0.5, offset=1.0
        ),
        dtypes=("float32", "float16", "uint8"),
        moves=False,
        exact_attributes=not inverse,
    )


WARP = warp_case("zeros")
CORRELATION = correlation_case(4, 1, "yx")
POLAR = polar_case(inverse=False)
CASES = [
    *(WARP, warp_case("clamp")),
    *(compose_case("zeros"), compose_case("clamp")),
    *(CORRELATION, correlation_case(1, 2, "xy")),
    *(warp_correlation_case("zeros"), warp_correlation_case("clamp")),
    *(POLAR, polar_case(inverse=True)),
]
TYPED = [(case, dtype) for case in CASES for dtype in case.dtypes]
EACH_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
EACH_TYPE = pytest.mark.parametrize(
    ("case", "dtype"), TYPED, ids=[f"{case.name}-{dtype}" for case, dtype in TYPED]
)


def each_front(cases: list[Case]) -> pytest.MarkDecorator:
    """Every way to compute each op: our NumPy function, our kernel in ONNX Runtime, its body."""
    pairs = [(case, way) for case in cases for way in ("numpy", "kernel", "body")]
    pairs = [(case, way) for case, way in pairs if way != "body" or case.has_body]
    names = [f"{case.name}-{way}" for case, way in pairs]
    return pytest.mark.parametrize(("case", "front"), pairs, ids=names, indirect=["front"])


@pytest.fixture
def front(request: pytest.FixtureRequest, case: Case) -> Callable[..., np.ndarray]:
    """Computes the case's op from inputs and element type."""
    if request.param == "numpy":
        return lambda inputs, dtype="float32": case.op(*inputs.values())
    library = request.getfixturevalue("library") if request.param == "kernel" else None
    return lambda inputs, dtype="float32": run_graph(case.graph(dtype), inputs, library)


NASTY = np.float32([np.nan, np.inf, -np.inf, 1e20, -1e20, 3.4e38, 1e5, -0.5, 0.0])


def tolerance(case: Case, dtype: str = "float32") -> float:
    """Bodies of sampling ops pass through normalised coordinates; float16 keeps 11 bits."""
    return case.scale * (2**-11 if dtype == "float16" else 1e-5)


@each_front(CASES)
@pytest.mark.parametrize("seed", range(3))
def test_every_front_agrees_with_the_reference(front, case, seed):
    for dtype in case.dtypes:
        inputs = case.random(seed, dtype)
        if case.moves:
            nasty = np.random.default_rng(seed).random(inputs["flow"].shape) < 0.1
            inputs["flow"][nasty] = np.resize(NASTY, int(nasty.sum()))
        out = front(inputs, dtype)
        assert out.dtype == ("float32" if dtype == "uint8" else dtype)
        gold = case.gold(*inputs.values())
        np.testing.assert_allclose(out, gold, rtol=0, atol=tolerance(case, dtype))


@each_front([case for case in CASES if case.moves])
@pytest.mark.parametrize("value", NASTY[:6])
@pytest.mark.parametrize("channel", [0, 1])
def test_every_front_has_the_same_out_of_range(front, case, value, channel):
    inputs = case.random(0)
    inputs["flow"][:] = 0
    inputs["flow"][:, channel, 2, 3] = value
    gold = case.gold(*inputs.values())
    np.testing.assert_allclose(front(inputs), gold, rtol=0, atol=tolerance(case))


@each_front(CASES)
def test_an_empty_batch_is_an_empty_result(front, case):
    inputs = case.random(0, batch=0)
    assert front(inputs).shape == case.op(*inputs.values()).shape


@EACH_TYPE
def test_the_kernel_is_the_same_code_as_in_numpy(library, case, dtype):
    inputs = case.random(4, dtype)
    out = run_graph(case.graph(dtype), inputs, library)
    difference = 0 if case.exact_attributes else tolerance(case, dtype)
    np.testing.assert_allclose(out, case.op(*inputs.values()), rtol=0, atol=difference)


def test_bfloat16_features(library):
    graph = """
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[n, c, h, w] src, float[n, 2, ho, wo] flow) => (float[n, c, ho, wo] out) {
  stored = Cast <to = 16> (src)
  moved = cineflow.Warp (stored, flow)
  out = Cast <to = 1> (moved)
}
"""
    inputs = WARP.random(0)  # whole numbers up to 255 are exact in bfloat16
    exact = WARP.op(*inputs.values())
    np.testing.assert_allclose(run_graph(graph, inputs, library), exact, rtol=2**-8)


@pytest.mark.parametrize("case", [WARP, CORRELATION], ids=lambda case: case.name)
def test_any_number_of_threads_gives_the_same_bits(library, case):
    rng = np.random.default_rng(1)
    inputs = {name: rng.random((1, 16, 61, 67), np.float32) for name in case.shapes}
    if case.moves:
        inputs["flow"] = motion(rng, 1, 2, 61, 67)
    wanted = case.op(*inputs.values())
    for threads in (1, 2, 3, 8):
        out = run_graph(case.graph(), inputs, library, threads)
        np.testing.assert_array_equal(out, wanted)


@EACH_CASE
def test_the_output_shape_is_known_before_any_tensor_is_there(library, case):
    model = onnx.parser.parse_model(case.graph())
    model.graph.output[0].type.tensor_type.ClearField("shape")
    (out,) = open_session(onnx.printer.to_text(model), library).get_outputs()
    assert [str(axis) for axis in out.shape] == case.out.split(", ")


def test_one_session_serves_many_sizes(library):
    session = open_session(WARP.graph(), library)
    for side in (1, 5, 64):
        src = np.ones((1, 1, side, side), np.float32)
        flow = np.zeros((1, 2, side, side), np.float32)
        np.testing.assert_array_equal(session.run(None, {"src": src, "flow": flow})[0], src)


@pytest.mark.parametrize(
    ("case", "good", "bad", "wanted"),
    [
        (WARP, '"zeros"', '"mirror"', 'wanted border of "zeros" or "clamp"; got "mirror"'),
        (WARP, 'string = "zeros"', "int = 1", "wanted border as one word; got a value of another"),
        (CORRELATION, "radius: int = 4", "radius: int = 33", "wanted radius in 0..32; got 33"),
        (CORRELATION, "int = 4", "float = 4.0", "wanted radius as a whole number; got a value of"),
        (CORRELATION, "float = 0.5", "int = 1", "wanted scale as a finite number; got a value of"),
        (POLAR, "rows: int = 16,", "", "wanted rows in 1..16777215; got 0"),
    ],
)
def test_a_wrong_attribute_is_refused_when_the_model_loads(library, case, good, bad, wanted):
    assert good in case.graph()
    with pytest.raises(Exception, match=wanted):
        open_session(case.graph().replace(good, bad), library)


def test_an_absent_attribute_means_the_default(library):
    graph = WARP.graph().replace('<border: string = "zeros">', "")
    inputs = WARP.random(5)
    np.testing.assert_array_equal(
        run_graph(graph, inputs, library), run_graph(WARP.graph(), inputs, library)
    )


@pytest.mark.parametrize(
    ("src", "flow", "wanted"),
    [
        ((2, 1, 4, 5), (1, 2, 4, 5), r"wanted flow with 2 \(src's batch\) along axis 0; got 1"),
        ((1, 1, 4, 5), (1, 3, 4, 5), r"wanted flow with 2 \(x and y\) along axis 1; got 3"),
        ((1, 4, 5), (1, 2, 4, 5), "wanted src of rank 4; got src of rank 3"),
        ((1, 1, 4, 5), (2,), "wanted flow of rank 4; got flow of rank 1"),
        ((1,) * 7, (1, 2, 4, 5), "wanted tensors of rank 6 at most; got rank 7"),
    ],
)
def test_wrong_shapes_are_refused_in_the_ops_own_words(library, src, flow, wanted):
    unranked = """
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[] src, float[] flow) => (float[] out) { out = cineflow.Warp (src, flow) }
"""
    model = onnx.parser.parse_model(unranked)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.ClearField("shape")
    inputs = {"src": np.zeros(src, np.float32), "flow": np.zeros(flow, np.float32)}
    with pytest.raises(Exception, match=wanted):
        run_graph(onnx.printer.to_text(model), inputs, library)
