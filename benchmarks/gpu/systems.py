"""The systems of the sources on the GPU, through torch with our kernels: agreement and speed.

Each network of `small` gets the example inputs of its recipe, at the size of `make bench-models`.
Every output is compared with that of the same network on the CPU, and one run is timed. Figures are
printed as JSON. `--device cpu` tries the script without a GPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import cineflow.ops.torch_library  # noqa: F401, registers torch.ops.cineflow
from benchmarks.models.facts import RATES, SYSTEMS, sizes_of
from cineflow.export import load_recipe
from cineflow.export.bundle import build_module
from cineflow.spec import FeedKind

RUNS = 20


def measure(name: str, device: str) -> dict[str, Any]:
    """One network.

    Returns:
        `inputs`: shape of the first one; `median_ms` of a run; `fps`: frames that one run is for,
        over it; `holds`: rates that it keeps up with; `worst`: the largest difference from the CPU,
        over the output's tolerance.
    """
    recipe = load_recipe(name, "small")
    feed = recipe.spec.feed
    inputs = tuple(recipe.examples(sizes_of(recipe), 0).values())
    network = build_module(recipe).eval()
    on_cpu = network(*inputs)
    network = network.to(device)
    moved = tuple(one.to(device) for one in inputs)
    on_device = network(*moved)
    seconds = statistics.median(timed(lambda: network(*moved), device) for _ in range(RUNS))
    fps = (feed.hop if feed.kind == FeedKind.WINDOW else 1) / seconds
    return {
        "inputs": list(inputs[0].shape),
        "median_ms": round(seconds * 1e3, 3),
        "fps": round(fps, 1),
        "holds": {str(rate): fps >= rate for rate in RATES},
        "worst": round(worst(recipe.spec.outputs, on_cpu, on_device), 4),
    }


def worst(outputs: Any, wanted: Any, found: Any) -> float:
    """The largest difference of a real output, over its tolerance."""
    both = zip(outputs, as_tuple(wanted), as_tuple(found), strict=False)  # states come after
    return max(
        float((b.cpu() - a).abs().max()) / output.tolerance
        for output, a, b in both
        if output.tolerance and a.is_floating_point()
    )


def as_tuple(results: Any) -> tuple[torch.Tensor, ...]:
    return (results,) if isinstance(results, torch.Tensor) else tuple(results)


def timed(run: Callable[[], object], device: str) -> float:
    """Seconds of one run, until the device has finished it."""
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [name for system in SYSTEMS.values() for name in system]
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="RECIPE")
    options = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False  # the CPU has no TF32, and both must compute in f32
    with torch.inference_mode():
        figures = {name: measure(name, options.device) for name in options.only}
    far = {name: one["worst"] for name, one in figures.items() if not one["worst"] <= 1}
    assert not far, f"further from the CPU than the tolerance, by this factor: {far}"
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
