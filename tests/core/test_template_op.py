"""The template of an op (csrc/template) where it lies, in every front.

Its CUDA kernel also runs in test_cuda_kernels.py (under the shim), test_cuda_resources.py (nvcc)
and test_sanitizers.py (a build without CUDA). test_add_an_op.py makes a real op of it.
"""

from __future__ import annotations

import dataclasses
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import cineflow
from cineflow import _C, ops
from cineflow.errors import ArgumentError
from tests.core.cuda_backend import Backend
from tests.op_calls import Call, agree, make_call, template_op
from tests.ops.fronts import feeds, numpy_front, torch_front

TEMPLATE = Path(__file__).resolve().parents[2] / "csrc/template"
OP = template_op()
EACH_STORAGE = pytest.mark.parametrize("storage", OP.storages)


def call_of(storage: str = "float32", layout: str = "planar") -> Call:
    return make_call(OP, shape=(2, 3, 5, 9), storage=storage, layout=layout)


def test_it_is_not_part_of_cineflow() -> None:
    assert not hasattr(_C, OP.name)
    assert not hasattr(ops, OP.name)


@pytest.fixture
def identity(cuda: Backend, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The public function, as if its file lay in src/cineflow/ops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cineflow, "_C", cuda.module)
        function = runpy.run_path(str(TEMPLATE / "python/ops/identity.py"))[OP.name]
    monkeypatch.setattr(ops, OP.name, function, raising=False)
    return function


@pytest.mark.parametrize("layout", ["planar", "transposed"])
@EACH_STORAGE
def test_numpy(identity: Any, storage: str, layout: str) -> None:
    call = call_of(storage, layout)
    front = numpy_front(_C.instruction_set())
    agree(front.run(call), call)
    given = dataclasses.replace(
        call, layouts={**call.layouts, "out": "gapped"}, stored_as="float16"
    )
    agree(front.run(given), given)


def test_any_number_of_threads_gives_the_same(cuda: Backend, identity: Any) -> None:
    src = np.random.default_rng(4).random((2, 3, 61, 67), np.float32)
    before = cuda.module.thread_count()
    try:
        for threads in (1, 2, 5):
            cuda.module.set_thread_count(threads)
            np.testing.assert_array_equal(identity(src), src)
    finally:
        cuda.module.set_thread_count(before)


@EACH_STORAGE
def test_torch(identity: Any, storage: str) -> None:
    torch = pytest.importorskip("torch")
    call = call_of(storage, "transposed")
    agree(torch_front().run(call), call)  # registers the operator
    src = torch.from_numpy(call.inputs["src"]).to(getattr(torch, storage)).transpose(2, 3)
    torch.library.opcheck(torch.ops.cineflow.identity, (src,))


def test_cupy(cuda: Backend, cupy: ModuleType, identity: Any) -> None:
    call = call_of()
    before = cuda.shim.cuda_shim_launches() if cuda.shim else 0
    got = identity(cupy.asarray(call.inputs["src"]))
    assert isinstance(got, cupy.ndarray)
    agree(cupy.asnumpy(got), call)
    if cuda.shim:
        assert cuda.shim.cuda_shim_launches() == before + 1


@pytest.mark.parametrize(
    ("way", "storage"),
    [
        ("kernel", "float16"),
        ("body", "uint8"),
        *(
            pytest.param(way, storage, marks=pytest.mark.slow)
            for way in ("kernel", "body")
            for storage in ("float32", "float16", "uint8")
            if (way, storage) not in (("kernel", "float16"), ("body", "uint8"))
        ),
    ],
)
def test_onnx(
    cuda: Backend, identity: Any, monkeypatch: pytest.MonkeyPatch, way: str, storage: str
) -> None:
    torch = pytest.importorskip("torch")
    import onnxruntime as ort

    from cineflow.export import ops as rows

    if way == "kernel" and cuda.op_library is None:
        pytest.skip("libcineflow_ort.so is not built: no ONNX Runtime headers on this machine")
    row = runpy.run_path(str(TEMPLATE / "python/export/identity.py"))["OP"]
    monkeypatch.setitem(rows.OPERATORS, OP.node, row)

    class Model(torch.nn.Module):
        def forward(self, src: torch.Tensor) -> torch.Tensor:
            return ops.identity(src)

    call = call_of(storage)
    src = torch.from_numpy(feeds(call)["src"])
    identity(src)  # registers the operator
    program = torch.onnx.export(
        Model().eval(),
        (src,),
        dynamo=True,
        opset_version=20,
        custom_translation_table=rows.translation_table(),
        verbose=False,
    )
    model = program.model_proto
    assert [(node.domain, node.op_type) for node in model.graph.node] == [("cineflow", OP.node)]
    options = ort.SessionOptions()
    if way == "kernel":
        options.register_custom_ops_library(str(cuda.op_library))
    else:
        rows.attach_bodies(model)
    session = ort.InferenceSession(model.SerializeToString(), options)
    (got,) = session.run(None, {session.get_inputs()[0].name: src.numpy()})
    agree(got, call)


def test_onnxruntime_reports_what_the_op_refuses(cuda: Backend) -> None:
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
    ("changes", "wanted"), OP.refusals, ids=[wanted for _, wanted in OP.refusals]
)
def test_refusals(identity: Any, changes: Mapping[str, Any], wanted: str) -> None:
    good = make_call(OP, shape=(1, 3, 4, 5)).inputs
    with pytest.raises(ArgumentError, match=wanted):
        identity(**good | changes)
