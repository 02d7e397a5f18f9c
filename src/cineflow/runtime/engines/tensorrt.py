"""TensorRT and TensorRT-RTX: engines from the store, whole or in segments with our kernels between.

This has not been verified on a card. The tests run it against a stand-in that records the calls and
computes with ONNX Runtime what the engines would compute (tests/stand_ins/card.py), and compare the
names that are called with those of the real TensorRT-RTX.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cineflow.errors import DeviceMemoryError, EngineError, MissingDependencyError, ProfileError
from cineflow.ops.dispatch import cuda_architectures
from cineflow.ops.held import Card, Held
from cineflow.runtime.bundle import Bundle, file_sha256, graph_inputs, graph_outputs
from cineflow.runtime.carried import Carried
from cineflow.runtime.checks import check_inputs
from cineflow.runtime.engines.cupy_card import MEMORY_CAP_BYTES
from cineflow.runtime.engines.launches import KernelLaunch, Launch, LaunchSeries
from cineflow.runtime.engines.providers import memory_limit
from cineflow.runtime.segments import SegmentStep, kernels, read_steps, require_complete
from cineflow.runtime.store import EngineStore, StoredEngine

#: Flavour -> Python module.
MODULES = {"tensorrt-rtx": "tensorrt_rtx", "tensorrt": "tensorrt"}


class TensorRtEngine:
    """A bundle's engine, or the engines of its segments, for the card in this machine.

    Args:
        bundle: The model.
        flavour: "tensorrt-rtx" or "tensorrt".
        store: Where its engines are; see `find_plans`.
        segmented: Run the segments of a bundle exported with `--split-ops`, with our CUDA kernels
            between them, instead of the whole graph.
        precision: Precision of the engines; None means the bundle's.

    Raises:
        MissingDependencyError: TensorRT or CuPy is not installed.
        BundleError: `segmented` was asked for, and the bundle has no segments.
        EngineError: There is no card, the store has no engine for it, or TensorRT refuses the plan.
        DeviceMemoryError: The engines alone take more memory than `--gpu-memory` allows.
    """

    #: One stream, whose runs take turns.
    concurrent = False
    takes_held = True

    def __init__(
        self,
        bundle: Bundle,
        flavour: str = "tensorrt-rtx",
        store: EngineStore | None = None,
        *,
        segmented: bool = False,
        precision: str | None = None,
    ) -> None:
        self.name = engine_name(flavour, segmented)
        self.model = bundle.served_name
        self.kernels = "cineflow CUDA kernels" if segmented else "bodies in the graph"
        self._spec = bundle.spec
        self._inputs = graph_inputs(bundle.spec)
        inputs = [tensor.name for tensor in self._inputs]
        outputs = [tensor.name for tensor in graph_outputs(bundle.spec)]
        steps = read_steps(bundle) if segmented else [SegmentStep(tuple(inputs), tuple(outputs))]
        ops = kernels()
        if segmented:
            require_complete(steps, inputs, outputs, ops)

        trt, cupy = _import(MODULES[flavour]), _import("cupy")
        capability = card_capability(cupy)
        version = str(trt.__version__)
        plans = find_plans(
            bundle, flavour, version, capability, segmented, store, precision=precision
        )
        runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        waiting = iter(plans)
        launches: list[Launch] = [
            KernelLaunch(step, ops[step.op])
            if step.op
            else EngineLaunch(trt, cupy, runtime, next(waiting), step)
            for step in steps
        ]
        weights = sum(one.weights_bytes for one in launches if isinstance(one, EngineLaunch))
        memory_bytes = pool_bytes(weights, memory_limit())
        self._series = LaunchSeries(cupy, launches, inputs, outputs, memory_bytes)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output by name, for every input by name, through host memory.

        Raises:
            ArgumentError: An input does not fit the spec.
            EngineError: A shape is outside the profile, memory runs out, or TensorRT fails.
        """
        return self._series.run(check_inputs(self._inputs, inputs))[0]

    def run_keeping(
        self, inputs: Mapping[str, np.ndarray], carried: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], Carried]:
        """See `KeepsState`: the state stays on the card."""
        return self.run_leaving(inputs, carried, ())

    def run_leaving(
        self,
        inputs: Mapping[str, Any],
        carried: Mapping[str, np.ndarray],
        left: Sequence[str],
    ) -> tuple[dict[str, Any], Carried]:
        """See `LeavesOutputs`."""
        held = carried.held_by(self) if isinstance(carried, Carried) else None
        states = {f"{name}_in": value for name, value in (held or carried).items()}
        if held is None:
            arrays: dict[str, Any] = dict(check_inputs(self._inputs, {**inputs, **states}))
        else:
            arrays = {**check_inputs(self._spec.inputs, inputs), **states}
        names = [f"{one.name}_out" for one in self._spec.states]
        outputs, kept = self._series.run(arrays, (*names, *left))
        after = {one.name: kept[f"{one.name}_out"] for one in self._spec.states}
        leaving = {name: Held(kept[name], self._series) for name in left}
        return outputs | leaving, Carried(self, after, self._series.fetch)

    @property
    def card(self) -> Card | None:
        """See `LeavesOutputs`: None in a build without CUDA kernels."""
        return self._series if cuda_architectures() else None


