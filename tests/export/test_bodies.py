"""Function bodies: which one a graph gets, and who takes it.

That bodies and kernels give the same values is the business of tests/ops/test_fronts.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from cineflow import reference
from cineflow.errors import ExportError
from cineflow.export import export_bundle
from cineflow.export.check import check_file, lint_model
from cineflow.export.engines.builder import EngineBuild
from cineflow.export.graph.model import inline
from cineflow.export.ops import OPERATORS, attach_bodies
from cineflow.export.verify import verify_bundle
from cineflow.runtime.engines.onnxruntime import register_op_library
from tests.op_calls import OPS, ROWS, VOLUMES, Call, Op, make_call
from tests.ops.fronts import feeds, graph, open_session

RECIPE = Path(__file__).with_name("all_ops_recipe.py")
EACH_OP = pytest.mark.parametrize("op", ROWS.values(), ids=ROWS)

WARP = """
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[n, c, h, w] src, float[n, 2, h, w] flow) => (float[n, c, h, w] out) {
  out = cineflow.Warp <border: string = "zeros"> (src, flow)
}
"""
CORRELATION = """
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[n, c, h, w] f1, float[n, c, h, w] f2) => (float[n, 9, h, w] out) {
  one = cineflow.Correlation <radius: int = 1, scale: float = 1.0> (f1, f2)
  two = cineflow.Correlation <radius: int = 1, scale: float = 2.0> (f1, f2)
  out = Sub (two, one)
}
"""
POLAR = """
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[n, c, h, w] src, float[m, 2] centre) => (float[n, c, 8, 6] out) {
  out = cineflow.PolarResample <rows: int = 8, columns: int = 6, angle_step: float = 0.75>
        (src, centre)
}
"""

#: Polar coordinates and back, to the size of an image whose width is open.
POLAR_RECIPE = """
import torch

from cineflow import ops
from cineflow.spec import Axis, ModelSpec, TensorSpec

GRID = ops.PolarGrid(angles=32, radii=8, last_radius=8.0)
IMAGE = (1, 1, 16, Axis("width", 8, 64, 8))
SPEC = ModelSpec(
    name="there_and_back",
    summary="",
    inputs=(TensorSpec("image", "float32", IMAGE, "grey level"),),
    outputs=(TensorSpec("back", "float32", IMAGE, "grey level", tolerance=1e-2),),
)


class ThereAndBack(torch.nn.Module):
    def forward(self, image):
        polar = ops.polar_resample(image, (8.0, 8.0), GRID)
        return ops.polar_unresample(polar, (8.0, 8.0), GRID, image.shape[2:])


build = ThereAndBack


