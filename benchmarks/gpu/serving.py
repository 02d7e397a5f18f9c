"""Streams on the card, in each runtime that works there: agreement with the CPU, and speed.

The default tracker and a small recurrent network get the same frames on the card and on the CPU.
The recurrent one also runs with its state taken through host memory, which must change nothing. The
tracker does so with its flow: composition and quality then run on the CPU, and must agree. Two
streams of different sizes take turns in one engine, which must change nothing either. ONNX Runtime
runs with and without CUDA graphs; if it captures none, `not_run` says why. A session with little
memory must refuse large frames by type, and go on with small ones. The client takes images that
CuPy and torch have on the card (arrays.py). Figures are printed as JSON. `--device cpu` tries the
script without a card.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx

from benchmarks.gpu import arrays as arrays_on_card
from cineflow.errors import CineflowError, DeviceMemoryError, EngineError
from cineflow.export.engines import build_engines
from cineflow.runtime import Bundle, Engine, open_engine
from cineflow.runtime.bundle import MANIFEST_FILE, MANIFEST_FORMAT, MODEL_FILE, file_sha256
from cineflow.runtime.carried import KeepsState
from cineflow.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cineflow.runtime.engines.providers import CUDA_PROVIDER, MEMORY_VARIABLE
from cineflow.runtime.engines.tensorrt import card_capability
from cineflow.runtime.runtimes import RUNTIMES
from cineflow.runtime.store import STORE_VARIABLE
from cineflow.runtime.stream import Stream
from cineflow.spec import Axis, Feed, ModelSpec, Role, TensorSpec

SIDE, FRAMES, TURNS = 256, 40, 8
LITTLE_MIB, LARGE = 16, 1024

H, W = Axis("height", 64, 1024, 64), Axis("width", 64, 1024, 64)
FADING = ModelSpec(
    name="fading",
    summary="A convolution of the frame and of eight features that fade from frame to frame.",
    inputs=(TensorSpec("image", "float32", (1, 1, H, W), "grey level"),),
    outputs=(TensorSpec("smooth", "float32", (1, 1, H, W), "grey level", tolerance=1e-2),),
    states=(TensorSpec("memory", "float32", (1, 8, H, W), "1"),),
    feed=Feed("frame", ("image",)),
)
GRAPH = """
<ir_version: 10, opset_import: ["" : 20]>
main (float[1,1,height,width] image, float[1,8,height,width] memory_in)
  => (float[1,1,height,width] smooth, float[1,8,height,width] memory_out)
{
  both = Concat <axis: int = 1> (image, memory_in)
  shape = Constant <value_ints: ints = [8, 9, 3, 3]> ()
  weight = ConstantOfShape <value: tensor = float[1] {0.001}> (shape)
  new = Conv <pads: ints = [1, 1, 1, 1]> (both, weight)
  memory_out = Tanh (new)
  smooth = ReduceMean <keepdims: int = 1> (memory_out, axis)
  axis = Constant <value_ints: ints = [1]> ()
}
"""


class HostOnly:
    """An engine whose state goes through host memory with every frame."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.model, self.kernels = engine.name, engine.model, engine.kernels
        self.run = engine.run


def recurrent(folder: Path) -> Bundle:
    """The recurrent network as a bundle."""
    model = onnx.parser.parse_model(GRAPH)
    last = model.graph.node.pop()
    model.graph.node.insert(0, last)
    onnx.save(model, folder / MODEL_FILE)
    files = {MODEL_FILE: {"sha256": file_sha256(folder / MODEL_FILE)}}
    manifest = {"format": MANIFEST_FORMAT, "spec": json.loads(FADING.to_json()), "files": files}
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    return Bundle.load(folder)


