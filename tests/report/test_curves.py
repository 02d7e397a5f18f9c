"""Curves of every frame from the windows of a model, and what is measured on a ventricle."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cineflow.cine import Cine, Geometry
from cineflow.motion.phases import Phases
from cineflow.motion.ventricle import BORDERS
from cineflow.phantom import Beat, parasternal_long_axis
from cineflow.report import ReadingsRecorder
from cineflow.report.curves import Followed, curves_of
from cineflow.report.page import render
from cineflow.report.readings import names_of
from cineflow.spec import Feed, ModelSpec, Role, TensorSpec


@pytest.fixture(scope="module")
def phantom():
    return parasternal_long_axis(0, beat=Beat(beats=1.5, frame_rate_hz=20))


def clip(frames: int, spacing: tuple[float, float] | None = (0.5, 0.5)) -> Cine:
    return Cine(
        name="clip",
        frames=np.zeros((frames, 40, 48), np.uint8),
        times_ms=50.0 * np.arange(frames),
        spacing_mm=spacing,
        spacing_reason="known",
        sector=np.ones((40, 48), bool),
    )


def test_a_ventricle_is_measured(phantom) -> None:
    points = dict(enumerate(phantom.key_points))
    curves = curves_of(clip(len(points)), points, BORDERS)
    assert curves.lengths == ("IVS [mm]", "LVID [mm]", "LVPW [mm]")
    steps = np.linalg.norm(np.diff(phantom.key_points, axis=1), axis=2) / 2
    np.testing.assert_allclose(curves.column("LVID [mm]"), steps[:, 1], rtol=1e-6)
    assert abs(curves.phases.es[0] - phantom.es) <= 1
    found = {one.name: one for one in curves.measures}
    small, large = steps[curves.phases.es[0], 1], steps[curves.phases.ed[0], 1]
    assert found["fractional shortening [%]"].value == pytest.approx(100 * (1 - small / large))
    assert found["LV mass [g]"].value > 50
    assert "normal shape" in found["ejection fraction, Teichholz [%]"].note


def test_without_a_calibration_there_are_pixels_and_no_volumes(phantom) -> None:
    points = dict(enumerate(phantom.key_points))
    curves = curves_of(clip(len(points), None), points, BORDERS)
    assert curves.lengths[1] == "LVID [px]"
    assert not any("mass" in one.name or "Teichholz" in one.name for one in curves.measures)
    assert any("shortening" in one.name for one in curves.measures)


def test_lengths_and_what_follows_from_them_have_an_uncertainty(phantom) -> None:
    points = dict(enumerate(phantom.key_points))
    count = len(points)
    accumulated = np.where(np.arange(count) < count - 2, 0.3 * np.sqrt(np.arange(count)), np.inf)
    followed = Followed(0, accumulated, 1.0)
    curves = curves_of(clip(count), points, BORDERS, followed=followed)
    assert not curves.sigma[0].any()  # drawn here
    assert (np.diff(curves.sigma[1 : phantom.es, 1]) > 0).all()
    assert np.isinf(curves.sigma[-1]).all()
    assert curves.rows[1]["LVID 2 sigma [mm]"] == pytest.approx(2 * curves.sigma[1, 1])
    assert curves.rows[-1]["LVID 2 sigma [mm]"] is None
    assert curves.lengths == ("IVS [mm]", "LVID [mm]", "LVPW [mm]")
    found = {one.name: one for one in curves.measures}
    ed, es = curves.phases.ed[0], curves.phases.es[0]
    large, small = curves.values[ed, 1], curves.values[es, 1]
    wide, around = curves.sigma[ed, 1], curves.sigma[es, 1]
    assert found["LVID at end-systole [mm]"].interval == pytest.approx(2 * around)
    shortening = 200 * np.hypot(around / large, wide * small / large**2)
    assert found["fractional shortening [%]"].interval == pytest.approx(shortening, rel=0.05)
    assert found["LV mass [g]"].interval > 0
    plain = curves_of(clip(count), points, BORDERS)
    assert plain.sigma is None
    assert {one.interval for one in plain.measures} == {None}
    lost = Followed(0, np.where(np.arange(count) > 0, np.inf, 0.0), 1.0)
    given = lambda lvid: (Phases((0,), (phantom.es,), True), "given by the user")  # noqa: E731
    curves = curves_of(clip(count), points, BORDERS, followed=lost, phases=given)
    intervals = {one.name: one.interval for one in curves.measures}
    assert intervals["LVID at end-diastole [mm]"] == 0
    assert np.isinf(intervals["fractional shortening [%]"])
    assert curves.source == "given by the user"


def test_points_that_have_crossed_are_not_measured(phantom) -> None:
    points = dict(enumerate(phantom.key_points.copy()))
    points[3] = points[3][[0, 2, 1, 3]]
    curves = curves_of(clip(len(points)), points, BORDERS)
    assert curves.disordered == (3,)
    assert np.flatnonzero(np.isnan(curves.column("IVS [mm]"))).tolist() == [3]


def test_other_points_have_lengths_and_no_phases() -> None:
    points = {2: np.array([[0.0, 0.0], [3.0, 4.0]])}
    curves = curves_of(clip(4), points, ("a", "b"))
    assert curves.lengths == ("length a to b [mm]",)
    assert [row["length a to b [mm]"] for row in curves.rows] == [None, None, 2.5, None]
    assert (curves.phases, curves.measures, curves.disordered) == (None, (), ())
    assert curves_of(clip(4), {}, BORDERS).rows[0]["LVID [mm]"] is None
    assert curves_of(clip(4), {}, ()).lengths == ()


def spec_of(role: str, hop: int, latency: int = 0) -> ModelSpec:
    shape = (1, 4, 2, 2) if role == "points" else (1, 4, 2, 20, 24)
    out = TensorSpec("seen", "float32", shape, "px", tolerance=0.1, role=role, time_axis=1,
                     components=("y", "x") if role == "points" else ())  # fmt: skip
    feed = Feed("window", ("clip",), length=4, hop=hop, latency=latency, time_axis=1)
    clip_in = TensorSpec("clip", "float32", (1, 4, 1, 40, 48), "0..1")
    return ModelSpec("windows", "Points.", (clip_in,), (out,), feed=feed)


def result(current: int, values: np.ndarray, latency: int = 0) -> SimpleNamespace:
    place = {"seen": SimpleNamespace(values=values)} if values is not None else {}
    points = None if values is None or values.ndim > 4 else values[0, -1 - latency, :, ::-1]
    described = current - (latency if place else 0)
    return SimpleNamespace(current=current, described=described, outputs=place, points=points,
                           displacement=None)  # fmt: skip


def recorded(spec: ModelSpec, results, frames: int):
    geometry = Geometry((40, 48), (40, 48), (40, 48))
    recorder = ReadingsRecorder(clip(frames), geometry, spec)
    for one in results:
        recorder.add(one)
    return recorder.finish((), {})


def window(current: int) -> np.ndarray:
    """Point 0 is at (frame, 5), and point 1 at (frame, 9), y first."""
    rows = [[[5.0, frame], [9.0, frame]] for frame in range(current - 3, current + 1)]
    return np.array([rows], np.float32)


def test_a_window_gives_the_points_of_all_its_frames_and_none_past_the_end() -> None:
    readings = recorded(spec_of("points", 4), [result(3, window(3)), result(7, window(7))], 6)
    assert sorted(readings.points) == [0, 1, 2, 3, 4, 5]
    for frame, points in readings.points.items():
        np.testing.assert_array_equal(points, [[frame, 5], [frame, 9]])
    assert [row["length point 0 to point 1 [mm]"] for row in readings.curves.rows] == [2.0] * 6


def test_the_frame_that_a_result_describes_has_its_own_points() -> None:
    second = window(5) + 1
    readings = recorded(spec_of("points", 2, 1), [result(3, window(3), 1), result(5, second, 1)], 6)
    np.testing.assert_array_equal(readings.points[3], [[3, 5], [3, 9]])
    np.testing.assert_array_equal(readings.points[4], [[5, 6], [5, 10]])


def test_heat_maps_of_a_window_are_read_in_every_frame() -> None:
    maps = np.zeros((1, 4, 2, 20, 24), np.float32)
    for frame in range(4):
        maps[0, frame, :, 6, 3 + frame] = 1.0
    readings = recorded(spec_of("heat_maps", 4), [result(3, maps)], 4)
    assert [points[0, 0] for _, points in sorted(readings.points.items())] == [6.5, 8.5, 10.5, 12.5]


def test_frames_one_by_one_have_no_curves() -> None:
    spec = ModelSpec(
        "single",
        "Points.",
        (TensorSpec("image", "float32", (1, 1, 40, 48), "0..1"),),
        (TensorSpec("seen", "float32", (1, 2, 2), "px", tolerance=0.1, role="points"),),
        feed=Feed("frame", ("image",)),
    )
    values = np.zeros((1, 1, 2, 2), np.float32)
    assert recorded(spec, [result(0, values)], 2).curves is None
    assert names_of(spec, Role.POINTS) == ()


def test_sentences_of_the_page_stand_apart(tmp_path: Path) -> None:
    def measure(name: str, note: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, value=1.0, interval=None, note=note)

    curves = SimpleNamespace(
        measures=[measure("EF", "First note"), measure("mass", "Second note"), measure("FS", "")],
        phases=SimpleNamespace(ed=[2], es=[0], whole=False),
        source="the largest and smallest LVID",
        sigma=None,
    )
    page = render(tmp_path / "part.html", "ventricle.html.j2", curves=curves).read_text()
    text = " ".join(page.split())
    for end in ("LVID.", "they are.", "outside it.", "First note."):
        assert f"{end} " in text
