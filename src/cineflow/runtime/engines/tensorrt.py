"""TensorRT and TensorRT-RTX: engines from the store, on one stream of their own.

Written for a cart whose beamformer shares the GPU: a low-priority stream, a cap on the memory
pool, no device-wide synchronisation, and a CUDA graph once a shape repeats. Not verified on a card:
no machine with one was at hand; the tests run it against a stand-in that records the calls.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from cineflow.errors import EngineError, MissingDependencyError
from cineflow.runtime.bundle import Bundle, graph_inputs, graph_outputs
from cineflow.runtime.checks import check_inputs
from cineflow.runtime.store import EngineStore, StoredEngine

#: Flavour -> Python module.
MODULES = {"tensorrt-rtx": "tensorrt_rtx", "tensorrt": "tensorrt"}

#: Most memory that CuPy's pool may take for this engine's buffers.
MEMORY_CAP_BYTES = 1 << 30

#: CUDA gives larger numbers to lower priorities; 0 is the lowest.
LOWEST_PRIORITY = 0

#: Runs of one shape before its CUDA graph is captured: the first ones may still allocate.
CAPTURE_AFTER = 2


class TensorRtEngine:
    """A bundle's engine for the card in this machine.

    Args:
        bundle: The model.
        flavour: "tensorrt-rtx" or "tensorrt".
        store: Where its engine is; the bundle's hash, the flavour's version and the card find it.

    Raises:
        MissingDependencyError: TensorRT or CuPy is not installed.
        EngineError: No card, no engine for it, or TensorRT refuses the plan.
    """

    kernels = "bodies in the graph"

    def __init__(
        self, bundle: Bundle, flavour: str = "tensorrt-rtx", store: EngineStore | None = None
    ) -> None:
        self.name = flavour
        self.spec = bundle.spec
        self._inputs = graph_inputs(bundle.spec)
        self._outputs = [tensor.name for tensor in graph_outputs(bundle.spec)]
        trt, self._cupy = _import(MODULES[flavour]), _import("cupy")
        capability = card_capability(self._cupy)
        stored = find_engine(bundle, flavour, trt.__version__, capability, store or EngineStore())
        self._cupy.get_default_memory_pool().set_limit(size=MEMORY_CAP_BYTES)
        self._stream = self._cupy.cuda.Stream(non_blocking=True, priority=LOWEST_PRIORITY)
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(stored.plan_path.read_bytes())
        if self._engine is None:
            raise EngineError(
                f"{flavour} {trt.__version__} to load {stored.plan_path}",
                "it refuses the plan",
                "Build it again on this version: `cineflow engine build --rebuild`",
            )
        self._context = self._engine.create_execution_context()
        self._shapes: tuple[tuple[int, ...], ...] | None = None
        self._buffers: dict[str, Any] = {}
        self._runs = 0
        self._graph: Any = None

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output by name, for every input by name, through host memory.

        Raises:
            ArgumentError: An input does not fit the spec.
            EngineError: TensorRT fails.
        """
        check_inputs(self._inputs, inputs)
        shapes = tuple(inputs[tensor.name].shape for tensor in self._inputs)
        with self._stream:
            if shapes != self._shapes:
                self._bind(inputs)
                self._shapes = shapes
            for tensor in self._inputs:
                self._buffers[tensor.name].set(inputs[tensor.name], stream=self._stream)
            self._execute()
            results = {
                name: self._cupy.asnumpy(self._buffers[name], stream=self._stream, blocking=False)
                for name in self._outputs
            }
        self._stream.synchronize()  # this stream only: the beamformer's go on
        return results

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Buffers for new shapes; a graph of the old ones is void."""
        self._graph, self._runs = None, 0
        for tensor in self._inputs:
            array = inputs[tensor.name]
            self._buffers[tensor.name] = self._cupy.empty(array.shape, array.dtype)
            if not self._context.set_input_shape(tensor.name, array.shape):
                raise EngineError(
                    f"{tensor.name} of a shape in the engine's profile", f"{list(array.shape)}",
                    "Build with a wider --profile",
                )  # fmt: skip
        for tensor in graph_outputs(self.spec):
            shape = tuple(self._context.get_tensor_shape(tensor.name))
            self._buffers[tensor.name] = self._cupy.empty(shape, np.dtype(tensor.dtype))
        for name, buffer in self._buffers.items():
            self._context.set_tensor_address(name, buffer.data.ptr)

    def _execute(self) -> None:
        if self._graph is not None:
            self._graph.launch(self._stream)
            return
        if self._runs >= CAPTURE_AFTER:
            self._stream.begin_capture()
            done = self._context.execute_async_v3(self._stream.ptr)
            self._graph = self._stream.end_capture()
            if done:
                self._graph.launch(self._stream)
        else:
            done = self._context.execute_async_v3(self._stream.ptr)
        self._runs += 1
        if not done:
            raise EngineError(f"{self.spec.name} to run in {self.name}", "TensorRT failed")


def find_engine(
    bundle: Bundle, flavour: str, version: str, capability: str, store: EngineStore
) -> StoredEngine:
    """The sound engine for exactly this graph, version and card.

    Raises:
        EngineError: There is none; a close one is never taken instead.
    """
    for engine in store.engines():
        key = engine.key
        wanted = (bundle.spec.name, bundle.hash, flavour, version, capability)
        if key is None or engine.fault:
            continue
        if (key.model, key.onnx_sha256, key.flavour, key.version, key.capability) == wanted:
            return engine
    raise EngineError(
        f"an engine of {bundle.served_name} for {flavour} {version} on SM {capability}",
        f"none in {store.root}",
        f"`cineflow engine build BUNDLE --runtime {flavour} --sm {capability}`",
    )


def card_capability(cupy: Any) -> str:
    """Compute capability of card 0 ("86").

    Raises:
        EngineError: There is no card.
    """
    try:
        return str(cupy.cuda.Device(0).compute_capability)
    except Exception as error:  # CuPy's error class needs CuPy to be named
        raise EngineError("an NVIDIA GPU with its driver", str(error)) from error


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            module, str(error), "`pip install cineflow[gpu]`, or NVIDIA's container"
        ) from error
