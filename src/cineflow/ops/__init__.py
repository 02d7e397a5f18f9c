"""The operations that motion models need, for NumPy, torch and CuPy arrays.

Each function returns the kind of array that it was given. Coordinates are pixels, pixel centres are
integers, x points right, y down and z to the next slice, and vectors are channel first: channel 0 =
x, 1 = y, and in volumes 2 = z.
"""

# `import x as x` marks a public name (PEP 484), so that a new op is one line here.
from cineflow.ops.compose_flow import compose_flow as compose_flow
from cineflow.ops.correlation import correlation as correlation
from cineflow.ops.correlation import warp_correlation as warp_correlation
from cineflow.ops.correlation_block import CorrelationBlock as CorrelationBlock
from cineflow.ops.correlation_on_demand import correlation_on_demand as correlation_on_demand
from cineflow.ops.correlation_on_demand import feature_pyramid as feature_pyramid
from cineflow.ops.correlation_pyramid import correlation_lookup as correlation_lookup
from cineflow.ops.correlation_pyramid import correlation_pyramid as correlation_pyramid
from cineflow.ops.correlation_pyramid import pyramid_level as pyramid_level
from cineflow.ops.lucas_kanade_step import lucas_kanade_step as lucas_kanade_step
from cineflow.ops.patch_correlation import patch_correlation as patch_correlation
from cineflow.ops.polar import PolarGrid as PolarGrid
from cineflow.ops.polar import polar_resample as polar_resample
from cineflow.ops.polar import polar_unresample as polar_unresample
from cineflow.ops.probe import ProbeGeometry as ProbeGeometry
from cineflow.ops.scan_convert import scan_convert as scan_convert
from cineflow.ops.scan_convert import scan_mask as scan_mask
from cineflow.ops.scan_convert import scan_unconvert as scan_unconvert
from cineflow.ops.volume_probe import VolumeGeometry as VolumeGeometry
from cineflow.ops.warp import warp as warp
