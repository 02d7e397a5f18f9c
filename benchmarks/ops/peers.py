"""The fastest other implementations of each op."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

OPSET = 20


def banded_gemms(f1: Tensor, f2: Tensor, radius: int) -> Tensor:
    """Local correlation as 2r + 1 batched matrix products of rows; only a band of each is used."""
    batch, channels, height, width = f1.shape
    side = 2 * radius + 1
    rows = f1.permute(0, 2, 3, 1).reshape(batch * height, width, channels)
    padded = functional.pad(f2, (radius,) * 4).permute(0, 2, 1, 3).contiguous()
    out = f1.new_empty(batch, side, side, height, width)
    for shift in range(side):
        neighbours = padded[:, shift : shift + height].reshape(batch * height, channels, -1)
        product = torch.bmm(rows, neighbours)
        band = product.as_strided(
            (batch * height, width, side),
            (product.stride(0), product.stride(1) + 1, 1),
        )
        out[:, shift] = band.reshape(batch, height, width, side).permute(0, 3, 1, 2)
    return out.view(batch, side * side, height, width) / channels


def banded_gemms_3d(f1: Tensor, f2: Tensor, radius: int) -> Tensor:
    """The same for volumes: (2r + 1)^2 batched matrix products of rows."""
    batch, channels, depth, height, width = f1.shape
    side = 2 * radius + 1
    count = batch * depth * height
    rows = f1.permute(0, 2, 3, 4, 1).reshape(count, width, channels)
    padded = functional.pad(f2, (radius,) * 6).permute(0, 2, 3, 1, 4).contiguous()
    out = f1.new_empty(batch, side, side, side, depth, height, width)
    for z in range(side):
        for y in range(side):
            window = padded[:, z : z + depth, y : y + height]
            product = torch.bmm(rows, window.reshape(count, channels, -1))
            band = product.as_strided(
                (count, width, side), (product.stride(0), product.stride(1) + 1, 1)
            )
            out[:, z, y] = band.reshape(batch, depth, height, width, side).permute(0, 4, 1, 2, 3)
    return out.view(batch, side**3, depth, height, width) / channels


def slices_mean_3d(f1: Tensor, f2: Tensor, radius: int) -> Tensor:
    """The usual form in torch: one product and mean per displacement."""
    size = f1.shape[2:]
    padded = functional.pad(f2, (radius,) * 6)
    steps = range(2 * radius + 1)
    return torch.stack(
        [
            (f1 * padded[:, :, z : z + size[0], y : y + size[1], x : x + size[2]]).mean(dim=1)
            for z in steps
            for y in steps
            for x in steps
        ],
        dim=1,
    )


def normalised_grid(flow: np.ndarray, align_corners: bool) -> np.ndarray:
    """The grid [N, H, W, 2] or [N, D, H, W, 3] that grid_sample takes for a pixel flow."""
    axes = []
    for axis, size in enumerate(flow.shape[:1:-1]):
        at = flow[:, axis] + np.arange(size, dtype=np.float32).reshape(-1, *[1] * axis)
        axes.append(2 * at / (size - 1) - 1 if align_corners else (2 * at + 1) / size - 1)
    return np.stack(axes, -1)


def onnxruntime_grid_sample(
    src: np.ndarray, flow: np.ndarray, threads: int
) -> Callable[[], np.ndarray]:
    """ONNX Runtime's GridSample on its fast path: bilinear, zeros, align_corners = 0."""
    import onnxruntime
    from onnx import TensorProto, helper

    node = helper.make_node(
        "GridSample", ["src", "grid"], ["out"], padding_mode="zeros", align_corners=0
    )
    graph = helper.make_graph(
        [node],
        "grid_sample",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * src.ndim)
         for name in ("src", "grid")],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * src.ndim)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"src": src, "grid": normalised_grid(flow, False).astype(np.float32)}
    return lambda: session.run(None, feed)[0]


def simpleitk_resample(
    volume: np.ndarray, flow: np.ndarray, threads: int
) -> Callable[[], Any] | None:
    """SimpleITK's warp of one volume [D, H, W], or None if SimpleITK is not installed."""
    try:
        import SimpleITK
    except ImportError:
        return None
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    image = SimpleITK.GetImageFromArray(volume)
    field = SimpleITK.GetImageFromArray(np.moveaxis(flow, 0, -1).astype(np.float64), isVector=True)
    filter_ = SimpleITK.WarpImageFilter()
    filter_.SetInterpolator(SimpleITK.sitkLinear)
    filter_.SetOutputParameteresFromImage(image)
    return lambda: filter_.Execute(image, field)


def scipy_map_coordinates(
    volume: np.ndarray, positions: np.ndarray
) -> Callable[[], np.ndarray] | None:
    """SciPy's linear sampling of `volume` [D, H, W] at `positions` [3, ...] (slice, row, column),
    or None if SciPy is not installed."""
    try:
        from scipy import ndimage
    except ImportError:
        return None

    def run() -> np.ndarray:
        found: np.ndarray = ndimage.map_coordinates(volume, positions, order=1, prefilter=False)
        return found

    return run


def openvino_grid_sample_model(shape: tuple[int, ...], threads: int) -> Any:
    """OpenVINO's GridSample for an image of `shape` [N, C, H, W], compiled for the CPU."""
    import openvino
    from openvino import opset13 as operators

    batch, _, *size = shape
    parameters = [
        operators.parameter(list(sizes), np.float32) for sizes in (shape, (batch, *size, 2))
    ]
    node: Any = operators.grid_sample(
        *parameters, {"align_corners": True, "mode": "bilinear", "padding_mode": "zeros"}
    )
    return openvino.compile_model(
        openvino.Model([node], parameters),
        "CPU",
        {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"},
    )


def openvino_grid_sample(
    src: np.ndarray, flow: np.ndarray, threads: int
) -> Callable[[], np.ndarray] | None:
    """OpenVINO's GridSample, or None if OpenVINO is not installed."""
    if find_spec("openvino") is None:
        return None
    import openvino

    compiled = openvino_grid_sample_model(src.shape, threads)
    grid = normalised_grid(flow, True).astype(np.float32)
    request = compiled.create_infer_request()
    inputs = [openvino.Tensor(src), openvino.Tensor(grid)]

    def run() -> np.ndarray:
        request.infer(inputs)
        return request.get_output_tensor(0).data

    return run
