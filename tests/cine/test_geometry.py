"""Fitting a clip to a model's sizes, and mapping motion back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cineflow.cine import Cine, cut_to, fit_to
from cineflow.errors import ArgumentError
from cineflow.spec import Axis

BY_16 = Axis("side", 64, 256, 16)


def clip_of(height: int, width: int) -> Cine:
    """Three frames of a smooth picture with grey levels that depend on x and y."""
    y, x = np.mgrid[:height, :width]
    frame = np.clip(40 + 160 * x / width + 20 * np.sin(y / 9), 0, 255).astype(np.uint8)
    return Cine(
        np.stack([frame] * 3), np.arange(3) * 10.0, (0.5, 0.4), "test", np.ones(frame.shape, bool)
    )


def test_a_size_that_fits_is_left_alone() -> None:
    clip = clip_of(240, 160)
    fitted, geometry = fit_to(clip, (BY_16, BY_16))
    assert fitted is clip
    assert geometry.is_identity


@pytest.mark.parametrize(
    ("size", "axes", "content", "model"),
    [
        ((100, 130), (BY_16, BY_16), (100, 130), (112, 144)),  # padded only
        ((600, 800), (BY_16, BY_16), (192, 256), (192, 256)),  # shrunk
        ((40, 30), (BY_16, BY_16), (64, 48), (64, 64)),  # grown until one side fits
        ((40, 200), (BY_16, BY_16), (40, 200), (64, 208)),  # one side padded to its minimum
        ((120, 160), (224, 224), (168, 224), (224, 224)),  # a model of one size
        ((30, 2000), (BY_16, BY_16), (4, 256), (64, 256)),  # both rules at once
    ],
)
def test_sizes(size, axes, content, model) -> None:
    fitted, geometry = fit_to(clip_of(*size), axes)
    assert geometry.content == content
    assert geometry.model == fitted.size == model
    assert not fitted.sector[content[0] :].any()
    assert not fitted.frames[:, :, content[1] :].any()
    assert "mapped back" in fitted.notes[-1]
    assert ("resized" in fitted.notes[-1]) == (content != size)
    np.testing.assert_allclose(
        fitted.spacing_mm, (0.5 * size[0] / content[0], 0.4 * size[1] / content[1])
    )


def test_points_go_there_and_back() -> None:
    _, geometry = fit_to(clip_of(600, 800), (BY_16, BY_16))
    points = np.random.default_rng(0).uniform(0, 500, (20, 2))
    there = geometry.points_to_model(points)
    np.testing.assert_allclose(geometry.points_to_source(there), points, atol=1e-9)


def test_points_follow_the_pixels_that_are_resized() -> None:
    """A blob's centroid in the fitted frame is the point that `points_to_model` returns."""
    frame = np.zeros((600, 800), np.uint8)
    cv2.circle(frame, (500, 333), 20, 200, -1)
    clip = Cine(np.stack([frame] * 2), np.arange(2.0), None, "", np.ones(frame.shape, bool))
    fitted, geometry = fit_to(clip, (BY_16, BY_16))
    weights = fitted.frames[0].astype(float)
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]]
    centroid = np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()
    np.testing.assert_allclose(centroid, geometry.points_to_model([500, 333]), atol=0.05)


def test_motion_comes_back_in_source_pixels() -> None:
    _, geometry = fit_to(clip_of(100, 130), (BY_16, BY_16))
    padded = np.random.default_rng(0).normal(size=(2, *geometry.model)).astype(np.float32)
    np.testing.assert_array_equal(geometry.field_to_source(padded), padded[:, :100, :130])

    _, geometry = fit_to(clip_of(600, 800), (BY_16, BY_16))
    y, x = np.mgrid[: geometry.model[0], : geometry.model[1]].astype(np.float32)
    back = geometry.field_to_source(np.stack([0.01 * x, 0.02 * y]))
    # A linear field stays linear; its values grow by the scale (3.125).
    source = geometry.points_to_model(np.array([400.0, 300.0]))
    np.testing.assert_allclose(
        back[:, 300, 400], np.array([0.01, 0.02]) * source * 3.125, rtol=1e-4
    )


def test_a_clip_that_cannot_fit_is_refused() -> None:
    with pytest.raises(ArgumentError, match="two axes"):
        fit_to(clip_of(64, 64), (BY_16,))
    with pytest.raises(ArgumentError, match="accept at least one size"):
        fit_to(clip_of(64, 64), (Axis("odd", 65, 70, 16), BY_16))
    _, geometry = fit_to(clip_of(100, 130), (BY_16, BY_16))
    with pytest.raises(ArgumentError, match="a field"):
        geometry.field_to_source(np.zeros((2, 100, 130), np.float32))


@pytest.mark.parametrize(
    ("inside", "box", "model"),
    [
        ((50, 120, 70, 140), (32, 144, 48, 160), (112, 112)),
        ((5, 196, 0, 90), (0, 200, 0, 112), (208, 112)),  # the last step of the grid is padded
    ],
)
def test_a_model_sees_the_rectangle_around_the_sector(inside, box, model) -> None:
    top, bottom, left, right = inside
    sector = np.zeros((200, 180), bool)
    sector[top:bottom, left:right] = True
    geometry = cut_to(sector, (BY_16, BY_16))
    assert geometry is not None
    assert (geometry.box, geometry.model, geometry.scale) == (box, model, (1.0, 1.0))
    frame = np.where(sector, np.arange(180, dtype=np.uint8), np.uint8(0))
    seen = geometry.frame_to_model(frame)
    assert seen.shape == model
    point = geometry.points_to_model([left + 3.0, top + 2.0])
    assert seen[int(point[1]), int(point[0])] == left + 3
    np.testing.assert_allclose(geometry.points_to_source(point), [left + 3.0, top + 2.0])
    back = geometry.field_to_source(np.stack([seen, seen]).astype(np.float32))
    np.testing.assert_array_equal(back[1], frame)
    assert geometry.spacing_in_model((0.5, 0.4)) == (0.5, 0.4)
    assert f"rows {box[0]} to {box[1] - 1}" in geometry.note()


def test_nothing_is_cut_where_that_gains_nothing_or_does_not_fit() -> None:
    sector = np.zeros((192, 192), bool)
    sector[80:100, 80:100] = True
    assert cut_to(sector, (BY_16, BY_16)) is not None
    assert cut_to(sector, (192, 192)) is None  # a model of one size
    assert cut_to(sector, (Axis("side", 128, 256, 16),) * 2) is None  # too small for it
    assert cut_to(~sector, (BY_16, BY_16)) is None
    assert cut_to(np.zeros_like(sector), (BY_16, BY_16)) is None
