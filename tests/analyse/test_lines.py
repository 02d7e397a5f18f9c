"""Strain along lines: exact motion gives exact strain, in every view and beat."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.strain_error import true_strain, wall_of
from cineflow.cine import Geometry
from cineflow.cli.analyse.follow import PointFollower
from cineflow.cli.analyse.wall_file import drawn
from cineflow.errors import ArgumentError
from cineflow.motion.clip_beats import beats_of_clip
from cineflow.motion.lines import follow_back, follow_flow, short_axis, tissue
from cineflow.motion.strain_curves import measure_lines
from cineflow.motion.strain_error import accumulated_px, strain_sigma
from cineflow.phantom import Beat, Phantom, ShortAxisPhantom
from cineflow.phantom import apical as apical_phantom


class Told:
    """A stream's result with a flow that is known."""

    def __init__(self, index: int, flow: np.ndarray) -> None:
        self.described, self.flow = index, flow


def told_flows(phantom: Phantom) -> list[Told]:
    still = np.zeros((2, *phantom.size), np.float32)
    return [Told(0, still)] + [Told(i + 1, phantom.flow(i, i + 1)) for i in range(len(phantom) - 1)]


@pytest.mark.parametrize(("make", "frame"), [(ShortAxisPhantom, 3), (apical_phantom, 0)])
def test_exact_motion_gives_exact_strain(make, frame: int) -> None:
    phantom = make(1, beat=Beat(frame_rate_hz=8.0))
    spacing = phantom.spacing_mm[0], phantom.spacing_mm[1]
    wall = drawn(wall_of(phantom)).wall(spacing)
    assert wall is not None
    size = phantom.size[0], phantom.size[1]
    truth = phantom.track(wall.points * np.array(spacing[::-1]))
    follower = PointFollower(truth[frame], frame, Geometry(size, size, size), len(phantom))
    for told in told_flows(phantom):
        follower.add(told)
    path = follower.path()
    np.testing.assert_allclose(path, truth, atol=0.3)  # the flow bends at the border
    beats = beats_of_clip(phantom.times_ms, None, ed=[0])
    strain = measure_lines(path, wall, beats, np.zeros(len(phantom)), spacing_mm=spacing)
    # The points of this wall at frame 0 are the material, wherever they were drawn.
    np.testing.assert_allclose(strain.strain, true_strain(strain, phantom), atol=0.015)
    assert np.abs(strain.strain[-1]).max() > 0.1  # it moved
    names = {part.name for part in strain.parts if part.segment}
    assert len(names) == 6


def test_points_go_back_where_they_came_from() -> None:
    y, x = np.mgrid[:40, :50].astype(np.float32)
    flow = np.stack([1.5 + 0.05 * y, 0.04 * x - 1.0])
    points = np.array([[10.0, 12.0], [31.5, 20.25]])
    np.testing.assert_allclose(follow_back(follow_flow(points, flow), flow), points, atol=1e-3)


def test_segments_meet_at_the_anterior_wall_and_go_to_the_septum() -> None:
    around = np.deg2rad(np.arange(0, 360, 10))
    ring = np.stack([np.cos(around), np.sin(around)], axis=-1)
    wall = short_axis(50 + 10 * ring, 50 + 20 * ring, (50.0, 20.0), "mid")
    middles = {
        part.segment: wall.points[part.lines].reshape(-1, 2).mean(axis=0) - 50
        for part in wall.parts
        if part.segment and part.direction == "circumferential"
    }
    assert sorted(middles) == [7, 8, 9, 10, 11, 12]
    assert abs(middles[7][0]) < 0.1 and middles[7][1] < -10  # noqa: PT018 (anterior: up)
    assert middles[8][0] < -5 and middles[8][1] < 0  # noqa: PT018 (anteroseptal: up and left)
    assert middles[11][0] > 5


