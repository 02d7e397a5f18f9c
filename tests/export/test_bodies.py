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
