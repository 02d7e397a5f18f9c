"""Wall points lie on moving tissue, and fields are read where the points are."""

from __future__ import annotations

import numpy as np

from cineflow.cine import Cine
from cineflow.report.points import choose_wall_points, sample_field, tissue_mask


def test_points_lie_on_bright_moving_tissue_and_apart(clip: Cine) -> None:
    points = choose_wall_points(clip)
    assert 24 <= len(points) <= 32
    x, y = points.astype(int).T
    assert clip.sector[y, x].all()
    mean, change = clip.frames.mean(axis=0), clip.frames.std(axis=0)
    assert np.median(mean[y, x]) > 2 * np.median(mean[clip.sector])
    assert np.median(change[y, x]) > 2 * np.median(change[clip.sector])
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1) + 1e9 * np.eye(len(points))
    assert apart.min() >= 12
    # Both walls of the ventricle: the septum is bright, the lateral wall dim.
    assert ((x > 138) & (x < 162) & (y > 70) & (y < 150)).sum() >= 3
    assert ((x > 180) & (x < 212) & (y > 60) & (y < 150)).sum() >= 3


def test_a_clip_without_texture_has_no_points() -> None:
    flat = np.zeros((4, 64, 80), np.uint8)
    flat[:, 16:48, 20:60] = 90
    clip = Cine(flat, np.arange(4.0), None, "", np.ones((64, 80), bool))
    assert choose_wall_points(clip).shape == (0, 2)


def test_tissue_is_not_blood_or_rim(clip: Cine) -> None:
    mask = tissue_mask(clip)
    assert 0.1 < mask.mean() < clip.sector.mean()
    assert mask[120, 152]  # septum
    assert not mask[105, 175]  # cavity
    assert not (mask & ~clip.sector).any()


def test_a_field_is_read_between_its_pixels_and_clamped_outside() -> None:
    y, x = np.mgrid[:5, :6].astype(np.float32)
    field = np.stack([2 * x + y, x * 0 - 3])
    points = np.array([[1.25, 2.5], [0, 0], [5, 4], [-3, 9]], np.float32)
    read = sample_field(field, points)
    np.testing.assert_allclose(read[:, 0], [5.0, 0.0, 14.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(read[:, 1], -3)
    assert read.dtype == np.float32
