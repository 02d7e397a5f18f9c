"""The recorder: points that continue over beats, and a mesh of whole cells."""

from __future__ import annotations

import numpy as np
import pytest

from cineflow.cine import Cine
from cineflow.errors import ArgumentError
from cineflow.report import TraceRecorder


def constant(clip: Cine, x: float, y: float) -> np.ndarray:
    return np.broadcast_to(np.array([x, y], np.float32)[:, None, None], (2, *clip.size)).copy()


def test_points_go_on_through_a_renewed_reference(clip: Cine) -> None:
    recorder = TraceRecorder(clip)
    # Displacement since the reference: frames 0..3 since frame 0, then since frame 3.
    for x, reference, beat in [(0, 0, 0), (2, 0, 0), (4, 0, 0), (6, 0, 0), (1, 3, 1), (2, 3, 1)]:
        recorder.add(constant(clip, x, -x / 2), 0.9, reference, beat)
    trace = recorder.finish()
    moved = trace.points - trace.points[0]
    np.testing.assert_allclose(moved[:, :, 0], [[v] * moved.shape[1] for v in (0, 2, 4, 6, 7, 8)])
    np.testing.assert_allclose(moved[..., 1], -moved[..., 0] / 2, atol=1e-5)
    np.testing.assert_allclose(trace.displacement[4, ..., 0], 1)  # the mesh starts again
    assert trace.reference.tolist() == [0, 0, 0, 0, 3, 3]
    assert trace.beat.tolist() == [0, 0, 0, 0, 1, 1]


def test_every_shown_node_belongs_to_a_whole_cell(clip: Cine) -> None:
    recorder = TraceRecorder(clip)
    recorder.add(constant(clip, 0, 0), 1.0, 0, 0)
    shown = recorder.finish().shown
    assert shown.sum() > 40
    cells = shown[:-1, :-1] & shown[1:, :-1] & shown[:-1, 1:] & shown[1:, 1:]
    padded = np.pad(cells, 1)
    touching = padded[:-1, :-1] | padded[1:, :-1] | padded[:-1, 1:] | padded[1:, 1:]
    assert not (shown & ~touching).any()


def test_what_does_not_fit_is_refused(clip: Cine) -> None:
    recorder = TraceRecorder(clip)
    with pytest.raises(ArgumentError, match="at least one result"):
        recorder.finish()
    with pytest.raises(ArgumentError, match="displacement"):
        recorder.add(np.zeros((2, 8, 8), np.float32), 1.0, 0, 0)