def pool_bytes(weights_bytes: int, limit_bytes: int | None) -> int:
    """What is left of a limit of GPU memory for buffers and scratch memory.

    The context of CUDA and the code of the kernels are not counted: no engine states them.

    Args:
        weights_bytes: What the engines state for their weights.
        limit_bytes: For all together; None leaves `MEMORY_CAP_BYTES`.

    Raises:
        DeviceMemoryError: The weights alone take it all.
    """
    if limit_bytes is None:
        return MEMORY_CAP_BYTES
    if weights_bytes >= limit_bytes:
        raise DeviceMemoryError(
            f"weights and buffers within {limit_bytes / 2**20:.1f} MiB of GPU memory",
            f"weights of {weights_bytes / 2**20:.1f} MiB alone",
            "Raise --gpu-memory, or build the engine in half precision: --precision fp16",
        )
    return limit_bytes - weights_bytes


class EngineLaunch:
    """One TensorRT engine as a step. The caller owns its buffers and scratch memory.

    Args:
        trt: The flavour's module.
        cupy: The CuPy module.
        runtime: A `trt.Runtime`.
        stored: The plan.
        step: Names of its inputs and outputs.

    Attributes:
        weights_bytes: GPU memory of the weights, as the engine states it.

    Raises:
        EngineError: TensorRT refuses the plan, or needs an input in host memory.
    """

    def __init__(
        self, trt: Any, cupy: Any, runtime: Any, stored: StoredEngine, step: SegmentStep
    ) -> None:
        self._trt = trt
        self._cupy = cupy
        self._step = step
        self._plan = stored.plan_path
        self._engine = runtime.deserialize_cuda_engine(stored.plan_path.read_bytes())
        if self._engine is None:
            raise EngineError(
                f"TensorRT {trt.__version__} to load {stored.plan_path}",
                "a refusal",
                "Build it again on this version: `cineflow engine build --rebuild`",
            )
        for name in (*step.inputs, *step.outputs):
            if self._engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
                raise EngineError(
                    f"{name} of {stored.plan_path} in GPU memory",
                    "an input in host memory, because TensorRT computes a shape from it",
                    "Export with --size, so that no shape is computed at run time",
                )
        self.weights_bytes = _weights_bytes(trt, self._engine)

    def bind(self, values: dict[str, Any]) -> _BoundEngine:
        context = _context(self._trt, self._engine)
        if context is None:  # it says why in its log only
            raise DeviceMemoryError(
                f"memory for a context of {self._plan}",
                "TensorRT makes none",
                "End what takes the card's memory (`nvidia-smi`)",
            )
        for name in self._step.inputs:
            if not context.set_input_shape(name, tuple(values[name].shape)):
                raise ProfileError(
                    f"{name} of a shape in the profile of {self._plan}",
                    f"{list(values[name].shape)}",
                    "Build with a wider --profile",
                )
        for name in self._step.outputs:
            shape = tuple(context.get_tensor_shape(name))
            dtype = np.dtype(self._trt.nptype(self._engine.get_tensor_dtype(name)))
            values[name] = self._cupy.empty(shape, dtype)
        for name in (*self._step.inputs, *self._step.outputs):
            context.set_tensor_address(name, values[name].data.ptr)
        return _BoundEngine(context, str(self._plan))


