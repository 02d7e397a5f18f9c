"""Strain of volumes: exact motion gives exact strain, and `cineflow analyse` writes it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import cineflow.cli as cli
from benchmarks.accuracy.strain_error import true_strain, wall_of
from cineflow.cine import VolumeCine
from cineflow.cli.analyse.follow import PointFollower
from cineflow.cli.analyse.wall_file import drawn
from cineflow.errors import ArgumentError
from cineflow.motion.clip_beats import beats_of_clip
from cineflow.motion.lines import tissue
from cineflow.motion.strain_curves import measure_lines
from cineflow.phantom import Beat, VentriclePhantom, ventricle
from cineflow.report.points import tissue_voxels


class Told:
    """A stream's result with a flow that is known, or a displacement."""

    def __init__(self, index: int, flow: np.ndarray | None, displacement: np.ndarray | None = None):
        self.described, self.flow = index, flow
        self.displacement, self.reference = displacement, 0


def phantom_of(size: tuple[int, int, int], **beat: float) -> VentriclePhantom:
    return ventricle(1, size=size, contrast="mr", beat=Beat(**beat))


@pytest.fixture(scope="module")
def small() -> VentriclePhantom:
    return phantom_of((40, 32, 36), frame_rate_hz=5.0)


@pytest.mark.parametrize("by", ["flow", "displacement"])
def test_exact_motion_gives_exact_strain(small: VentriclePhantom, by: str) -> None:
    wall = drawn(wall_of(small)).wall_of_volumes(small.spacing_mm, radial=True)
    assert wall is not None
    exact = small.track(wall.points * np.array(small.spacing_mm[::-1]))
    size = small.size[0], small.size[1], small.size[2]
    frame = 2 if by == "flow" else 0
    follower = PointFollower(exact[frame], frame, size, len(small))
    still = np.zeros((3, *size), np.float32)
    for index in range(len(small)):
        if by == "flow":
            told = Told(index, small.flow(index - 1, index) if index else still)
        else:
            told = Told(index, None, small.flow(0, index) if index else still)
        follower.add(told)
    path = follower.path()
    np.testing.assert_allclose(path, exact, atol=0.3)  # the field bends between voxels
    strain = measure_lines(path, wall, beats_of_clip(small.times_ms, None, ed=[0]),
                           np.zeros(len(small)), spacing_mm=small.spacing_mm)  # fmt: skip
    truth = true_strain(strain, small)
    across = np.array([part.direction == "radial" for part in strain.parts])
    np.testing.assert_allclose(strain.strain[~across], truth[~across], atol=0.03)
    np.testing.assert_allclose(strain.strain[across], truth[across], atol=0.1)  # of three voxels
    assert {part.segment for part in strain.parts} == set(range(17))
    systole = strain.phase(0)
    values = {part.direction: strain.strain[k, systole]
              for k, part in enumerate(strain.parts) if not part.segment}  # fmt: skip
    assert values["radial"] > 0.2
    assert values["circumferential"] < -0.1
    assert values["longitudinal"] < -0.1


def test_the_segments_are_where_the_heart_has_them(small: VentriclePhantom) -> None:
    wall = drawn(wall_of(small)).wall_of_volumes(small.spacing_mm)
    assert wall is not None
    for part in wall.parts:
        if part.segment and part.direction == "longitudinal":
            middle = wall.points[part.lines].reshape(-1, 3).mean(axis=0)
            place = middle * np.array(small.spacing_mm[::-1])
            assert int(small.kinematics.segment(place)) == part.segment  # type: ignore[attr-defined]


def test_radial_strain_is_left_out_and_the_page_says_so(small: VentriclePhantom) -> None:
    """The trackers of volumes get it wrong, so no number of it is given."""
    wall = drawn(wall_of(small)).wall_of_volumes(small.spacing_mm)
    assert wall is not None
    assert {part.direction for part in wall.parts} == {"circumferential", "longitudinal"}
    assert "Radial strain, across the wall, is not given" in wall.about
    whole = drawn(wall_of(small)).wall_of_volumes(small.spacing_mm, radial=True)
    assert whole is not None
    assert "not given" not in whole.about
    np.testing.assert_array_equal(wall.points, whole.points)


def test_without_a_contour_the_strain_is_that_of_all_tissue() -> None:
    """Volumes that grow by 10 % across, 20 % down and shrink by 5 % through."""
    frames = np.full((2, 40, 48, 44), 100, np.uint8)
    frames[:, :, :10] = 0
    clip = VolumeCine(frames, np.array([0.0, 50.0]), None, "none", np.ones((40, 48, 44), bool))
    wall = tissue(tissue_voxels(clip), 3)
    assert wall.points[:, 1].min() >= 8
    path = np.stack([wall.points, wall.points * np.array([1.1, 1.2, 0.95])])
    strain = measure_lines(path, wall, beats_of_clip(clip.times_ms, None, ed=[0]), np.zeros(2))
    found = {part.name + " " + part.direction: float(strain.strain[k, 1])
             for k, part in enumerate(strain.parts)}  # fmt: skip
    assert len(found) == 3 * 9
    assert found["upper left front through"] == pytest.approx(-0.05)
    assert found["lower right back across"] == pytest.approx(0.1)
    assert found["global down"] == pytest.approx(0.2)


def _ring(radius: float, z: float, count: int = 12) -> list[list[float]]:
    around = np.arange(count) * (2 * np.pi / count)
    x, y = 20 + radius * np.cos(around), 20 + radius * np.sin(around)
    return np.stack([x, y, np.full(count, z)], axis=-1).tolist()


