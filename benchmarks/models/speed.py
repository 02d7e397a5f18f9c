"""How long a network takes: torch, ONNX Runtime, and through a real Triton."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.export.models import BODIES, EAGER, LIBRARY, PAUSE_S
from benchmarks.export.timing import in_turn
from benchmarks.models.bundles import exported
from benchmarks.models.facts import RATES, facts_of, sizes_of
from benchmarks.models.memory import peak_mb
from cineflow.export import load_recipe, write_repository
from cineflow.export.bundle import build_module
from cineflow.export.recipe import Recipe
from cineflow.export.triton import Limits
from cineflow.runtime.bundle import Bundle
from cineflow.runtime.engine import Engine
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine, op_library_path
from cineflow.runtime.engines.torch import TorchEngine
from cineflow.serving import TritonServer
from cineflow_client import Client

SERVED = "through Triton"

#: Each form of a slow network runs for about this long, but not in fewer rounds than that.
_SECONDS, _FEWEST = 5.0, 9

#: Called with a few words on what goes on.
Say = Callable[[str], None]


def measure(
    name: str, variant: str, rounds: int, threads: int, given: Mapping[str, int], say: Say
) -> dict[str, Any]:
    """One model in every runtime, in turn, then served.

    Args:
        name: Of the recipe.
        variant: Of it.
        rounds: Runs that count, in each runtime; fewer of a slow network.
        threads: Of each runtime.
        given: Sizes of some axes, which replace those of `sizes_of`.
        say: Called with each step.

    Returns:
        `facts`; `rounds` that counted; `own_ops`: whether it has any of ours; `peak_mb` of ONNX
        Runtime with our library; `ms` of one run by runtime (best and median); `fps` by runtime:
        frames that one run is for, over its median; `holds`: rates that the served model keeps up
        with, empty for a call.
    """
    facts = facts_of(name, variant, given)
    recipe = load_recipe(name, variant).with_sizes(given)
    inputs = {key: value.numpy() for key, value in recipe.examples(sizes_of(recipe), 0).items()}
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        bundle = exported(name, variant, given, say)
        engines: dict[str, Engine] = {
            EAGER: TorchEngine(build_module(recipe), recipe.spec),
            BODIES: OnnxRuntimeEngine(bundle, threads, use_op_library=False),
        }
        if op_library_path():
            engines[LIBRARY] = OnnxRuntimeEngine(bundle, threads)
        engines[BODIES].run(inputs)  # plans its memory
        start = time.perf_counter()
        engines[BODIES].run(inputs)
        rounds = min(rounds, max(_FEWEST, round(_SECONDS / (time.perf_counter() - start))))
        times = in_turn(
            {key: lambda e=e: e.run(inputs) for key, e in engines.items()},  # type: ignore[misc]
            rounds,
            pause_s=PAUSE_S,
            say=lambda words: say(f"torch and ONNX Runtime, {words}"),
        )
        found = {key: value.to_dict() for key, value in times.items()}
        del engines  # their threads spin
        say(SERVED)
        found[SERVED] = _served(bundle, recipe, inputs, rounds, threads, Path(folder))
        size = bundle.onnx_path.stat().st_size
        say("memory")
        memory = peak_mb(bundle.path, inputs, threads, Path(folder))
    fps = {key: 1e3 * facts.frames / one["median"] for key, one in found.items()}
    feed = recipe.spec.feed
    return {
        "facts": vars(facts),
        "rounds": rounds,
        "onnx_mb": round(size / 1e6, 1),
        "own_ops": any(one.startswith("cineflow::") for one in bundle.manifest["operators"]),
        "peak_mb": round(memory, 1),
        "ms": found,
        "fps": {key: round(value, 1) for key, value in fps.items()},
        "holds": {str(rate): fps[SERVED] >= rate for rate in RATES if feed.streams},
    }


def _served(
    bundle: Bundle,
    recipe: Recipe,
    inputs: dict[str, np.ndarray],
    rounds: int,
    threads: int,
    folder: Path,
) -> dict[str, float]:
    """A run through the server: a call, or a frame for which the model runs.

    The client waits for each result, so that the model may have all cores.
    """
    repository = write_repository([bundle], folder / "models", limits=Limits(threads=threads))
    taken: list[float] = []
    with TritonServer(repository) as server, Client(server.url) as client:
        if not recipe.spec.feed.streams:
            for _ in range(2 + rounds):
                start = time.perf_counter()
                client.call(bundle.served_name, **inputs)
                taken.append(1e3 * (time.perf_counter() - start))
            taken = taken[2:]
        else:
            taken = _streamed(client, bundle, recipe, inputs, rounds)
    return {"best": round(min(taken), 3), "median": round(float(np.median(taken)), 3)}


def _streamed(
    client: Client, bundle: Bundle, recipe: Recipe, inputs: dict[str, np.ndarray], rounds: int
) -> list[float]:
    size = inputs[recipe.spec.frame_inputs[-1].name].shape[-recipe.spec.feed.rank :]
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (8, *size)).astype(np.uint8)
    taken: list[float] = []
    with client.stream(bundle.served_name, timeout_s=60) as stream:
        start = time.perf_counter()
        for k in range(10_000):
            result = stream.push(frames[k % 8])
            if result.outputs:  # the model ran; the frames since the last time belong to it
                taken.append(1e3 * (time.perf_counter() - start))
                start = time.perf_counter()
            if len(taken) == 2 + rounds:
                break
    return taken[2:]
