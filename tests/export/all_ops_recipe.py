"""A recipe as a user writes it, of a model that is every op once."""

from __future__ import annotations

import torch

from cineflow import ops
from cineflow.spec import ModelSpec, TensorSpec

SIZE = (32, 40)
CENTRE = (20.0, 16.0)
GRID = ops.PolarGrid(angles=32, radii=16, last_radius=16.0)
PROBE = ops.ProbeGeometry(*SIZE, -0.6, 0.6, last_depth=30.0, face=(20.0, 0.5))


def grey(name: str, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, dtype, (1, 1, *SIZE), "grey level", tolerance=1e-2)


def volume(name: str, planes: int) -> TensorSpec:
    return TensorSpec(name, "float32", (1, planes, *SIZE), "", tolerance=1e-4)


def motion(name: str) -> TensorSpec:
    return TensorSpec(name, "float32", (1, 2, *SIZE), "px", tolerance=1e-3)


SPEC = ModelSpec(
    name="all_ops",
    summary="Each op once; the image is of bytes, its polar image is not.",
    inputs=(
        grey("image", "uint8"),
        motion("flow"),
        volume("f1", 8),
        volume("f2", 8),
        TensorSpec("points", "float32", (1, 4, 2), "px"),
    ),
    outputs=(
        grey("back"),
        volume("matched", 9),
        volume("fused", 25),
        motion("composed"),
        grey("moved"),
        grey("converted"),
        TensorSpec("windows", "float32", (1, 36, *SIZE), "", tolerance=1e-3),
        TensorSpec("demanded", "float32", (1, 36, *SIZE), "", tolerance=1e-3),
        TensorSpec("stepped", "float32", (1, 2, 8, 10), "px", tolerance=1e-3),
        TensorSpec("patches", "float32", (1, 4, 16, 64), "", tolerance=1e-3),
    ),
)


class AllOps(torch.nn.Module):
    """Polar and back, correlations, a composition, its warp, and scan conversion."""

    def forward(self, image, flow, f1, f2, points):
        polar = ops.polar_resample(image, CENTRE, GRID)
        composed = ops.compose_flow(flow, flow, border="clamp")
        block = ops.CorrelationBlock(f1, f2, radius=1)
        on_demand = ops.CorrelationBlock(f1, f2, radius=1, memory_limit=0)
        moved = ops.warp(image, composed)
        cells = torch.ones(1, 1, 8, 10)
        return (
            ops.polar_unresample(polar, CENTRE, GRID, SIZE),
            ops.correlation(f1, f2, radius=1),
            ops.warp_correlation(f1, f2, flow, radius=2, order="xy", scale="sqrt"),
            composed,
            moved,
            ops.scan_convert(image, PROBE, SIZE),
            block.lookup(flow),
            on_demand.lookup(flow),
            ops.lucas_kanade_step(
                image.float(), moved, cells, cell=4, sigma=1.5, refinements=1, ridge=10.0
            ),
            ops.patch_correlation(f1, f2, points, points + 1, size=8, pool=(2, 1)),
        )


def build() -> torch.nn.Module:
    return AllOps()


def example_inputs(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randint(0, 256, (1, 1, *SIZE), generator=generator, dtype=torch.uint8),
        "flow": 3 * torch.randn((1, 2, *SIZE), generator=generator),
        "f1": torch.randn((1, 8, *SIZE), generator=generator),
        "f2": torch.randn((1, 8, *SIZE), generator=generator),
        "points": 32 * torch.rand((1, 4, 2), generator=generator),
    }
