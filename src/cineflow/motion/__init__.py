"""Motion fields and what is measured on them: composition, strain, segments, beats, dimensions.

The functions take and return NumPy arrays; docs/motion/measurements.md defines each of them.
`measure_wall` goes from a stream's displacements to strain curves, scores and GLS in one call.
`quality` judges the motion of a frame pair. `closure` measures loop closure on real clips.
`compose` is a single step of composition, `compose_all` a whole clip. (`cineflow.motion.compose` is
the function; `from cineflow.motion.compose import ...` finds its file.)
"""

from cineflow.motion.aha import (
    ScoreRule,
    segment_map,
    segment_means,
    segment_volume,
    wall_motion_score,
    wall_motion_score_index,
)
from cineflow.motion.beats import HeartBeat, compensate, drift, from_curve, from_triggers
from cineflow.motion.compose import compose, compose_all
from cineflow.motion.metrics import (
    EndPointError,
    end_point_error,
    folding,
    jacobian_determinant,
    loop_closure,
)
from cineflow.motion.points import follow
from cineflow.motion.polar import patient_sequence, segment_sequences
from cineflow.motion.strain import (
    GlobalStrain,
    deformation_gradient,
    directional_strain,
    global_longitudinal_strain,
    green_lagrange,
    line_strain,
    long_axis_directions,
    wall_directions,
    wall_strain,
)
from cineflow.motion.tracks import (
    average_vector_error,
    delta_average,
    mean_absolute_error,
    temporal_deviation,
)
from cineflow.motion.ventricle import (
    Dimensions,
    TeichholzVolumes,
    dimensions,
    fractional_shortening,
    mass_g,
    teichholz,
)
from cineflow.motion.wall import (
    FOUR_CHAMBER,
    TWO_CHAMBER,
    ApicalContour,
    SegmentedWall,
    WallMotion,
    measure_wall,
)

__all__ = [
    "FOUR_CHAMBER",
    "TWO_CHAMBER",
    "ApicalContour",
    "Dimensions",
    "EndPointError",
    "GlobalStrain",
    "HeartBeat",
    "ScoreRule",
    "SegmentedWall",
    "TeichholzVolumes",
    "WallMotion",
    "average_vector_error",
    "compensate",
    "compose",
    "compose_all",
    "deformation_gradient",
    "delta_average",
    "dimensions",
    "directional_strain",
    "drift",
    "end_point_error",
    "folding",
    "follow",
    "fractional_shortening",
    "from_curve",
    "from_triggers",
    "global_longitudinal_strain",
    "green_lagrange",
    "jacobian_determinant",
    "line_strain",
    "long_axis_directions",
    "loop_closure",
    "mass_g",
    "mean_absolute_error",
    "measure_wall",
    "patient_sequence",
    "segment_map",
    "segment_means",
    "segment_sequences",
    "segment_volume",
    "teichholz",
    "temporal_deviation",
    "wall_directions",
    "wall_motion_score",
    "wall_motion_score_index",
    "wall_strain",
]