def example_inputs(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    return {"image": torch.rand((1, 1, 16, sizes["width"]), generator=generator)}
"""


def typical(op: Op, storage: str = "float32") -> Call:
    return make_call(op, op.typical, shape=(2, 3, 11, 14), seed=3, storage=storage)


def with_bodies(text: str) -> onnx.ModelProto:
    model = onnx.parser.parse_model(text)
    attach_bodies(model)
    return model


def test_every_op_has_a_body_and_a_test():
    assert {op.node for op in OPS.values()} == set(OPERATORS)
    takes = {name for name, row in OPERATORS.items() if row.takes_volumes}
    assert {op.node for op in VOLUMES.values()} == takes


@EACH_OP
def test_the_checker_takes_every_body(op):
    for storage in op.storages:
        onnx.checker.check_model(with_bodies(graph(typical(op, storage))), full_check=True)


@EACH_OP
def test_a_graph_with_the_op_has_no_finding(op):
    model = with_bodies(graph(typical(op)))
    assert [str(f) for f in lint_model(model) if f.severity == "error"] == []


@EACH_OP
def test_the_inlined_graph_is_the_body(op):
    call = typical(op)
    model = with_bodies(graph(call))
    flat = inline(model)
    assert {node.domain for node in flat.graph.node} == {""}
    results = [
        ort.InferenceSession(m.SerializeToString()).run(None, feeds(call))[0] for m in (model, flat)
    ]
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6, atol=1e-5)


def test_a_model_of_every_op_exports_and_proves_itself(tmp_path):
    """Torch against bodies, kernels and segments; then verifier and linter on what was written."""
    bundle = export_bundle(RECIPE, tmp_path / "all_ops", inlined=True, split_ops=True)
    assert {kind for kind in bundle.manifest["operators"] if kind.startswith("cineflow::")} == {
        f"cineflow::{name}" for name in OPERATORS
    }
    assert {row["runtime"] for row in bundle.manifest["parity"]} >= {
        "onnxruntime", "onnxruntime-segments",
    }  # fmt: skip
    assert verify_bundle(bundle, RECIPE).passed
    assert check_file(bundle.path / "model-inlined.onnx") == []


def test_a_size_that_an_input_decides_is_not_an_attribute(tmp_path):
    file = tmp_path / "recipe.py"
    file.write_text(POLAR_RECIPE)
    with pytest.raises(ExportError, match="PolarUnresample with a number for columns"):
        export_bundle(file, tmp_path / "out")
    assert export_bundle(file, tmp_path / "out", sizes={"width": 24})


@pytest.mark.parametrize(
    ("text", "good", "bad", "wanted"),
    [
        (WARP, "zeros", "mirror", "mirror"),
        (WARP, "cineflow.Warp", "cineflow.Wrap", "Wrap"),
        (WARP, "border", "bordr", r"attributes of \['border'\]; got \['bordr'\]"),
        (WARP, "border", "from_bytes", r"attributes of \['border'\]; got \['from_bytes'\]"),
        (CORRELATION, "radius: int = 1,", "radius: int = 33,", "33"),
        (CORRELATION, "radius: int = 1,", "dilation: int = 0,", "dilation"),
        (POLAR, "angle_step: float = 0.75", "angle_step: float = 0.0", "known attributes"),
        (POLAR, ", angle_step: float = 0.75", "", r"with the attributes \['angle_step'\]"),
        (POLAR, "rows: int = 8", "rows: int = 0", "known attributes"),
    ],
)
def test_what_the_kernels_refuse_has_no_body(text, good, bad, wanted):
    assert good in text
    with pytest.raises(ExportError, match=wanted):
        with_bodies(text.replace(good, bad))


def test_nodes_that_differ_in_structure_are_refused():
    other = '  moved = cineflow.Warp <border: string = "clamp"> (src, flow)\n  out ='
    with pytest.raises(ExportError, match="same attributes"):
        with_bodies(WARP.replace("  out =", other))


LEVELS = """
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[1, 1, 24, 32] a, float[1, 1, 24, 32] b, float[1, 1, 12, 16] fine,
      float[1, 1, 6, 8] coarse) => (NAMES) {
LINES
}
"""


def levels(*kinds: tuple[int, int]) -> onnx.ModelProto:
    """A graph with a Lucas-Kanade step for each (cell, refinements)."""
    lines = [
        f"out{at} = cineflow.LucasKanadeStep <cell: int = {cell}, sigma: float = 1.5, "
        f"refinements: int = {times}> (a, b, {'fine' if cell == 2 else 'coarse'})"
        for at, (cell, times) in enumerate(kinds)
    ]
    names = ", ".join(f"float[1, 2, h{at}, w{at}] out{at}" for at in range(len(kinds)))
    return with_bodies(LEVELS.replace("NAMES", names).replace("LINES", "\n".join(lines)))


def test_a_body_for_each_kind_of_level(tmp_path):
    """Nodes alike share a body. The op library knows the names, and gives the same numbers."""
    model = levels((2, 1), (4, 0), (2, 1), (4, 2))
    first, second, third = OPERATORS["LucasKanadeStep"].node_types[:3]
    assert [node.op_type for node in model.graph.node] == [first, second, first, third]
    assert [function.name for function in model.functions] == [first, second, third]
    attach_bodies(model)  # also a graph that has bodies already
    assert [node.op_type for node in model.graph.node] == [first, second, first, third]
    assert [str(found) for found in lint_model(model) if found.severity == "error"] == []

    rng = np.random.default_rng(3)
    shapes = {"a": (24, 32), "b": (24, 32), "fine": (12, 16), "coarse": (6, 8)}
    given = {name: rng.uniform(0, 9, (1, 1, *shape)) for name, shape in shapes.items()}
    given = {name: values.astype(np.float32) for name, values in given.items()}
    bodies = ort.InferenceSession(model.SerializeToString()).run(None, given)
    options = ort.SessionOptions()
    register_op_library(options)
    for got, wanted in zip(
        ort.InferenceSession(model.SerializeToString(), options).run(None, given),
        bodies,
        strict=True,
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    ort.InferenceSession(model.SerializeToString(), options)
    ran = onnx.load(tmp_path / "run.onnx").graph.node
    assert {node.op_type for node in ran} == {first, second, third}


def test_more_kinds_than_the_library_has_names_for():
    with pytest.raises(ExportError, match="at most 4 kinds of cineflow::LucasKanadeStep"):
        levels(*((2, times) for times in range(5)))


def test_bytes_and_numbers_want_two_bodies():
    other = "  bytes = Cast <to: int = 2> (src)\n  moved = cineflow.Warp (bytes, flow)\n  out ="
    with pytest.raises(ExportError, match="images of one kind"):
        with_bodies(WARP.replace("  out =", other))


VOLUME = """
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main (float[1, 1, d, h, w] src, float[1, 3, d, h, w] flow) => (float[1, 1, d, h, w] out) {
  out = cineflow.Warp (src, flow)
}
"""


def test_images_and_volumes_want_two_bodies():
    model = onnx.parser.parse_model(VOLUME)
    image = onnx.parser.parse_model(WARP)
    for node in image.graph.node:
        node.input[:], node.output[:] = ["image", "shift"], ["moved"]
        model.graph.node.append(node)
    for value, name in zip(image.graph.input, ("image", "shift"), strict=True):
        value.name = name
        model.graph.input.append(value)
    with pytest.raises(ExportError, match="images or volumes"):
        attach_bodies(model)


@pytest.mark.parametrize("known", ["src", "flow"])
def test_the_rank_of_one_input_is_enough(known):
    """Also of one that another op of ours makes, which shape inference does not follow."""
    model = onnx.parser.parse_model(
        VOLUME.replace("  out =", "  twice = cineflow.ComposeFlow (flow, flow)\n  out =").replace(
            "(src, flow)", "(src, twice)"
        )
    )
    for value in model.graph.input:
        if value.name != known:
            value.type.tensor_type.ClearField("shape")
    if known == "src":  # then the composition itself is of unknown rank
        model.graph.node.remove(model.graph.node[0])
        model.graph.node[0].input[1] = "flow"
    attach_bodies(model)
    function = next(one for one in model.functions if one.name == "Warp")
    (grid,) = [node for node in function.node if node.op_type == "Transpose"]
    assert list(grid.attribute[0].ints) == [0, 2, 3, 4, 1]


def test_nodes_may_differ_in_scale():
    f1, f2 = np.random.default_rng(0).normal(size=(2, 1, 4, 5, 6)).astype(np.float32)
    (got,) = open_session(CORRELATION, None).run(None, {"f1": f1, "f2": f2})
    wanted = reference.correlation(f1, f2, radius=1, scale=1.0)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize(("frames", "centres"), [(1, 3), (6, 2), (6, 4), (2, 0)])
def test_centres_for_some_of_the_frames_are_refused(frames, centres):
    inputs = {
        "src": np.zeros((frames, 6, 5, 5), np.float32),
        "centre": np.zeros((centres, 2), np.float32),
    }
    with pytest.raises(Exception, match=r"(Expand|Reshape) node"):
        open_session(POLAR, None).run(None, inputs)


def test_an_absent_attribute_means_the_default():
    call = typical(OPS["correlation"])
    given = graph(call).replace("scale: float = 0.125", "scale: float = 1.0")
    absent = graph(call).replace(", scale: float = 0.125", "").replace("radius: int = 4, ", "")
    results = [open_session(text, None).run(None, feeds(call))[0] for text in (given, absent)]
    np.testing.assert_array_equal(*results)


EACH_STORAGE = pytest.mark.parametrize(
    ("op", "storage"),
    [
        pytest.param(op, storage, id=f"{op.label}-{storage}")
        for op in ROWS.values()
        for storage in op.storages
    ],
)


def build(op: Op, storage: str, border: str, capability: int) -> bytes:
    """A TensorRT-RTX engine for batches of 1 to 4, from the op's body."""
    trt = pytest.importorskip("tensorrt_rtx")
    options = op.typical | ({"border": border} if "border" in op.typical else {})
    calls = [make_call(op, options, shape=(n, 8, 16, 24), storage=storage) for n in (1, 2, 4)]
    shapes = [{name: values.shape for name, values in c.inputs.items()} for c in calls]
    model = with_bodies(graph(calls[0]))
    return EngineBuild(trt, "tensorrt-rtx", op.name, model, capability, tuple(shapes))()


@pytest.mark.parametrize("border", ["zeros", "clamp"])
@EACH_STORAGE
def test_tensorrt_rtx_builds_every_body(op, storage, border):
    assert len(build(op, storage, border, 120)) > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("capability", [86, 89])
@EACH_STORAGE
def test_tensorrt_rtx_builds_every_body_for_older_cards(op, storage, capability):
    assert len(build(op, storage, "clamp", capability)) > 10_000