def test_a_wall_that_cannot_be_is_refused() -> None:
    around = np.deg2rad(np.arange(0, 360, 10))
    ring = np.stack([np.cos(around), np.sin(around)], axis=-1)
    with pytest.raises(ArgumentError, match="outside the endocardium"):
        short_axis(20 * ring, 10 * ring, (0.0, -30.0), "mid")
    with pytest.raises(ArgumentError, match="turns back"):
        short_axis(ring[::5].repeat(2, axis=0), 2 * ring, (0.0, -30.0), "mid")
    with pytest.raises(ArgumentError, match="Give a contour"):
        tissue(np.zeros((64, 64), bool), 4)


def test_beats_come_from_the_best_source() -> None:
    times = np.arange(60) * 40.0
    curve = 100 + 10 * np.cos(2 * np.pi * np.arange(60) / 25)
    by_curve = beats_of_clip(times, curve)
    assert [beat.ed for beat in by_curve.beats] == [0, 25]
    assert by_curve.whole
    assert by_curve.phases()[:3] == [(0, "ED"), (12, "ES"), (25, "ED")]
    assert by_curve.references(60)[[0, 24, 25, 59]].tolist() == [0, 0, 25, 25]
    said = beats_of_clip(times, curve, es=[10])
    assert (said.beats[0].es, said.beats[1].es) == (10, by_curve.beats[1].es)
    assert "end-systole given by the user" in said.source
    assert "R waves" in beats_of_clip(times, curve, triggers_ms=np.array([200.0, 1200.0])).source
    given = beats_of_clip(times, curve, ed=[3, 28], triggers_ms=np.array([200.0, 1200.0]))
    assert [beat.ed for beat in given.beats] == [3]
    assert given.beats[0].es == 12
    short = beats_of_clip(times[:15], curve[:15])
    assert not short.whole
    assert short.beats[0].ed == 0
    assert short.beats[0].es in (12, 13)
    assert "first frame" in beats_of_clip(times, None).source
    with pytest.raises(ArgumentError, match="rising frames"):
        beats_of_clip(times, None, ed=[99])


def test_uncertainty_grows_with_every_pair_and_never_hides_a_lost_one() -> None:
    errors = np.array([0.0, 3.0, 4.0, np.inf, 0.1, np.nan])
    references = np.array([0, 0, 0, 0, 4, 4])
    total = accumulated_px(errors, references)
    assert total[:3].tolist() == [0.0, 3.0, 5.0]
    assert np.isinf(total[3])
    assert total[4] == 0.0
    assert np.isinf(total[5])  # not measured is not good
    sigma = strain_sigma(np.zeros(6), total, 20.0, "longitudinal")
    assert sigma[0] == 0.0
    assert 0 < sigma[1] < sigma[2] < sigma[3] == np.inf
    assert (strain_sigma(np.zeros(3), total[:3], 40.0, "longitudinal") <= sigma[:3]).all()
    with pytest.raises(ArgumentError, match="direction"):
        strain_sigma(np.zeros(6), total, 20.0, "diagonal")


@pytest.mark.parametrize(
    "change",
    [{"septum": "Clockwise"}, {"septum": []}, {"level": {}}, {"level": "middle"}, {"ed": 3},
     {"es": [True]}, {"anterior": [10**400, 1]}],
)  # fmt: skip
def test_a_wall_with_a_wrong_word_is_refused(change) -> None:
    """An unknown sense was taken for clockwise, which exchanges the septum and the free wall."""
    around = np.deg2rad(np.arange(0, 360, 10))
    ring = np.stack([np.cos(around), np.sin(around)], axis=-1)
    wall = {"view": "short-axis", "endo": (50 + 20 * ring).tolist(), "anterior": [50, 10],
            "epi": (50 + 30 * ring).tolist()}  # fmt: skip
    assert drawn(wall).wall(None) is not None
    with pytest.raises(ArgumentError):
        drawn(wall | change).wall(None)


def test_a_line_of_no_wall_is_refused() -> None:
    wall = {"view": "two-chamber", "contour": [[10, 90], [50, 10], [90, 90]], "line": "middle"}
    with pytest.raises(ArgumentError, match="one of the lines"):
        drawn(wall).wall(None)
