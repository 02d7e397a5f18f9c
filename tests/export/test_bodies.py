"""Node and body are one function: the ONNX body against the kernel, out-of-range cases included."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from cineflow import reference
from cineflow.errors import ExportError
from cineflow.export.operators import attach_bodies
from cineflow.runtime.engines.onnxruntime import op_library_path

ONNX_TYPE = {"float32": "float", "float16": "float16"}

needs_library = pytest.mark.skipif(op_library_path() is None, reason="op library is not built")
BOTH = pytest.mark.parametrize(
    "library", [False, pytest.param(True, marks=needs_library)], ids=["body", "library"]
)


def run_node(text: str, inputs: Mapping[str, np.ndarray], library: bool) -> np.ndarray:
    """One graph, through our op library or through the bodies."""
    model = onnx.parser.parse_model(text)
    attach_bodies(model)
    onnx.checker.check_model(model, full_check=True)
    options = ort.SessionOptions()
    if library:
        options.register_custom_ops_library(str(op_library_path()))
    session = ort.InferenceSession(model.SerializeToString(), options)
    (output,) = session.run(None, dict(inputs))
    return output


def warp_graph(border: str, dtype: str = "float32") -> str:
    kind = ONNX_TYPE[dtype]
    return f"""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main ({kind}[n, c, h, w] src, float[n, 2, ho, wo] flow) => ({kind}[n, c, ho, wo] out)
{{
  out = cineflow.Warp <border: string = "{border}"> (src, flow)
}}
"""


def warp_inputs(dtype: str = "float32") -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    src = random.uniform(0, 255, (2, 3, 11, 14)).astype(dtype)
    flow = random.normal(0, 6, (2, 2, 11, 14)).astype(np.float32)
    return {"src": src, "flow": flow}


@BOTH
@pytest.mark.parametrize("border", ["zeros", "clamp"])
def test_warp_matches_the_reference(border: str, library: bool) -> None:
    inputs = warp_inputs()
    out = run_node(warp_graph(border), inputs, library)
    expected = reference.warp(inputs["src"], inputs["flow"], border=border)
    np.testing.assert_allclose(out, expected, atol=2e-3)  # 255 grey levels, f32 coordinates


@BOTH
@pytest.mark.parametrize("border", ["zeros", "clamp"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channel", [0, 1])
def test_non_finite_flow_gives_zero(border: str, value: float, channel: int, library: bool) -> None:
    inputs = warp_inputs()
    inputs["flow"][:] = 0
    inputs["flow"][:, channel, 2, 3] = value
    out = run_node(warp_graph(border), inputs, library)
    assert (out[:, :, 2, 3] == 0).all()
    np.testing.assert_allclose(out[:, :, 5], inputs["src"][:, :, 5], atol=2e-3)


@BOTH
@pytest.mark.parametrize("value", [1e5, 1e20, -1e20, 3e38])
def test_huge_flow_is_outside(value: float, library: bool) -> None:
    inputs = warp_inputs()
    inputs["flow"][:] = 0
    inputs["flow"][:, 0, 2, 3] = value
    out = run_node(warp_graph("zeros"), inputs, library)
    assert (out[:, :, 2, 3] == 0).all()
    out = run_node(warp_graph("clamp"), inputs, library)
    edge = inputs["src"][:, :, 2, -1 if value > 0 else 0]
    np.testing.assert_allclose(out[:, :, 2, 3], edge, atol=2e-3)


@BOTH
@pytest.mark.parametrize("border", ["zeros", "clamp"])
def test_half_features_keep_single_coordinates(border: str, library: bool) -> None:
    inputs = warp_inputs("float16")
    inputs["flow"][:] = 0.37
    out = run_node(warp_graph(border, "float16"), inputs, library)
    expected = reference.warp(inputs["src"].astype(np.float32), inputs["flow"], border=border)
    assert out.dtype == np.float16
    np.testing.assert_allclose(out, expected, rtol=1e-3, atol=2e-3)  # f16 keeps 11 bits


@BOTH
@pytest.mark.parametrize("border", ["zeros", "clamp"])
def test_flow_of_another_size_than_the_image(border: str, library: bool) -> None:
    inputs = warp_inputs()
    inputs["flow"] = np.ascontiguousarray(inputs["flow"][:, :, :5, :9])
    out = run_node(warp_graph(border), inputs, library)
    expected = reference.warp(inputs["src"], inputs["flow"], border=border)
    np.testing.assert_allclose(out, expected, atol=2e-3)


def test_nodes_that_differ_in_attributes_are_refused() -> None:
    text = warp_graph("zeros").replace(
        "  out =", '  moved = cineflow.Warp <border: string = "clamp"> (src, flow)\n  out ='
    )
    with pytest.raises(ExportError, match="same attributes"):
        attach_bodies(onnx.parser.parse_model(text))


def test_unknown_attribute_value_is_refused() -> None:
    with pytest.raises(ExportError, match="mirror"):
        attach_bodies(onnx.parser.parse_model(warp_graph("mirror")))


def test_unknown_node_is_refused() -> None:
    text = warp_graph("zeros").replace("cineflow.Warp", "cineflow.Wrap")
    with pytest.raises(ExportError, match="Wrap"):
        attach_bodies(onnx.parser.parse_model(text))


def correlation_by_loops(
    f1: np.ndarray, f2: np.ndarray, radius: int, dilation: int, scale: float, x_major: int
) -> np.ndarray:
    """The definition, one displacement at a time."""
    height, width = f1.shape[2:]
    reach = radius * dilation
    padded = np.pad(f2, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    planes = []
    for a in range(2 * radius + 1):
        for b in range(2 * radius + 1):
            dy, dx = (b, a) if x_major else (a, b)
            moved = padded[:, :, dy * dilation :, dx * dilation :][:, :, :height, :width]
            planes.append((f1 * moved).sum(axis=1))
    return scale * np.stack(planes, axis=1)


def correlation_graph(dtype: str, **attributes: float) -> str:
    kind = ONNX_TYPE[dtype]
    kinds = {int: "int", float: "float"}
    words = ", ".join(f"{name}: {kinds[type(v)]} = {v}" for name, v in attributes.items())
    return f"""
