"""ONNX Runtime against torch over phantom clips, with our op library and without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cineflow.export import export_bundle
from cineflow.export.bundle import build_module
from cineflow.export.recipe import load_recipe
from cineflow.runtime.engine import Engine
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cineflow.runtime.engines.torch import TorchEngine
from cineflow.runtime.stream import Stream
from tests.models.streams import cine_mr
from tests.models.test_flow4d import beating

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: Frames of each clip: two windows of the longest window.
FRAMES = 16
IMAGE, VOLUME = (64, 64), (16, 24, 32)
NAMES = {
    "flow4d": VOLUME,
    "flow4d_window": VOLUME,
    "joint_motion_seg": IMAGE,
    "pairwise_motion": IMAGE,
    "pairwise_motion_reference": IMAGE,
    "pairwise_motion_window": IMAGE,
    "flow_pwc": IMAGE,
    "flow_pwc_stream": IMAGE,
}


def clip_of(size: tuple[int, ...]) -> np.ndarray:
    """A beating phantom, u8 [FRAMES, *size]."""
    if len(size) == 3:
        return beating(size, FRAMES)[:, 0].numpy().astype(np.uint8)
    return cine_mr(*size, FRAMES, 1)


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_of_a_phantom_is_within_tolerance(name: str, tmp_path: Path) -> None:
    """Each runtime has a stream of its own, so what their states lead to is compared as well."""
    size, recipe = NAMES[name], load_recipe(name, "small")
    axes = ("depth", "height", "width")[-len(size) :]
    bundle = export_bundle(recipe, tmp_path / "b", sizes=dict(zip(axes, size, strict=True)))
    engines: dict[str, Engine] = {
        "torch": TorchEngine(build_module(recipe), recipe.spec),
        "bodies": OnnxRuntimeEngine(bundle, 1, use_op_library=False),
        "library": OnnxRuntimeEngine(bundle, 1),
    }
    streams = {key: Stream(engine, bundle.spec) for key, engine in engines.items()}
    compared = 0
    for frame in clip_of(size):
        results = {key: stream.push(frame) for key, stream in streams.items()}
        for output in bundle.spec.outputs:
            if output.name not in results["torch"].outputs:
                continue  # a window that is not full
            wanted = results["torch"].outputs[output.name].values
            for key in ("bodies", "library"):
                found = results[key].outputs[output.name].values
                if np.issubdtype(wanted.dtype, np.integer):
                    assert (found == wanted).mean() > 0.99, (key, output.name)
                else:
                    assert np.abs(found - wanted).max() <= output.tolerance, (key, output.name)
            compared += 1
    assert compared >= 2
