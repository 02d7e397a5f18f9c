"""Slow, obvious NumPy versions of the ops, which tests and benchmarks compare with.

They are written from the formulas and share no code with the kernels.
"""

# `import x as x` marks a public name (PEP 484), so that a new op is one line here.
from cineflow.reference.compose_flow import compose_flow as compose_flow
from cineflow.reference.correlation import correlation as correlation
from cineflow.reference.correlation import warp_correlation as warp_correlation
from cineflow.reference.correlation_pyramid import correlation_lookup as correlation_lookup
from cineflow.reference.correlation_pyramid import correlation_on_demand as correlation_on_demand
from cineflow.reference.correlation_pyramid import correlation_pyramid as correlation_pyramid
from cineflow.reference.correlation_pyramid import feature_pyramid as feature_pyramid
from cineflow.reference.lucas_kanade_step import lucas_kanade_step as lucas_kanade_step
from cineflow.reference.patch_correlation import patch_correlation as patch_correlation
from cineflow.reference.polar import polar_resample as polar_resample
from cineflow.reference.polar import polar_unresample as polar_unresample
from cineflow.reference.scan_convert import scan_convert as scan_convert
from cineflow.reference.scan_convert import scan_convert_volume as scan_convert_volume
from cineflow.reference.warp import warp as warp
