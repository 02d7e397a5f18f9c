"""`VolumeGeometry`, and what `scan_convert` promises of volumes beyond the reference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cineflow import _C, ops
from cineflow.errors import ArgumentError
from tests.ops.fronts import using

PLANE = {
    "lines": 17,
    "samples": 30,
    "first_angle": -0.6,
    "last_angle": 0.6,
    "last_depth": 29.0,
    "face": (20.0, 2.0),
}
#: Without and with a distance between the apex of the lines and the axis of the tilts.
MATRIX = {"planes": 9, "first_tilt": -0.5, "last_tilt": 0.5, "face_z": 14.0}
SWUNG = MATRIX | {"sweep_radius": 12.0}
CURVED = {"array_radius": 40.0, "first_depth": 3.0}
SIZE = (28, 36, 41)
EACH_PROBE = pytest.mark.parametrize(
    ("plane", "values"),
    [({}, MATRIX), ({}, SWUNG), (CURVED, SWUNG)],
    ids=["matrix", "swung", "curved"],
)


def probe(values=MATRIX, plane=None, **changes) -> ops.VolumeGeometry:
    return ops.VolumeGeometry(ops.ProbeGeometry(**PLANE | (plane or {})), **values | changes)


def places(geometry: ops.VolumeGeometry) -> tuple[np.ndarray, ...]:
    """Tilt, angle and depth of each voxel, by the words of the docstrings; lengths in pixels."""
    z, y, x = np.mgrid[tuple(slice(side) for side in SIZE)].astype(float)
    below = y - geometry.plane.face[1] + geometry.sweep_radius
    inward = z - geometry.face_z
    tilt = np.arctan2(inward, below)
    below_face = np.hypot(below, inward) - geometry.sweep_radius
    below_apex = below_face + geometry.plane.array_radius
    x -= geometry.plane.face[0]
    depth = np.hypot(x, below_apex) - geometry.plane.array_radius
    return tilt, np.arctan2(x, below_apex), depth


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"first_tilt": math.nan}, "a finite first_tilt"),
        ({"last_tilt": math.inf}, "a finite last_tilt"),
        ({"face_z": math.nan}, "a finite face_z"),
        ({"face_z": "a"}, "face_z as a number"),
        ({"sweep_radius": math.inf}, "a finite sweep_radius"),
        ({"sweep_radius": -1.0}, "sweep_radius of 0 or more"),
        ({"planes": 1}, "at least 2 planes"),
        ({"planes": 4.0}, "at least 2 planes"),
        ({"planes": 2**24}, "sides below"),
        ({"last_tilt": -0.5}, "tilts that differ"),
        ({"last_tilt": 2 * math.pi - 0.5}, "tilts that differ"),
    ],
)
def test_a_geometry_without_a_place_is_refused(changes, wanted):
    with pytest.raises(ArgumentError, match=wanted):
        probe(**changes)


def test_the_plane_is_a_geometry():
    with pytest.raises(ArgumentError, match="plane as a ProbeGeometry"):
        ops.VolumeGeometry(3, **MATRIX)


@EACH_PROBE
def test_planes_that_hold_their_place_show_it_in_the_volume(plane, values):
    geometry = probe(values, plane)
    planes, lines, samples = geometry.shape
    held = np.empty((1, 3, planes, lines, samples), np.float32)
    held[0, 0] = np.linspace(geometry.first_tilt, geometry.last_tilt, planes)[:, None, None]
    held[0, 1] = np.linspace(-0.6, 0.6, lines)[:, None]
    held[0, 2] = np.linspace(geometry.plane.first_depth, 29.0, samples)
    volume = ops.scan_convert(held, geometry, SIZE)[0]
    mask = ops.scan_mask(geometry, SIZE)
    tilt, angle, depth = places(geometry)
    for found, true in zip(volume, (tilt, angle, depth), strict=True):
        np.testing.assert_allclose(found[mask], true[mask], atol=1e-3)
        assert not found[~mask].any()
    within = (np.abs(tilt) <= 0.5) & (np.abs(angle) <= 0.6)
    within &= (depth >= geometry.plane.first_depth) & (depth <= 29.0)
    ends = np.stack([np.abs(tilt) - 0.5, np.abs(angle) - 0.6, depth - 29.0, depth - 3.0, depth])
    doubtful = np.abs(ends).min(0) < 1e-3
    np.testing.assert_array_equal(mask[~doubtful], within[~doubtful])
    assert 0.1 < mask.mean() < 0.8


@EACH_PROBE
def test_a_smooth_volume_survives_the_way_to_planes_and_back(plane, values):
    geometry = probe(values, plane | {"lines": 60, "samples": 50}, planes=40)
    z, y, x = np.mgrid[tuple(slice(side) for side in SIZE)]
    volume = (np.cos(x / 9) + np.sin(y / 7) * np.cos(z / 8)).astype(np.float32)[None, None]
    planes = ops.scan_unconvert(volume, geometry)
    assert planes.shape == (1, 1, *geometry.shape)
    back = ops.scan_convert(planes, geometry, SIZE)
    inner = np.s_[3:-3, 3:-3, 3:-3]  # planes beyond the volume hold 0
    inside = ops.scan_mask(geometry, SIZE)[inner]
    assert np.abs(back - volume)[0, 0][inner][inside].max() < 0.02
    scaled = ops.scan_unconvert(volume, geometry, scale=2.0, offset=-1.0)
    np.testing.assert_allclose(scaled, 2 * planes - 1, atol=1e-6)


def test_torch_planes_are_those_of_numpy():
    torch = pytest.importorskip("torch")
    volume = np.random.default_rng(0).integers(0, 256, (2, 1, *SIZE), np.uint8)
    planes = ops.scan_unconvert(torch.from_numpy(volume), probe())
    np.testing.assert_array_equal(planes.numpy(), ops.scan_unconvert(volume, probe()))


def test_the_middle_plane_is_the_image():
    geometry = probe(planes=3)
    planes = np.random.default_rng(0).random((2, 2, *geometry.shape)).astype(np.float32)
    volume = ops.scan_convert(planes, geometry, SIZE)
    image = ops.scan_convert(planes[:, :, 1].copy(), geometry.plane, SIZE[1:])
    np.testing.assert_allclose(volume[:, :, 14], image, atol=1e-5)


@pytest.mark.parametrize("layout", ["planar", "channels_last"])
def test_bytes_are_the_rounded_result(layout):
    rng = np.random.default_rng(0)
    geometry = probe(SWUNG, CURVED)
    planes = rng.integers(0, 256, (2, 9, *geometry.shape), np.uint8)
    if layout == "channels_last":
        planes = np.moveaxis(np.moveaxis(planes, 1, -1).copy(), -1, 1)
    how = {"scale": 1.5, "offset": -40.0}
    exact = ops.scan_convert(planes, geometry, SIZE, **how)
    got = ops.scan_convert(planes, geometry, SIZE, **how, to_bytes=True)
    np.testing.assert_array_equal(got, np.rint(np.clip(exact, 0, 255)))
    assert set(np.unique(got)) == set(range(256))


def test_rows_longer_than_a_run_are_the_same_rows():
    geometry = probe({**MATRIX, "face_z": 3.0}, {"face": (600.5, 1.0)})
    planes = np.random.default_rng(0).random((1, 2, *geometry.shape)).astype(np.float32)
    wide = ops.scan_convert(planes, geometry, (7, 30, 1200), offset=0.25)
    near = probe({**MATRIX, "face_z": 3.0}, {"face": (24.5, 1.0)})
    narrow = ops.scan_convert(planes, near, (7, 30, 50), offset=0.25)
    np.testing.assert_allclose(wide[..., 576:626], narrow, atol=1e-4)
    assert (wide[..., :560] == 0.25).all()
    with using(_C.instruction_set(), 3):
        again = ops.scan_convert(planes, geometry, (7, 30, 1200), offset=0.25)
    np.testing.assert_array_equal(again, wide)


@pytest.mark.parametrize("axis", range(3))
def test_planes_without_samples_are_all_outside(axis):
    shape = [1, 1, 3, 4, 5]
    shape[2 + axis] = 0
    out = np.ones((1, 1, 3, 6, 7), np.float32)
    numbers = 3.0, 0.0, 1.0, 0.1, 0.0, 1.0, 2.0, 0.25
    _C.scan_convert(np.ones(shape, np.float32), out, *numbers, 0.0, 1.0, -0.2, 0.2)
    assert (out == 0.25).all()


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e7])
def test_the_kernel_refuses_tilts_out_of_range(place, value):
    tilts = [0.0, 1.0, -0.2, 0.2]
    tilts[place] = value
    src, out = np.ones((1, 1, 3, 4, 5), np.float32), np.ones((1, 1, 3, 6, 7), np.float32)
    with pytest.raises(ArgumentError, match=" in "):
        _C.scan_convert(src, out, 3.0, 0.0, 1.0, 0.1, 0.0, 1.0, 1.0, 0.0, *tilts)