class _BoundEngine:
    """An execution context with its shapes and addresses."""

    def __init__(self, context: Any, plan: str) -> None:
        self._context = context
        self._plan = plan
        self.scratch_bytes = int(context.update_device_memory_size_for_shapes())

    def give_scratch(self, scratch: Any) -> None:
        self._context.set_device_memory(scratch.data.ptr, scratch.nbytes)

    def capturable(self, stream: Any) -> bool:
        # TensorRT-RTX compiles for a new shape while the first frames run, and says so.
        ask = getattr(self._context, "is_stream_capturable", None)
        return ask is None or bool(ask(stream.ptr))

    def launch(self, stream: Any) -> None:
        if not self._context.execute_async_v3(stream.ptr):
            raise EngineError(f"{self._plan} to run", "TensorRT failed", "`cineflow verify` it")


def _weights_bytes(trt: Any, engine: Any) -> int:
    """GPU memory of an engine's weights; 0 where this version does not say."""
    if not hasattr(trt, "EngineStat"):
        return 0
    return max(int(engine.get_engine_stat(trt.EngineStat.TOTAL_WEIGHTS_SIZE)), 0)


def _context(trt: Any, engine: Any) -> Any:
    """An execution context that allocates nothing itself."""
    strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
    if not hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
        return engine.create_execution_context(strategy)
    # By default TensorRT-RTX starts a new shape on general kernels and replaces them later. A CUDA
    # graph would keep the general ones.
    config = engine.create_runtime_config()
    config.set_execution_context_allocation_strategy(strategy)
    eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    config.dynamic_shapes_kernel_specialization_strategy = eager
    return engine.create_execution_context(config)


def engine_name(flavour: str, segmented: bool) -> str:
    """Name of the runtime ("tensorrt-rtx-segments")."""
    return f"{flavour}-segments" if segmented else flavour


def find_plans(
    bundle: Bundle,
    flavour: str,
    version: str,
    capability: str,
    segmented: bool = False,
    store: EngineStore | None = None,
    *,
    precision: str | None = None,
) -> list[StoredEngine]:
    """The sound engines for exactly this graph (or each of its segments), version and card.

    They have the precision that was asked for; None means the bundle's own. Where the store has
    several profiles of one graph, the one with the largest sizes is taken.

    Raises:
        BundleError: `segmented` was asked for, and the bundle has no segments.
        EngineError: An engine is missing. A similar one is never taken instead.
    """
    store = store or EngineStore()
    precision = precision or bundle.precision
    graphs = [(bundle.spec.name, bundle.hash)]
    if segmented:
        files = [step.segment for step in read_steps(bundle) if step.segment is not None]
        graphs = [(f"{bundle.spec.name}/{file.stem}", file_sha256(file)) for file in files]
    plans = []
    for model, digest in graphs:
        stored = store.matching(
            model=model,
            onnx_sha256=digest,
            flavour=flavour,
            version=version,
            capability=capability,
        )
        precisions = {engine.key.precision for engine in stored if engine.key is not None}
        fitting = [e for e in stored if e.key is not None and e.key.precision == precision]
        if not fitting:
            others = f", only in {', '.join(sorted(precisions))}" if precisions else ""
            raise EngineError(
                f"an engine of {model} in {precision} for {flavour} {version} on SM {capability}",
                f"not in {store.root}{others}",
                f"`cineflow engine build {bundle.path} --runtime {flavour} --sm {capability}"
                + (f" --precision {precision}" if precision != bundle.precision else "")
                + (" --split-ops`" if segmented else "`"),
            )
        plans.append(max(fitting, key=StoredEngine.widest))
    return plans


def card_capability(cupy: Any) -> str:
    """Compute capability of card 0 ("86").

    Raises:
        EngineError: There is no card.
    """
    try:
        return str(cupy.cuda.Device(0).compute_capability)
    except Exception as error:  # naming CuPy's error class would need CuPy
        raise EngineError("an NVIDIA GPU with its driver", str(error)) from error


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            module, str(error), "`pip install cineflow[gpu]`, or NVIDIA's container"
        ) from error
