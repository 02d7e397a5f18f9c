"""The list of all cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.ops.calls import small_call
from benchmarks.ops.case import Case
from benchmarks.ops.correlation import correlation, warp_correlation
from benchmarks.ops.correlation_pyramid import (
    correlation_lookup,
    correlation_on_demand,
    correlation_pyramid,
)
from benchmarks.ops.lucas_kanade_step import lucas_kanade_step
from benchmarks.ops.patches import patch_correlation
from benchmarks.ops.polar import polar, polar_bytes, polar_moving, unpolar
from benchmarks.ops.scan_convert import scan_convert, scan_convert_volume
from benchmarks.ops.volumes import (
    compose_flow_volume,
    correlation_volume,
    warp_correlation_volume,
    warp_volume,
)
from benchmarks.ops.warp import compose_flow, warp_features, warp_image


def all_cases(threads: int) -> Iterator[Callable[[], Case]]:
    """Factories, so that the arrays of one case are freed before the next case is created."""
    for channels in (32, 64, 128):
        for side in (28, 56, 112):
            yield partial(correlation, channels, side)
    for side in (28, 56):
        yield partial(correlation_pyramid, 128, side)
        yield partial(correlation_lookup, 128, side)
        yield partial(correlation_on_demand, 128, side)
    yield partial(warp_correlation, 64, 56, fused=True)
    yield partial(warp_correlation, 64, 56, fused=False)
    for pool in ((4, 4), (8, 1)):
        yield partial(patch_correlation, pool)
    for refinements in (0, 8):
        yield partial(lucas_kanade_step, 256, refinements)
    yield partial(warp_image, 224, build_maps=False)
    yield partial(warp_image, 224, build_maps=True)
    yield partial(warp_image, 224, build_maps=False, rough=True)
    for side in (224, 256):
        yield partial(compose_flow, side)
    for shape in ((1, 32, 56), (8, 64, 112)):
        for last in (False, True):
            yield partial(warp_features, *shape, last, threads)
    yield partial(warp_features, 1, 32, 56, True, threads, late=16)
    for last in (False, True):
        yield partial(warp_features, 1, 32, 56, last, threads, storage="float16")
    yield partial(warp_volume, 1, 96, threads)
    for last in (False, True):
        yield partial(warp_volume, 16, 48, threads, last)
    yield partial(compose_flow_volume, 64)
    for radius in (2, 4):
        yield partial(correlation_volume, 16, 24, radius)
    yield partial(warp_correlation_volume, 16, 24, 2)
    for frames in (1, 25, 75):
        yield partial(polar, frames)
    yield polar_moving
    yield partial(polar_bytes, 25)
    for frames in (1, 25):
        yield partial(unpolar, frames)
    for storage, result in (("float32", "float32"), ("uint8", "float32"), ("uint8", "uint8")):
        yield partial(scan_convert, storage, result)
    for storage in ("float32", "uint8"):
        yield partial(scan_convert_volume, storage)
    yield small_call
