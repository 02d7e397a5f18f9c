"""Loop closure on the real clip of the pydicom wheel: all that is known is that a heart returns."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from benchmarks.accuracy.measure import Tracker
from cineflow.motion.compose import compose
from cineflow.motion.metrics import loop_closure

#: The clip's parent repeats every 27 frames (about 67 beats/min at 30 frames/s).
_PERIOD = 27
_TISSUE_GREY = 30
#: Rows of burned-in text above the sector.
_TEXT_ROWS = 24


def loop_closures(methods: Mapping[str, Tracker]) -> dict[str, float]:
    """Mean length of the displacement left after one beat, px, over the bright tissue."""
    from pydicom import examples

    frames = examples.ybr_color.pixel_array
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    grey[:, :_TEXT_ROWS] = 0
    tissue = grey.mean(axis=0) > _TISSUE_GREY
    start = min(
        range(len(grey) - _PERIOD),
        key=lambda k: float(np.abs(grey[k].astype(int) - grey[k + _PERIOD]).mean()),
    )
    closures = {}
    for name, track in methods.items():
        u = np.zeros((2, *grey.shape[1:]), np.float32)
        for k in range(start, start + _PERIOD):
            u = compose(u, np.asarray(track(grey[k], grey[k + 1]), np.float32))
        closures[name] = loop_closure(u, tissue)
    return closures