def clip(side: int = SIDE, frames: int = FRAMES) -> list[np.ndarray]:
    """A smooth texture that moves by one pixel a frame, uint8 [T, side, side]."""
    noise = np.random.default_rng(1).random((side, side))
    low = np.fft.fft2(noise) * np.exp(-200 * np.add.outer(*[np.fft.fftfreq(side) ** 2] * 2))
    smooth = np.fft.ifft2(low).real
    grey = np.round(255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    return [np.roll(grey, k, 1) for k in range(frames)]


def outputs(engine: Any, bundle: Bundle, frames: list[np.ndarray]) -> tuple[list[Any], float]:
    """The outputs of each frame by name, and the median time of a frame in ms."""
    stream = Stream(engine, bundle.spec)
    found, times = [], []
    for frame in frames:
        began_s = time.perf_counter()
        result = stream.push(frame)
        times.append(1e3 * (time.perf_counter() - began_s))
        arrays = {name: output.values for name, output in result.outputs.items()}
        found.append(arrays)
    return found, statistics.median(times)


def check_turns(engine: Any, bundle: Bundle) -> None:
    """Streams of two sizes take turns: each has the results that it has alone, bit for bit.

    A graph writes to fixed memory, so another shape's frames would show there.
    """
    clips = [clip(side, TURNS) for side in (SIDE, SIDE // 2)]
    alone = [outputs(engine, bundle, frames)[0] for frames in clips]
    streams = [Stream(engine, bundle.spec) for _ in clips]
    for k in range(TURNS):
        for stream, frames, wanted in zip(streams, clips, alone, strict=True):
            for name, output in stream.push(frames[k]).outputs.items():
                np.testing.assert_array_equal(output.values, wanted[k][name], err_msg=name)


def check_readings(engine: Any, bundle: Bundle, frames: list[np.ndarray]) -> dict[str, float]:
    """What is read off a flow on the card agrees with what the CPU reads off the same flow.

    Returns:
        The median time of a frame in ms: on the card, where nobody reads flow and displacement, and
        through host memory.
    """
    streams = Stream(engine, bundle.spec), Stream(HostOnly(engine), bundle.spec)
    times: tuple[list[float], list[float]] = [], []
    for frame in frames:
        results = []
        for stream, taken in zip(streams, times, strict=True):
            began_s = time.perf_counter()
            results.append(stream.push(frame))
            taken.append(1e3 * (time.perf_counter() - began_s))
        found, wanted = results
        for name, least in (("flow", 0.0), ("displacement", 1e-3), ("quality", 1e-3)):
            one, other = (np.asarray(getattr(result, name)) for result in results)
            np.testing.assert_allclose(one, other, rtol=0, atol=least, err_msg=name)
        assert (found.beat, found.reference) == (wanted.beat, wanted.reference)
    names = ("readings_on_card_ms", "readings_on_host_ms")
    return {
        name: round(statistics.median(taken), 3) for name, taken in zip(names, times, strict=True)
    }


def worst(bundle: Bundle, wanted: list[Any], found: list[Any]) -> float:
    """The largest difference of an output over its tolerance; a state carries differences on."""
    differences = [
        float(np.abs(mine[one.name] - other[one.name]).max()) / (one.tolerance or 1.0)
        for mine, other in zip(wanted, found, strict=True)
        for one in bundle.spec.outputs
        if one.name in mine
    ]
    return max(differences) / (len(wanted) if bundle.spec.states else 1)


def measure(bundle: Bundle, runtime: str) -> dict[str, Any]:
    """One bundle in one runtime."""
    frames = clip()
    wanted, cpu_ms = outputs(open_engine(bundle, runtime="onnxruntime"), bundle, frames)
    engine = open_engine(bundle, runtime=runtime)
    found, median_ms = outputs(engine, bundle, frames)
    figures: dict[str, Any] = {
        "median_ms": round(median_ms, 3),
        "cpu_ms": round(cpu_ms, 3),
        "worst": round(worst(bundle, wanted, found), 4),
    }
    if bundle.spec.states:
        assert isinstance(engine, KeepsState), f"{runtime} does not keep the state"
        through_host, host_ms = outputs(HostOnly(engine), bundle, frames)
        for mine, other in zip(found, through_host, strict=True):
            np.testing.assert_array_equal(mine["smooth"], other["smooth"])
        figures["through_host_ms"] = round(host_ms, 3)
    check_turns(engine, bundle)
    if getattr(engine, "card", None) is not None and bundle.spec.output_of(Role.FLOW) is not None:
        figures |= check_readings(engine, bundle, frames)
    if isinstance(engine, OnnxRuntimeEngine) and not engine.concurrent:
        figures["graph_fault"] = engine.graph_fault
        plain = OnnxRuntimeEngine(bundle, provider=CUDA_PROVIDER, cuda_graph=False)
        found, plain_ms = outputs(plain, bundle, frames)
        figures["without_graph_ms"] = round(plain_ms, 3)
        figures["worst"] = max(figures["worst"], round(worst(bundle, wanted, found), 4))
    return figures


def little_memory(bundle: Bundle, runtime: str) -> str:
    """A session with little memory refuses large frames and goes on with small ones."""
    with mock.patch.dict(os.environ, {MEMORY_VARIABLE: str(LITTLE_MIB)}):
        engine = open_engine(bundle, runtime=runtime)
        large, small = clip(LARGE, 2), clip(64, 2)
        try:
            outputs(engine, bundle, large)
        except DeviceMemoryError as error:
            outputs(engine, bundle, small)
            return str(error)[:200]
    raise AssertionError(f"{LARGE} x {LARGE} pixels fit into {LITTLE_MIB} MiB in {runtime}")


def prepare(bundle: Bundle) -> None:
    """Build the engines that this machine can build; a runtime without one says why."""
    for flavour in ("tensorrt", "tensorrt-rtx"):
        with contextlib.suppress(CineflowError, ImportError):
            import cupy

            build_engines(bundle, flavour, [int(card_capability(cupy))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ[STORE_VARIABLE] = str(Path(folder, "engines"))
        bundles = [Bundle.load("lucas_kanade"), recurrent(Path(folder))]
        for bundle in bundles:
            if options.device == "cuda":
                prepare(bundle)
            for name, runtime in RUNTIMES.items():
                asked = runtime.on_card if options.device == "cuda" else name == "onnxruntime"
                if not asked:
                    continue
                status = runtime.status(bundle, None)
                if not status.available:
                    reasons[name] = status.reason
                    continue
                found = figures[f"{bundle.spec.name} in {name}"] = measure(bundle, name)
                if fault := found.pop("graph_fault", ""):
                    reasons[f"CUDA graph of {bundle.spec.name} in {name}"] = fault
        for name in {key.split(" in ")[1] for key in figures} - {"onnxruntime"}:
            figures[f"little memory in {name}"] = little_memory(bundles[0], name)
    far = {key: one["worst"] for key, one in figures.items()
           if isinstance(one, dict) and not one["worst"] <= 1}  # fmt: skip
    if far:
        raise EngineError("results within the tolerance of the CPU's", f"by this factor: {far}")
    client: dict[str, dict[str, float]] = {}
    if options.device == "cuda":
        client, missing = arrays_on_card.measure_all()
        reasons.update(missing)
    print(json.dumps({"figures": figures, "client": client, "not_run": reasons}))


if __name__ == "__main__":
    main()
