"""libcineflow_ort.so: the same values as every other front, the runtime's threads, its refusals."""

from __future__ import annotations

import ctypes
import runpy
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from cineflow import ops, reference
from cineflow.export.operators import attach_bodies
from cineflow.runtime.engines.onnxruntime import op_library_path

ROOT = Path(__file__).resolve().parents[2]
FETCHER = ROOT / "csrc/bindings/onnxruntime/fetch_headers.py"

Inputs = Mapping[str, np.ndarray]

ONNX_TYPE = {"float32": "float", "float16": "float16"}


@pytest.fixture(scope="session")
def library() -> Path:
    """libcineflow_ort.so: where ONNX Runtime's headers are, it must be built, too."""
    path = op_library_path()
    if path is None:
        headers = runpy.run_path(str(FETCHER))["folder_of_headers"]()
        assert headers is None, f"headers are in {headers}, yet libcineflow_ort.so is not built"
        pytest.skip("libcineflow_ort.so is not built: no ONNX Runtime headers on this machine")
    return path


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
        shapes: Input name -> axes as ONNX text; the first input carries the element type.
        out: Axes of the output as ONNX text.
        inputs: Random inputs for a batch size; the first is cast to the element type.
        op: The public function on these inputs.
        gold: The reference on these inputs.
    """

    name: str
    node: str
    shapes: Mapping[str, str]
    out: str
    inputs: Callable[[np.random.Generator, int], dict[str, np.ndarray]]
    op: Callable[..., np.ndarray]
    gold: Callable[..., np.ndarray]

    def graph(self, dtype: str = "float32") -> str:
        kind = ONNX_TYPE[dtype]
        kinds = [kind, *["float"] * (len(self.shapes) - 1)]
        formal = ", ".join(
            f"{k}[{s}] {n}" for k, (n, s) in zip(kinds, self.shapes.items(), strict=True)
        )
        return f"""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main ({formal}) => ({kind}[{self.out}] out) {{ {self.node} }}