def _asked(change: Callable[[dict], None] = lambda wall: None) -> dict:
    rings = [{"endo": _ring(6, z), "epi": _ring(9, z)} for z in (32.0, 20.0, 8.0)]
    wall = {"view": "ventricle", "rings": rings, "apex": [20, 20, 2], "anterior": [20, 5, 20]}
    change(wall)
    return wall


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda wall: wall.update(rings=wall["rings"][:1]), "two rings or more"),
        (lambda wall: wall["rings"].reverse(), "apex away|from the base to the apex"),
        (lambda wall: wall["rings"][1].update(endo=_ring(12, 20)), "outside the endocardium"),
        (lambda wall: wall["rings"][1].update(endo=_ring(6, 20, 5)), "8 or more"),
        (lambda wall: wall["rings"][1].update(endo=[[1, 2]] * 9), "finite points"),
        (lambda wall: wall["rings"][1].pop("epi"), "finite points"),
        (lambda wall: wall.update(rings=[1, 2]), "rings"),
        (lambda wall: wall.update(anterior=[20, 20, 9]), "away from the axis"),
        (lambda wall: wall.update(apex=[20, 20]), "a point"),
        (lambda wall: wall.update(apex=[20, 20, 1e400]), "finite"),
        (lambda wall: wall["rings"].pop(2) and wall["rings"][1].update(
            endo=_ring(6, 30), epi=_ring(9, 30)), "half of a third"),
    ],
)  # fmt: skip
def test_a_ventricle_that_cannot_be_is_refused(change, why: str) -> None:
    assert drawn(_asked()).wall_of_volumes(None) is not None
    with pytest.raises(ArgumentError, match=why):
        drawn(_asked(change)).wall_of_volumes(None)


def test_a_wall_of_images_is_not_one_of_volumes() -> None:
    with pytest.raises(ArgumentError, match="images"):
        drawn(_asked()).wall((1.0, 1.0))
    contour = {"view": "two-chamber", "contour": [[1, 2], [3, 4], [5, 6]]}
    with pytest.raises(ArgumentError, match="Their view is ventricle"):
        drawn(contour).wall_of_volumes(None)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_analyse_measures_the_strain_of_volumes(tmp_path: Path) -> None:
    """The default tracker of volumes. Its radial strain is wrong, and is nowhere in the output."""
    pytest.importorskip("torch")
    from cineflow.export import export_bundle

    phantom = phantom_of((48, 48, 48), frame_rate_hz=20.0)
    bundle = tmp_path / "bundle"
    export_bundle("lucas_kanade_3d", bundle, sizes={"depth": 48, "height": 48, "width": 48})
    for name in ("drawn", "bare"):
        np.savez(tmp_path / f"{name}.npz", frames=phantom.frames, times_ms=phantom.times_ms,
                 spacing_mm=phantom.spacing_mm)  # fmt: skip
    wall = {**wall_of(phantom), "ed": [phantom.ed]}
    (tmp_path / "drawn.npz.wall.json").write_text(json.dumps(wall))
    out = tmp_path / "out"
    clips = [str(tmp_path / f"{name}.npz") for name in ("bare", "drawn")]
    done = CliRunner().invoke(
        cli._app(), ["analyse", *clips, "--model", str(bundle), "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    bare, walled = json.loads((out / "summary.json").read_text())["clips"]
    assert {one["direction"] for one in bare["strain_percent"]} == {"across", "down", "through"}
    by_direction = {one["direction"]: one for one in walled["strain_percent"]
                    if one["part"] == "global"}  # fmt: skip
    assert by_direction["circumferential"]["two_sigma"] is None
    assert by_direction["circumferential"]["value"] == pytest.approx(-16.6, abs=7)
    assert by_direction["longitudinal"]["value"] == pytest.approx(-16.5, abs=4)
    page = (out / walled["folder"] / "report.html").read_text()
    assert page.count("Bull's eye") == 2
    assert "<h1>Analysis</h1>" in page
    assert "volumes of 48×48×48 voxels" in page
    assert "circumferential strain, whole" in page
    assert "points of the wall" in page
    assert "not known" in page
    assert "Radial strain, across the wall, is not given" in page
    rows = list(csv.DictReader((out / walled["folder"] / "strain.csv").open()))
    assert len(rows) == 2 * 17
    assert "radial" not in {row["direction"] for row in rows}
    assert "radial" not in (out / walled["folder"] / "frames.csv").read_text()
    with np.load(out / walled["folder"] / "result.npz") as arrays:
        assert set(arrays["directions"]) == {"circumferential", "longitudinal"}
    assert "radial" not in json.dumps(walled)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_displacement_of_images_has_its_strain_on_the_page(
    tmp_path: Path, named_clip: Path
) -> None:
    pytest.importorskip("torch")
    from cineflow.export import export_bundle

    recipe = Path(__file__).parents[2] / "examples" / "kinds" / "reference_shift.py"
    export_bundle(str(recipe), tmp_path / "bundle")
    out = tmp_path / "out"
    done = CliRunner().invoke(
        cli._app(),
        ["analyse", str(named_clip), "--model", str(tmp_path / "bundle"), "--out", str(out)],
    )
    assert done.exit_code == 0, done.output
    row = json.loads((out / "summary.json").read_text())["clips"][0]
    page = (out / row["folder"] / "report.html").read_text()
    assert "No contour was given" in page
    assert "Across strain, %" in page
