"""The reference engine follows the protocol of the other engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cineflow.errors import ArgumentError, EngineError
from cineflow.runtime import Bundle
from cineflow.runtime.engines.torch import TorchEngine

IMAGE = np.full((1, 1, 4, 8), 2, np.float32)
INPUTS = {"image": IMAGE, "flow": np.zeros((1, 2, 4, 8), np.float32), "sum_in": IMAGE}


def test_runs_a_module_by_name(tiny: Path) -> None:
    engine = TorchEngine(
        lambda image, flow, past: (2 * image, past + image), Bundle.load(tiny).spec
    )
    outputs = engine.run(INPUTS)
    assert list(outputs) == ["moved", "sum_out"]
    assert (outputs["sum_out"] == 4).all()


def test_refuses_what_does_not_fit(tiny: Path) -> None:
    engine = TorchEngine(lambda image, flow, past: image, Bundle.load(tiny).spec)
    with pytest.raises(EngineError, match="1 tensors"):
        engine.run(INPUTS)
    with pytest.raises(ArgumentError, match="inputs"):
        engine.run({"image": IMAGE})