"""

    def random(self, seed: int, dtype: str = "float32", batch: int = 2) -> dict[str, np.ndarray]:
        inputs = self.inputs(np.random.default_rng(seed), batch)
        first = next(iter(inputs))
        return inputs | {first: inputs[first].astype(dtype)}


def warp_inputs(rng: np.random.Generator, batch: int) -> dict[str, np.ndarray]:
    return {
        "src": rng.integers(0, 256, (batch, 3, 11, 14)).astype(np.float32),
        "flow": rng.normal(0, 5, (batch, 2, 9, 17)).astype(np.float32),
    }


CASES = [
    Case(
        name=f"warp-{border}",
        node=f'out = cineflow.Warp <border: string = "{border}"> (src, flow)',
        shapes={"src": "n, c, h, w", "flow": "n, 2, ho, wo"},
        out="n, c, ho, wo",
        inputs=warp_inputs,
        op=lambda src, flow, border=border: ops.warp(src, flow, border=border),
        gold=lambda src, flow, border=border: reference.warp(src, flow, border=border),
    )
    for border in ("zeros", "clamp")
]
EACH_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
WARP = CASES[0]

NASTY = np.float32([np.nan, np.inf, -np.inf, 1e20, -1e20, 3.4e38, 1e5, -0.5, 0.0])


@pytest.fixture(params=["numpy", "kernel", "body"])
def front(request: pytest.FixtureRequest) -> Callable[[Case, Inputs, str], np.ndarray]:
    """One way to compute an op: our NumPy function, our kernel in ONNX Runtime, or the body."""
    if request.param == "numpy":
        return lambda case, inputs, dtype="float32": case.op(*inputs.values())
    library = request.getfixturevalue("library") if request.param == "kernel" else None
    return lambda case, inputs, dtype="float32": run_graph(case.graph(dtype), inputs, library)


@EACH_CASE
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("seed", range(3))
def test_every_front_agrees_with_the_reference(front, case, dtype, seed):
    inputs = case.random(seed, dtype)
    (_, motion) = inputs.values()
    nasty = np.random.default_rng(seed).random(motion.shape) < 0.1
    motion[nasty] = np.resize(NASTY, int(nasty.sum()))
    out = front(case, inputs, dtype)
    assert out.dtype == dtype
    # Bodies know normalised coordinates only, worth 2e-3 of 255 grey levels; f16 keeps 11 bits.
    gold = case.gold(*inputs.values())
    np.testing.assert_allclose(out, gold, rtol=0, atol=0.0625 if dtype == "float16" else 2e-3)


@EACH_CASE
@pytest.mark.parametrize("value", NASTY[:6])
@pytest.mark.parametrize("channel", [0, 1])
def test_every_front_has_the_same_out_of_range(front, case, value, channel):
    inputs = case.random(0)
    (_, motion) = inputs.values()
    motion[:] = 0
    motion[:, channel, 2, 3] = value
    out = front(case, inputs)
    np.testing.assert_allclose(out, case.gold(*inputs.values()), rtol=0, atol=2e-3)


@EACH_CASE
def test_an_empty_batch_is_an_empty_result(front, case):
    inputs = case.random(0, batch=0)
    assert front(case, inputs).shape == case.op(*inputs.values()).shape


@EACH_CASE
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_kernel_is_the_same_code_as_in_numpy(library, case, dtype):
    inputs = case.random(4, dtype)
    out = run_graph(case.graph(dtype), inputs, library)
    np.testing.assert_array_equal(out, case.op(*inputs.values()))


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


def test_any_number_of_threads_gives_the_same_bits(library):
    rng = np.random.default_rng(1)
    inputs = {
        "src": rng.random((1, 16, 61, 67), np.float32),
        "flow": rng.normal(0, 3, (1, 2, 61, 67)).astype(np.float32),
    }
    results = [run_graph(WARP.graph(), inputs, library, threads) for threads in (1, 2, 3, 8)]
    for result in results:
        np.testing.assert_array_equal(result, ops.warp(**inputs))


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
    ("attribute", "wanted"),
    [
        ('border: string = "mirror"', 'wanted border of "zeros" or "clamp"; got "mirror"'),
        ("border: int = 1", "wanted border as one word; got a value of another kind"),
    ],
)
def test_an_unknown_attribute_value_is_refused_when_the_model_loads(library, attribute, wanted):
    graph = WARP.graph().replace('border: string = "zeros"', attribute)
    with pytest.raises(Exception, match=f"cineflow::Warp: {wanted}"):
        open_session(graph, library)


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


@pytest.mark.skipif(shutil.which("nm") is None, reason="binutils' nm is not installed")
def test_the_library_exports_its_entry_point_only(library):
    symbols = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", library],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split()[0] for line in symbols.stdout.splitlines()] == ["RegisterCustomOps"]


class ApiBase(ctypes.Structure):
    """OrtApiBase: what a runtime hands to RegisterCustomOps."""

    GetApi = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)
    GetVersionString = ctypes.CFUNCTYPE(ctypes.c_void_p)  # a char pointer
    _fields_ = (("get_api", GetApi), ("get_version_string", GetVersionString))


def test_a_runtime_older_than_the_headers_is_told_so(library):
    (runtime,) = Path(ort.__file__).parent.glob("capi/libonnxruntime.so.*")
    get_base = ctypes.CDLL(str(runtime)).OrtGetApiBase
    get_base.restype = ctypes.POINTER(ApiBase)
    real = get_base().contents
    asked = []

    @ApiBase.GetApi
    def old(version: int) -> int | None:
        asked.append(version)
        return real.get_api(version) if version < 20 else None

    name = ctypes.create_string_buffer(b"1.19.2")
    base = ApiBase(old, ApiBase.GetVersionString(lambda: ctypes.addressof(name)))
    register = ctypes.CDLL(str(library)).RegisterCustomOps
    register.restype = ctypes.c_void_p
    status = register(None, ctypes.byref(base))
    # OrtApi begins with CreateStatus, GetErrorCode, GetErrorMessage.
    api = ctypes.cast(real.get_api(1), ctypes.POINTER(ctypes.c_void_p))
    message = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)(api[2])(status).decode()
    assert message == f"cineflow: wanted ONNX Runtime 1.{asked[0]} or newer; got 1.19.2"
