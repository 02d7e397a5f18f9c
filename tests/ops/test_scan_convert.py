"""`ProbeGeometry`, and what `scan_convert` promises beyond its agreement with the reference.

Volumes: test_scan_convert_volume.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from cineflow import _C, ops, reference
from cineflow.errors import ArgumentError
from tests.op_calls._values import laid_out
from tests.ops.fronts import INSTRUCTION_SETS, using

SECTOR = {
    "lines": 33,
    "samples": 40,
    "first_angle": -0.6,
    "last_angle": 0.6,
    "last_depth": 39.0,
    "face": (30.0, 2.0),
}
CURVED = SECTOR | {"array_radius": 50.0, "first_depth": 3.0, "last_depth": 42.0}
SIZE = (48, 61)
EACH_PROBE = pytest.mark.parametrize("values", [SECTOR, CURVED], ids=["sector", "curved"])


def probe(values=SECTOR, **changes) -> ops.ProbeGeometry:
    return ops.ProbeGeometry(**values | changes)


def angle_and_depth(geometry: ops.ProbeGeometry, size) -> tuple[np.ndarray, np.ndarray]:
    """Of each pixel, from the beam axis and from the face, by the words of the docstring."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(float)
    y -= geometry.face[1] - geometry.array_radius / geometry.mm_per_pixel
    x -= geometry.face[0]
    depth = np.hypot(x, y) * geometry.mm_per_pixel - geometry.array_radius
    return np.arctan2(x, y), depth


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"first_angle": math.nan}, "a finite first_angle"),
        ({"last_angle": math.inf}, "a finite last_angle"),
        ({"last_depth": math.inf}, "a finite last_depth"),
        ({"first_depth": -math.inf}, "a finite first_depth"),
        ({"array_radius": math.nan}, "a finite array_radius"),
        ({"mm_per_pixel": math.nan}, "a finite mm_per_pixel"),
        ({"face": (math.nan, 0.0)}, "a finite face's x"),
        ({"face": (0.0, math.inf)}, "a finite face's y"),
        ({"face": 3}, r"face as \(x, y\)"),
        ({"face": ("a", 0)}, "face's x as a number"),
        ({"lines": 1}, "at least 2 lines"),
        ({"samples": 2.0}, "at least 2 lines"),
        ({"samples": 2**24}, "sides below"),
        ({"last_angle": -0.6}, "angles that differ"),
        ({"last_angle": 2 * math.pi - 0.6}, "angles that differ"),
        ({"first_depth": 39.0}, "depths with"),
        ({"first_depth": -1.0}, "depths with"),
        ({"array_radius": -1.0}, "array_radius of 0 or more"),
        ({"mm_per_pixel": 0.0}, "mm_per_pixel above 0"),
    ],
)
def test_a_geometry_without_a_place_is_refused(changes, wanted):
    with pytest.raises(ArgumentError, match=wanted):
        probe(**changes)


@EACH_PROBE
def test_lines_that_hold_their_angle_and_depth_show_them_in_the_image(values):
    geometry = probe(values)
    angles = np.linspace(geometry.first_angle, geometry.last_angle, geometry.lines)
    depths = np.linspace(geometry.first_depth, geometry.last_depth, geometry.samples)
    lines = np.empty((1, 2, geometry.lines, geometry.samples), np.float32)
    lines[0, 0] = angles[:, None]
    lines[0, 1] = depths
    image = ops.scan_convert(lines, geometry, SIZE)
    inside = ops.scan_mask(geometry, SIZE)
    angle, depth = angle_and_depth(geometry, SIZE)
    np.testing.assert_allclose(image[0, 0][inside], angle[inside], atol=1e-5)
    np.testing.assert_allclose(image[0, 1][inside], depth[inside], atol=1e-4)
    assert not image[0][:, ~inside].any()


@EACH_PROBE
def test_the_mask_is_the_sector(values):
    geometry = probe(values)
    angle, depth = angle_and_depth(geometry, SIZE)
    within = (np.abs(angle) <= 0.6) & (depth >= geometry.first_depth)
    within &= depth <= geometry.last_depth
    mask = ops.scan_mask(geometry, SIZE)
    assert mask.dtype == bool
    doubtful = np.minimum(np.abs(np.abs(angle) - 0.6), np.abs(depth - geometry.last_depth)) < 1e-3
    doubtful |= np.abs(depth - geometry.first_depth) < 1e-3
    np.testing.assert_array_equal(mask[~doubtful], within[~doubtful])
    assert 0.3 < mask.mean() < 0.9


def test_the_first_and_last_line_and_sample_belong_to_the_sector():
    quarter = probe(first_angle=-math.pi / 4, last_angle=math.pi / 4, last_depth=40.0)
    mask = ops.scan_mask(quarter, SIZE)
    assert mask[2 + 20, [30 - 20, 30 + 20]].all()  # on the two edges
    assert not mask[2 + 20, [30 - 21, 30 + 21]].any()
    np.testing.assert_array_equal(mask[42:44, 30], [True, False])  # the last sample is 40 px down


