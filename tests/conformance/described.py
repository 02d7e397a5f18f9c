"""What cases.json describes: frames and further tensors, and what it is to be the same."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.conformance.bare_client import Tensor

SUITE = json.loads((Path(__file__).parent / "cases.json").read_text())


def declared_parameters(declared: Mapping[str, Any]) -> dict[str, int | str]:
    """What a stream declares, as parameters of its first request."""
    found: dict[str, int | str] = {}
    if "rate" in declared:
        found["period_us"] = round(1e6 / declared["rate"])
        found["budget_us"] = round(1e3 * declared["budget_ms"])
    if "traceparent" in declared:
        found["traceparent"] = declared["traceparent"]
    return found


def texture(described: Mapping[str, Any]) -> Tensor:
    """A frame of cases.json."""
    height, width = described.get("size", SUITE["size"])
    rows, columns = np.mgrid[:height, :width]
    grey = np.zeros(rows.shape, np.int64)
    for wave in SUITE["texture"]["waves"]:
        place = wave["t"] * described["t"] + wave["y"] * rows + wave["x"] * columns
        rest = place % wave["period"]
        grey += wave["times"] * np.minimum(rest, wave["period"] - rest)
    assert grey.max() <= 255
    kind = described.get("datatype", "UINT8")
    frame = grey.astype(np.uint8 if kind == "UINT8" else np.float32)
    if described.get("nan"):
        frame[0, 0] = np.nan
    return Tensor(kind, frame.shape, frame.tobytes())


def tensor(described: Mapping[str, Any]) -> Tensor:
    """A further tensor of cases.json. As a texture it counts through the grey levels."""
    values = described.get("values", ())
    shape = tuple(described.get("shape", [len(values)]))
    if described.get("texture"):
        values = [7 * k % 251 / 8 for k in range(math.prod(shape))]
    return Tensor.of(described["datatype"], values, shape)


def array(one: Tensor) -> np.ndarray:
    kinds = {"UINT8": "u1", "FP32": "<f4", "FP64": "<f8", "INT64": "<i8", "FP16": "<f2"}
    return np.frombuffer(one.data, kinds[one.datatype]).reshape(one.shape)


def require_same(name: str, there: Tensor, here: np.ndarray) -> None:
    """Notes are compared as JSON, everything else to the bit."""
    if name == "notes":
        said = json.loads(bytes(here))
        said.pop("direct", None)  # an offer, for who has asked for it
        assert json.loads(there.data) == said
        return
    assert there.shape == here.shape, name
    assert there.data == here.tobytes(), f"{name}: {array(there)} and {here}"
