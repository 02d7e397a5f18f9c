"""Area strain at wall points: its value, its colours, and where a page shows them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cineflow.cine import Cine, Geometry
from cineflow.report import ReadingsRecorder
from cineflow.report.area_strain import FULL, area_strain, colour_of_strain, strain_keys
from cineflow.report.overlay import draw_frame
from cineflow.spec import Feed, ModelSpec, TensorSpec

STRETCH = (0.1, -0.2)  # along x and y


def stretched(size: tuple[int, int]) -> np.ndarray:
    """A field that stretches a picture about its middle."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    return np.stack([STRETCH[0] * (x - size[1] / 2), STRETCH[1] * (y - size[0] / 2)])


def test_it_is_the_change_of_area() -> None:
    points = np.array([[3.0, 4.0], [20.5, 11.25], [0.0, 0.0]])
    found = area_strain(stretched((24, 32)), points)
    np.testing.assert_allclose(found, (1 + STRETCH[0]) * (1 + STRETCH[1]) - 1, atol=1e-5)
    turned = np.array([[0.0, -1.0], [1.0, 0.0]]) - np.eye(2)  # a quarter turn changes no area
    y, x = np.mgrid[:24, :32].astype(np.float32)
    rotation = np.einsum("ij,jhw->ihw", turned, np.stack([x, y]))
    np.testing.assert_allclose(area_strain(rotation, points), 0.0, atol=1e-5)


def test_colours_end_at_the_legend() -> None:
    names = [name for name, _ in strain_keys()]
    assert names == ["area strain -30 % or less", "0 %", "area strain +30 % or more"]
    assert [colour for _, colour in strain_keys()] == [
        colour_of_strain(strain) for strain in (-5.0, 0.0, FULL)
    ]
    assert len({colour_of_strain(strain) for strain in np.linspace(-FULL, FULL, 9)}) == 9


@pytest.mark.parametrize("role", ["displacement", "points"])
def test_wall_points_have_it_and_the_picture_shows_it(role: str) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 64, 64), np.uint8)
    cine = Cine(
        name="clip",
        frames=frames,
        times_ms=50.0 * np.arange(2),
        spacing_mm=None,
        spacing_reason="unknown",
        sector=np.ones((64, 64), bool),
    )
    image = TensorSpec("image", "float32", (1, 1, 64, 64), "0..1")
    shape = (1, 2, 64, 64) if role == "displacement" else (1, 3, 2)
    out = TensorSpec("seen", "float32", shape, "px", tolerance=0.1, role=role)
    spec = ModelSpec("m", "", (image,), (out,), feed=Feed("frame", ("image",)))
    recorder = ReadingsRecorder(cine, Geometry((64, 64), (64, 64), (64, 64)), spec)
    motion = stretched((64, 64)) if role == "displacement" else None
    points = np.full((3, 2), 20.0) if role == "points" else None
    for index in range(2):
        recorder.add(
            SimpleNamespace(
                described=index, current=index, reference=0, outputs={}, points=points,
                displacement=motion,
            )
        )  # fmt: skip
    readings = recorder.finish([{}, {}], {})
    if role == "points":
        assert not readings.strains, "the points of a model have their own colours"
        return
    np.testing.assert_allclose(readings.strains[1], -0.12, atol=1e-4)
    assert readings.strains[1].shape == (len(readings.points[1]),)
    picture = np.array(draw_frame(cine, readings, 1, (0, 64, 0, 64), (8.0, 8.0)))
    x, y = np.round(8.0 * (readings.points[1][0] + 0.5)).astype(int)
    np.testing.assert_allclose(picture[y, x], colour_of_strain(-0.12), atol=6)