def test_millimetres_and_pixels_give_the_same_image():
    rng = np.random.default_rng(0)
    lines = rng.random((1, 1, 33, 40)).astype(np.float32)
    lengths = {name: 0.5 * CURVED[name] for name in ("array_radius", "first_depth", "last_depth")}
    in_mm = probe(CURVED, **lengths, mm_per_pixel=0.5)
    wanted = ops.scan_convert(lines, probe(CURVED), SIZE)
    np.testing.assert_array_equal(ops.scan_convert(lines, in_mm, SIZE), wanted)


@EACH_PROBE
def test_back_to_lines_is_the_reference_around_the_apex(values):
    geometry = probe(values, lines=9, samples=11)
    image = np.random.default_rng(0).random((2, 1, *SIZE)).astype(np.float32)
    first_angle, angle_step, first_radius, radius_step = geometry.steps
    wanted = reference.polar_resample(
        image,
        np.array([geometry.apex]),
        first_angle + np.arange(9) * angle_step,
        first_radius + np.arange(11) * radius_step,
    )
    np.testing.assert_allclose(ops.scan_unconvert(image, geometry), wanted, atol=2e-5)


@EACH_PROBE
def test_a_smooth_image_survives_the_way_to_lines_and_back(values):
    geometry = probe(values, lines=200, samples=160)
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    image = (np.cos(x / 9) + np.sin(y / 7)).astype(np.float32)[None, None]
    lines = ops.scan_unconvert(image, geometry)
    back = ops.scan_convert(lines, geometry, SIZE)
    inner = np.s_[2:-2, 2:-2]  # lines beyond the image hold 0
    inside = ops.scan_mask(geometry, SIZE)[inner]
    assert np.abs(back - image)[0, 0][inner][inside].max() < 0.01


@pytest.mark.parametrize("threads", [1, 3])
def test_a_plan_gives_the_same_bits(threads):

    rng = np.random.default_rng(0)
    lines = rng.integers(0, 256, (3, 2, 33, 40), np.uint8)
    geometry = probe(CURVED, face=(1030.5, 3.0))  # in the second part of each row
    with using(_C.instruction_set(), threads):
        first, *later = [ops.scan_convert(lines, geometry, (48, 1100)) for _ in range(4)]
        one = ops.scan_convert(lines[1:2, :1], geometry, (48, 1100))
    assert first.any()
    for result in later:
        np.testing.assert_array_equal(result, first)
    np.testing.assert_array_equal(one, first[1:2, :1])


@pytest.mark.parametrize("storage", ["uint8", "float32"])
@pytest.mark.parametrize("layout", ["planar", "channels_last"])
def test_bytes_are_the_rounded_result(layout, storage):
    """To the nearest level, ties to even; what is below 0 or above 255 is clamped, and NaN is 0."""
    rng = np.random.default_rng(0)
    lines = rng.integers(0, 256, (2, 9, 33, 40)).astype(storage)
    lines[:, :, :, :20] = np.arange(20)  # whole numbers also between lines: halves are exact
    if storage == "float32":
        lines[0, 0, 3] = np.nan, *[np.inf] * 38, -np.inf
    lines = laid_out(lines, layout)
    geometry = probe(first_angle=-0.7)
    for name in available():
        with using(name, 1):
            for scale, offset in ((0.5, 0.0), (1.5, -40.0), (1e30, -1e37)):
                how = {"scale": scale, "offset": offset}
                with np.errstate(invalid="ignore"):
                    exact = ops.scan_convert(lines, geometry, SIZE, **how, out=canvas(np.float32))
                    levels = np.rint(np.clip(np.nan_to_num(exact, nan=0.0), 0, 255))
                got = ops.scan_convert(lines, geometry, SIZE, **how, to_bytes=True)
                assert got.dtype == np.uint8
                np.testing.assert_array_equal(got, levels)
                given = canvas(np.uint8)
                assert ops.scan_convert(lines, geometry, SIZE, **how, out=given) is given
                np.testing.assert_array_equal(given, got)


def canvas(dtype) -> np.ndarray:
    return np.empty((2, 9, *SIZE), dtype)


def available() -> list[str]:
    before = _C.instruction_set()
    found = [name for name in INSTRUCTION_SETS if _C.set_instruction_set(name)]
    _C.set_instruction_set(before)
    return found


def test_lines_without_samples_are_all_outside():

    for shape in ((1, 1, 0, 5), (1, 1, 5, 0)):
        out = np.ones((1, 1, 6, 7), np.float32)
        _C.scan_convert(np.ones(shape, np.float32), out, 3.0, 0.0, 1.0, 0.1, 0.0, 1.0, 2.0, 0.25)
        assert (out == 0.25).all()


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e7])
def test_the_kernel_refuses_a_geometry_out_of_range(place, value):

    numbers = [3.0, 0.0, 1.0, 0.1, 0.0, 1.0]
    numbers[place] = value
    src, out = np.ones((1, 1, 4, 5), np.float32), np.ones((1, 1, 6, 7), np.float32)
    with pytest.raises(ArgumentError, match=" in "):
        _C.scan_convert(src, out, *numbers, 1.0, 0.0)
