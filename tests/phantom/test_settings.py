"""Invalid settings are refused before a picture is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.errors import ArgumentError
from cineflow.phantom import (
    Annulus,
    Beat,
    Ellipsoid,
    LongAxis,
    MagneticScanner,
    Region,
    SectorScanner,
    Shadow,
    ShortAxisPhantom,
    Tissue,
    ventricle,
)
from cineflow.phantom.io import make, save

SMALL = {"size": (16, 16), "beat": Beat(frame_rate_hz=4.0)}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    ("kind", "good", "name"),
    [
        (SectorScanner, {}, "noise_db"),
        (SectorScanner, {}, "near_mm"),
        (MagneticScanner, {}, "noise_db"),
        (MagneticScanner, {}, "blood"),
        (Tissue, {}, "clutter"),
        (Tissue, {}, "density_per_mm2"),
        (Shadow, {"width_deg": 5.0, "loss_db": 20.0}, "angle_deg"),
        (Shadow, {"angle_deg": 5.0, "width_deg": 5.0}, "loss_db"),
        (Annulus, {"centre_mm": (0.0, 0.0)}, "rotation_deg"),
        (LongAxis, {"apex_mm": (12.0, 70.0), "axis_deg": 0.0}, "plane_deg"),
        (Beat, {}, "beats"),
        (Beat, {}, "frame_rate_hz"),
    ],
)
def test_a_number_that_is_not_finite_is_refused(
    kind: Callable[..., Any], good: dict[str, Any], name: str, bad: float
) -> None:
    with pytest.raises(ArgumentError, match=f"finite {name}"):
        kind(**good, **{name: bad})


def test_a_point_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ArgumentError, match="centre_mm"):
        Annulus(centre_mm=(0.0, np.nan))
    with pytest.raises(ArgumentError, match="apex_mm"):
        Ellipsoid(apex_mm=(0.0, np.inf, 0.0), axis=(0.0, 1.0, 0.0), anterior=(1.0, 0.0, 0.0))


@pytest.mark.parametrize("beats", [1e12, 1e300, 201.0, 0.01])
def test_frames_are_counted_before_they_are_made(beats: float) -> None:
    with pytest.raises(ArgumentError, match="2 to 10000 frames"):
        Beat(beats=beats)
    assert Beat(beats=200.0).frames == 10_000


@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_an_invalid_seed_is_refused(seed: Any) -> None:
    with pytest.raises(ArgumentError, match="a seed that is a whole number of 0 or more"):
        ShortAxisPhantom(seed)


@pytest.mark.parametrize("frame", [-1, 4, 1.5])
def test_a_frame_outside_the_cine_is_refused(frame: Any) -> None:
    with pytest.raises(ArgumentError, match=r"a frame in 0\.\.3"):
        ShortAxisPhantom(**SMALL).flow(0, frame)


@pytest.mark.parametrize("size", [(0, 64), (64, -1), (64.7, 64)])
def test_an_invalid_size_is_refused(size: tuple[Any, ...]) -> None:
    makers: list[Callable[[], Any]] = [
        lambda: ShortAxisPhantom(size=size),
        lambda: ventricle(size=(16, *size)),
        lambda: make("apical", size=size),
        lambda: SectorScanner(size=size),
        lambda: MagneticScanner(size=size),
    ]
    for maker in makers:
        with pytest.raises(ArgumentError, match="whole numbers above 0"):
            maker()


def test_a_size_with_a_wrong_number_of_axes_is_refused() -> None:
    with pytest.raises(ArgumentError, match="a size of 2 numbers"):
        ShortAxisPhantom(size=(64,))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="a size of 3 numbers"):
        ventricle(size=(64, 64))  # type: ignore[arg-type]


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match="can be written"):
        save(ShortAxisPhantom(**SMALL), tmp_path / "file" / "p.npz")


@pytest.mark.parametrize("contraction", [-1.01, 2.01, -6.0, 9.0, np.nan])
def test_an_implausible_contraction_is_refused(contraction: float) -> None:
    with pytest.raises(ArgumentError, match="contraction of -1 to 2"):
        Region(40.0, 60.0, contraction)


@pytest.mark.parametrize(
    "settings",
    [
        {"endo_ratio": 2.6},
        {"endo_ratio": 0.4, "regions": (Region(0.0, 60.0, 2.0),)},  # closes
        {"regions": (Region(0.0, 60.0, 2.0), *[Region(0.0, 50.0, 2.0)] * 6)},  # they add up
        {"rotation_deg": 80.0, "regions": (Region(0.0, 60.0, -1.0),)},  # folds
    ],
)
def test_a_ring_that_closes_or_folds_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="open, unfolded and inside"):
        Annulus(centre_mm=(57.0, 64.0), **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"endo_ratio": 2.9},
        {"endo_ratio": 0.4, "regions": (Region(0.0, 60.0, 2.0),)},
        {"endo_ratio": 1.9, "regions": (Region(0.0, 60.0, 2.0),)},
    ],
)
def test_a_ventricle_that_closes_or_grows_too_large_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="stays open"):
        LongAxis(apex_mm=(12.0, 70.0), axis_deg=0.0, **settings)


@pytest.mark.parametrize("rotation", [15.0, -12.0])
@pytest.mark.parametrize("contraction", [-1.0, -0.5, 2.0])
def test_material_undoes_position_where_the_coupling_is_strong(
    contraction: float, rotation: float
) -> None:
    heart = Annulus(
        centre_mm=(57.0, 64.0), rotation_deg=rotation, regions=(Region(40.0, 60.0, contraction),)
    )
    points = np.random.default_rng(0).random((20_000, 2)) * 130.0 - 8.0
    for activation in (0.5, 1.0):
        there = heart.position(points, activation)
        np.testing.assert_allclose(heart.material(there, activation), points, atol=1e-6)
    one = heart.material(heart.position(points[0], 1.0), 1.0)
    np.testing.assert_allclose(one, points[0], atol=1e-6)
