"""Calls of `pair_blocks`, and the comparison with its reference. Plain NumPy, as tests/op_calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.core.cuda_backend import Backend

FIELDS = ("count", "grey_a", "grey_b", "pixels", "aa", "bb", "ab", "xx", "xy", "yy",
          "flow_x", "flow_y", "deformation", "folded")  # fmt: skip


def pair(
    height: int, width: int, dtype: Any = np.uint8, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A textured pair with a black corner, and a flow that leaves the image and folds."""
    rng = np.random.default_rng(seed)
    previous, current = rng.uniform(0, 255, (2, height, width))
    previous[: height // 3, : width // 2] = current[: height // 2, : width // 2] = 0
    flow = rng.normal(0, 3, (2, height, width)).astype(np.float32)
    return previous.astype(dtype), current.astype(dtype), flow


def agree(got: np.ndarray, expected: np.ndarray) -> None:
    """Within f32 rounding of the largest value of each field, and of the variances for products."""
    for name, one, other in zip(FIELDS, got, expected, strict=True):
        scale = np.abs(expected[4:6] if name in ("aa", "bb", "ab") else other).max()
        if name in ("xx", "xy", "yy"):
            scale = np.abs(expected[7:10]).max()
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=2e-6 * max(scale, 1), err_msg=name)


def on_gpu(cuda: Backend, *arrays: np.ndarray) -> np.ndarray:
    """The CUDA kernels on previous, current, flow and, if it is given, a mask."""
    previous, current, flow, *mask = (cuda.put(one, one.dtype.name) for one in arrays)
    height, width = arrays[2].shape[1:]
    blank = np.full((14, max(1, height // 16), max(1, width // 16)), 3, np.float32)
    result = cuda.put(blank, "float32")
    floats = cuda.module.pair_blocks_floats(height, width)
    workspace = cuda.put(np.full(floats, np.nan, np.float32), "float32")
    used = mask[0] if mask else None
    cuda.module.pair_blocks(previous, current, flow, used, result, workspace)
    return cuda.get(result)


SIZES = [
    (16, 16),
    (48, 64),
    (37, 53),
    (33, 16),
    (15, 40),
    (40, 7),
    (4, 6),
    (3, 50),
    (1, 1),
    (1, 20),
]
