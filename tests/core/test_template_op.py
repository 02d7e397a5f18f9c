"""The template of an op (csrc/template) in every front: the proof of csrc/README.md.

The CUDA kernel's own tests are the row `identity` of test_cuda_kernels.py. That of nvcc is in
test_cuda_resources.py, that of a build without CUDA in test_sanitizers.py.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import cineflow
from cineflow import _C, ops
from cineflow.errors import ArgumentError
from tests.core.cuda_backend import Backend

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "csrc/template"
DTYPES = ("float32", "float16", "uint8")

gold = runpy.run_path(str(TEMPLATE / "python/reference/identity.py"))["identity"]


def image(dtype: str = "float32") -> np.ndarray:
    """[2, 3, 4, 5] in a memory with gaps, transposed; values that every dtype holds."""
    wide = np.random.default_rng(3).integers(0, 256, (2, 3, 5, 9)).astype(dtype)
    return wide[..., 1::2].swapaxes(2, 3)


@pytest.fixture(scope="module")
def identity(cuda: Backend) -> Callable[..., np.ndarray]:
    """The public function, as if its file lay in src/cineflow/ops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cineflow, "_C", cuda.module)
        return runpy.run_path(str(TEMPLATE / "python/ops/identity.py"))["identity"]


def test_it_is_no_part_of_cineflow() -> None:
    assert not hasattr(_C, "identity")
    assert not hasattr(ops, "identity")


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy(identity: Callable[..., np.ndarray], dtype: str) -> None:
    src = image(dtype)
    got = identity(src)
    assert got.dtype == ("float32" if dtype == "uint8" else dtype)
    np.testing.assert_array_equal(got, gold(src))
    out = np.zeros(src.shape, np.float16)
    assert identity(src, out=out) is out
    np.testing.assert_array_equal(out, gold(src))


def test_any_number_of_threads_gives_the_same(cuda: Backend, identity: Callable) -> None:
    src = np.random.default_rng(4).random((2, 3, 61, 67), np.float32)
    before = cuda.module.thread_count()
    try:
        for threads in (1, 2, 5):
            cuda.module.set_thread_count(threads)
            np.testing.assert_array_equal(identity(src), src)
    finally:
        cuda.module.set_thread_count(before)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
def test_torch(identity: Callable, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    src = torch.from_numpy(image().copy()).to(getattr(torch, dtype)).transpose(2, 3)
    got = identity(src)  # registers the operator
    assert torch.equal(got, src.float() if dtype == "uint8" else src)
    torch.library.opcheck(torch.ops.cineflow.identity, (src,))


def test_cupy(cuda: Backend, cupy: ModuleType, identity: Callable) -> None:
    before = cuda.shim.cuda_shim_launches() if cuda.shim else 0
    got = identity(cupy.asarray(image()))
    assert isinstance(got, cupy.ndarray)
    np.testing.assert_array_equal(cupy.asnumpy(got), gold(image()))
    if cuda.shim:
        assert cuda.shim.cuda_shim_launches() == before + 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", ["kernel", "body"])
def test_onnx(
    cuda: Backend,
    identity: Callable,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    way: str,
    dtype: str,
) -> None:
    torch = pytest.importorskip("torch")
    import onnxruntime as ort

    from cineflow.export import ops as operators

    if way == "kernel" and cuda.op_library is None:
        pytest.skip("libcineflow_ort.so is not built: no ONNX Runtime headers on this machine")
    row = runpy.run_path(str(TEMPLATE / "python/export/identity.py"))["OP"]
    monkeypatch.setitem(operators.OPERATORS, "Identity", row)

    class Model(torch.nn.Module):
        def forward(self, src: torch.Tensor) -> torch.Tensor:
            return identity(src)

    src = np.ascontiguousarray(image(dtype))
    identity(torch.from_numpy(src))  # registers the operator
    program = torch.onnx.export(
        Model().eval(),
        (torch.from_numpy(src),),
        dynamo=True,
        opset_version=20,
        custom_translation_table=operators.translation_table(),
        verbose=False,
    )
    model = program.model_proto
    assert [(node.domain, node.op_type) for node in model.graph.node] == [("cineflow", "Identity")]
    options = ort.SessionOptions()
    if way == "kernel":
        options.register_custom_ops_library(str(cuda.op_library))
    else:
        operators.attach_bodies(model)
    session = ort.InferenceSession(model.SerializeToString(), options)
    (got,) = session.run(None, {session.get_inputs()[0].name: src})
    assert got.dtype == ("float32" if dtype == "uint8" else dtype)
    np.testing.assert_array_equal(got, gold(src))


def test_onnxruntime_says_what_the_op_refuses(cuda: Backend) -> None:
    import onnx
    import onnxruntime as ort

    if cuda.op_library is None:
        pytest.skip("libcineflow_ort.so is not built: no ONNX Runtime headers on this machine")
    model = onnx.parser.parse_model("""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[] src) => (float[] out) { out = cineflow.Identity (src) }
""")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.ClearField("shape")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.register_custom_ops_library(str(cuda.op_library))
    session = ort.InferenceSession(model.SerializeToString(), options)
    with pytest.raises(Exception, match="wanted src of rank 4; got src of rank 2"):
        session.run(None, {"src": np.zeros((2, 2), np.float32)})


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({"src": [1.0]}, "src as a NumPy, torch or CuPy array"),
        ({"src": np.zeros((2, 2), np.float32)}, r"src of shape \[N, C, H, W\]"),
        ({"src": np.zeros((1, 1, 2, 2))}, "src of float32, float16, bfloat16 or uint8"),
        ({"out": np.zeros((2, 3, 5, 4), np.float32)}, "src's height"),
        ({"out": np.zeros((2, 3, 4, 5), np.uint8)}, "out of dtype float32"),
    ],
)
def test_refusals(identity: Callable, arguments: dict, wanted: str) -> None:
    arguments = {"src": np.zeros((2, 3, 4, 5), np.float32), **arguments}
    with pytest.raises(ArgumentError, match=wanted):
        identity(**arguments)


def test_the_readme_names_each_of_its_files() -> None:
    text = (ROOT / "csrc/README.md").read_text()
    table = text[text.index("## How to add an op") :]
    named = set(re.findall(r"`template/([\w/<>.]+)`", table))
    files = {
        str(path.relative_to(TEMPLATE)).replace("identity", "<op>")
        for path in TEMPLATE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert named == files