<ir_version: 10, opset_import: ["" : 20, "cineflow" : 1]>
main ({kind}[n, c, h, w] f1, {kind}[n, c, h, w] f2) => ({kind}[n, k, h, w] out)
{{
  out = cineflow.Correlation <{words}> (f1, f2)
}}
"""


@BOTH
@pytest.mark.parametrize("shape", [(1, 8, 16, 16), (2, 5, 7, 13), (1, 3, 1, 1), (1, 4, 3, 40)])
@pytest.mark.parametrize(
    ("radius", "dilation", "scale", "x_major"),
    [
        (4, 1, 0.125, 0),
        (2, 1, 0.5, 1),
        (1, 3, 1.0, 0),
        (3, 2, 0.25, 1),
        (6, 1, 0.1, 0),
    ],
)
def test_correlation_matches_its_definition(
    shape: tuple[int, ...], radius: int, dilation: int, scale: float, x_major: int, library: bool
) -> None:
    random = np.random.default_rng(3)
    f1, f2 = random.normal(size=(2, *shape)).astype(np.float32)
    arguments = {"radius": radius, "dilation": dilation, "scale": scale, "x_major": x_major}
    out = run_node(correlation_graph("float32", **arguments), {"f1": f1, "f2": f2}, library)
    expected = correlation_by_loops(f1, f2, radius, dilation, scale, x_major)
    np.testing.assert_allclose(out, expected, atol=1e-5)


@BOTH
def test_correlation_of_half_features_sums_in_single(library: bool) -> None:
    random = np.random.default_rng(3)
    f1, f2 = (40 * random.normal(size=(2, 1, 64, 9, 9))).astype(np.float16)
    out = run_node(
        correlation_graph("float16", radius=2, scale=0.015625), {"f1": f1, "f2": f2}, library
    )
    wide = f1.astype(np.float32), f2.astype(np.float32)
    expected = correlation_by_loops(*wide, 2, 1, 0.015625, 0)
    np.testing.assert_allclose(out, expected, rtol=2e-3, atol=1e-2)


def test_nodes_may_differ_in_scale() -> None:
    text = (
        correlation_graph("float32", radius=1, scale=2.0)
        .replace(
            "  out =",
            "  one = cineflow.Correlation <radius: int = 1, scale: float = 1.0> (f1, f2)\n  two =",
        )
        .replace("(f1, f2)\n}", "(f1, f2)\n  out = Sub (two, one)\n}")
    )
    f1, f2 = np.random.default_rng(0).normal(size=(2, 1, 4, 5, 6)).astype(np.float32)
    out = run_node(text, {"f1": f1, "f2": f2}, library=False)
    np.testing.assert_allclose(out, correlation_by_loops(f1, f2, 1, 1, 1.0, 0), atol=1e-5)
