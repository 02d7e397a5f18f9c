"""The compiled module's signatures, for type checkers."""

from typing import Any

SIDE_LIMIT: int
PLANE_LIMIT: int
MAX_RADIUS: int
MAX_DILATION: int
MAX_LEVELS: int
MAX_LOOKUP_RADIUS: int
MAX_PATCH: int
STEP_PLANES: int
MAX_CELL: int
MAX_REFINEMENTS: int
WINDOW_SIGMAS: tuple[float, float]
LARGEST_VARIANCE: float
PAIR_BLOCK: int
PAIR_FIELDS: int

def thread_count() -> int: ...
def set_thread_count(threads: int) -> None: ...
def cuda_architectures() -> str: ...
def cuda_device_count() -> int: ...
def instruction_set() -> str: ...
def set_instruction_set(name: str) -> bool: ...
def all_finite(values: Any) -> bool: ...
def warp(src: Any, flow: Any, out: Any, clamp: bool, stream: int = 0) -> None: ...
def compose_flow(displacement: Any, flow: Any, out: Any, clamp: bool, stream: int = 0) -> None: ...
def correlation(
    f1: Any,
    f2: Any,
    flow: Any,
    out: Any,
    radius: int,
    dilation: int,
    scale: float,
    x_major: bool,
    clamp: bool,
    stream: int = 0,
) -> None: ...
def correlation_pyramid(
    f1: Any, f2: Any, out: Any, levels: int, scale: float, stream: int = 0
) -> None: ...
def correlation_lookup(
    pyramid: Any, coords: Any, out: Any, levels: int, radius: int, stream: int = 0
) -> None: ...
def feature_pyramid(f2: Any, out: Any, levels: int, stream: int = 0) -> None: ...
def correlation_on_demand(
    f1: Any,
    features: Any,
    coords: Any,
    out: Any,
    levels: int,
    radius: int,
    scale: float,
    stream: int = 0,
) -> None: ...
def lucas_kanade_step(
    previous: Any,
    current: Any,
    mask: Any,
    out: Any,
    cell: int,
    sigma: float,
    refinements: int,
    trust: float,
    ridge: float,
    workspace: Any = None,
    stream: int = 0,
) -> None: ...
def patch_correlation(
    f1: Any,
    f2: Any,
    points1: Any,
    points2: Any,
    out: Any,
    size1: int,
    size2: int,
    pool1: int,
    pool2: int,
    scale: float,
    clamp: bool,
    stream: int = 0,
) -> None: ...
def pair_blocks(
    previous: Any,
    current: Any,
    flow: Any,
    mask: Any,
    out: Any,
    workspace: Any = None,
    stream: int = 0,
) -> None: ...
def pair_blocks_floats(height: int, width: int) -> int: ...
def pair_quality(
    statistics: Any, flow_before: Any, tissue_before: Any, grey_before: Any, frames: float
) -> tuple[bool, float, float, float, float, float, float, Any, Any]: ...
def polar_resample(
    src: Any,
    centre: Any,
    out: Any,
    first_angle: float,
    angle_step: float,
    first_radius: float,
    radius_step: float,
    wraps: bool,
    clamp: bool,
    scale: float,
    offset: float,
    stream: int = 0,
) -> None: ...
def polar_unresample(
    src: Any,
    centre: Any,
    out: Any,
    first_angle: float,
    angle_step: float,
    first_radius: float,
    radius_step: float,
    wraps: bool,
    clamp: bool,
    scale: float,
    offset: float,
    stream: int = 0,
) -> None: ...
def scan_convert(
    src: Any,
    out: Any,
    apex_x: float,
    apex_y: float,
    first_angle: float,
    angle_step: float,
    first_radius: float,
    radius_step: float,
    scale: float,
    offset: float,
    axis_y: float = 0.0,
    axis_z: float = 0.0,
    first_tilt: float = 0.0,
    tilt_step: float = 1.0,
    stream: int = 0,
) -> None: ...
