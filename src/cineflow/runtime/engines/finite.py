"""Whether the values of a tensor are finite, found by ONNX Runtime where the tensor lies.

A state that stays on a card cannot be looked at there by NumPy. So a model of three operators
computes the sum of x - x, which is 0 if every value is finite, and NaN otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: NumPy's name of a type -> ONNX's number.
_ELEMENTS = {"float32": 1, "float16": 10, "float64": 11}
_F32 = _ELEMENTS["float32"]


class FiniteCheck:
    """Looks at tensors of one type. Any thread may use it.

    Args:
        ort: The module onnxruntime.
        dtype: Of the tensors.
        provider: Execution provider of the session that makes them.
    """

    def __init__(self, ort: Any, dtype: np.dtype, provider: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        model = sum_of_differences(dtype)
        self._session = ort.InferenceSession(model, options, providers=[provider])

    def __call__(self, value: Any) -> bool:
        """Whether every value of an `OrtValue` is finite. One number leaves its device."""
        binding = self._session.io_binding()
        binding.bind_ortvalue_input("x", value)
        binding.bind_output("y")
        self._session.run_with_iobinding(binding)
        return bool(binding.get_outputs()[0].numpy() == 0)


def sum_of_differences(dtype: np.dtype) -> bytes:
    """The ONNX model y = ReduceSum(Cast(x - x)): x of any shape, y one f32 (opset 13).

    Written by hand, because serving does not need the package onnx.
    """
    nodes = (
        _node("Sub", "x", "x", to="difference"),
        _node("Cast", "difference", to="single", attribute=("to", _F32)),
        _node("ReduceSum", "single", to="y", attribute=("keepdims", 0)),
    )
    ends = _tensor(11, "x", _ELEMENTS[dtype.name]), _tensor(12, "y", _F32)
    graph = b"".join((*(_field(1, node) for node in nodes), _field(2, b"g"), *ends))
    return b"\x08\x08" + _field(7, graph) + _field(8, b"\x0a\x00\x10\x0d")


def _node(kind: str, *inputs: str, to: str, attribute: tuple[str, int] | None = None) -> bytes:
    parts = [*(_field(1, name.encode()) for name in inputs), _field(2, to.encode())]
    parts.append(_field(4, kind.encode()))
    if attribute is not None:
        name, value = attribute
        parts.append(_field(5, _field(1, name.encode()) + bytes([0x18, value, 0xA0, 0x01, 0x02])))
    return b"".join(parts)


def _tensor(number: int, name: str, element: int) -> bytes:
    return _field(number, _field(1, name.encode()) + _field(2, _field(1, bytes([0x08, element]))))


def _field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message whose content has a length."""
    low, high = len(content) & 0x7F, len(content) >> 7
    length = bytes([low | 0x80, high]) if high else bytes([low])
    return bytes([number << 3 | 2]) + length + content
