"""Engines for TensorRT-RTX and TensorRT, built ahead of time.

TensorRT-RTX compiles without a GPU or driver, for every compute capability it knows; full TensorRT
compiles for the GPU it runs on. Both read the same graph. Execution on a card is not verified here.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from cineflow.errors import EngineError, ExportError, MissingDependencyError
from cineflow.export.footprint import Shapes, live_bytes, shapes_at
from cineflow.export.precision import to_half
from cineflow.export.recipe import nearest_size, spec_axes
from cineflow.export.segments import split
from cineflow.export.targets import grid_sample_rank
from cineflow.runtime.bundle import Bundle
from cineflow.runtime.store import EngineKey, EngineStore, StoredEngine
from cineflow.spec import ModelSpec

#: Flavour -> (module, what installs it).
FLAVOURS: Mapping[str, tuple[str, str]] = {
    "tensorrt-rtx": ("tensorrt_rtx", "`pip install tensorrt-rtx-cu13`"),
    "tensorrt": ("tensorrt", "Install `tensorrt` on the machine with the card"),
}

#: First TensorRT whose GridSample takes volumes.
GRID_RANK_5_SINCE = (11, 2, 1)

#: Scratch memory a build may plan with: the cart's beamformer shares the GPU.
WORKSPACE_BYTES = 1 << 30

#: Memory of the smallest card that a cart is likely to have.
CARD_BYTES = 8 << 30

#: Size around which engines are tuned along a dynamic axis.
TYPICAL_SIZE = 256

Profile = Mapping[str, tuple[int, int, int]]

#: Shapes of all values at the smallest, typical and largest sizes.
Ranges = tuple[Shapes, Shapes, Shapes]


def build_engines(
    bundle: Bundle,
    flavour: str,
    capabilities: Sequence[int],
    *,
    precision: str | None = None,
    split_ops: bool = False,
    profile: Profile | None = None,
    memory_bytes: int = CARD_BYTES,
    store: EngineStore | None = None,
    rebuild: bool = False,
) -> list[tuple[StoredEngine, bool]]:
    """Build one engine (or one per segment) for each compute capability into the store.

    Args:
        bundle: The model.
        flavour: "tensorrt-rtx" or "tensorrt".
        capabilities: Compute capabilities as numbers (86 for 8.6); full TensorRT takes one, that
            of the card in this machine.
        precision: "fp16" stores the features of an fp32 graph in half precision before the build;
            None keeps the graph as it is.
        split_ops: One engine per segment between our ops, in place of one for the whole graph.
        profile: Axis name -> (smallest, typical, largest) size; None means the spec's range.
        memory_bytes: Memory of the card; a profile that cannot fit is refused.
        store: Where engines go.
        rebuild: Build even what is there.

    Returns:
        Each engine, and whether it was built now.

    Raises:
        MissingDependencyError: The flavour is not installed.
        EngineError: It cannot build this graph, this capability or this profile.
        ExportError: The profile is not one of the spec.
    """
    trt = import_flavour(flavour)
    version = str(trt.__version__)
    profile = check_profile(bundle.spec, profile or default_profile(bundle.spec))
    names = supported_capabilities(trt, flavour)
    for capability in capabilities:
        if names and capability not in names:
            raise EngineError(
                f"a compute capability that {flavour} {version} builds for: "
                f"{', '.join(map(str, names))}",
                str(capability),
                "SM 87, 90, 100 and 110 need full TensorRT on the card itself",
            )
    model = onnx.load(bundle.onnx_path)
    precision = precision or bundle.precision
    if precision == "fp16" and bundle.precision == "fp32":
        to_half(model)
    elif precision != bundle.precision:
        raise EngineError(f"{bundle.served_name} in {bundle.precision} or fp16", precision)
    require_grid_rank(model, flavour, version)
    require_memory(model, bundle.spec, profile, memory_bytes)
    store = store or EngineStore()
    graphs = {bundle.spec.name: model}
    if split_ops:
        cut = split(model).segments
        graphs = {f"{bundle.spec.name}/{name.partition('.')[0]}": g for name, g in cut.items()}
    ranges = _ranges(model, bundle.spec, profile)
    built = []
    for capability in capabilities:
        for name, graph in graphs.items():
            key = EngineKey(
                model=name,
                onnx_sha256=bundle.hash,
                flavour=flavour,
                version=version,
                capability=str(capability),
                precision=precision,
                profile=profile,
            )
            build = _Build(trt, flavour, name, graph, capability, ranges)
            built.append(store.get_or_build(key, build, rebuild=rebuild))
    return built


def _ranges(model: onnx.ModelProto, spec: ModelSpec, profile: Profile) -> Ranges:
    """Shape of every value at the smallest, typical and largest sizes of the profile."""
    smallest, typical, largest = (
        shapes_at(model, spec, {name: sizes[which] for name, sizes in profile.items()})
        for which in range(3)
    )
    return smallest, typical, largest


def default_profile(spec: ModelSpec) -> dict[str, tuple[int, int, int]]:
    """Sizes per dynamic axis: all that the spec takes, tuned near `TYPICAL_SIZE`."""
    profile = {}
    for axis in spec_axes(spec).values():
        low, high = nearest_size(axis, axis.minimum), nearest_size(axis, axis.maximum)
        profile[axis.name] = (low, nearest_size(axis, max(low, min(TYPICAL_SIZE, high))), high)
    return profile


def check_profile(spec: ModelSpec, profile: Profile) -> Profile:
    """`profile`, if it names every dynamic axis with sizes that the spec takes, in order.

    Raises:
        ExportError: It does not.
    """
    axes = spec_axes(spec)
    if set(profile) != set(axes):
        raise ExportError(
            f"a profile for the dynamic axes of {spec.name}: {', '.join(axes) or 'none'}",
            ", ".join(profile) or "none",
        )
    for name, sizes in profile.items():
        if sorted(sizes) != list(sizes) or not all(axes[name].accepts(size) for size in sizes):
            raise ExportError(
                f"{name} as smallest:typical:largest within {axes[name].describe()}",
                ":".join(map(str, sizes)),
            )
    return profile


def require_grid_rank(model: onnx.ModelProto, flavour: str, version: str) -> None:
    """Raise `EngineError` where this TensorRT cannot sample volumes and `model` does."""
    rank = grid_sample_rank(model)
    if rank > 4 and flavour == "tensorrt" and version_tuple(version) < GRID_RANK_5_SINCE:
        raise EngineError(
            "GridSample of rank 5: TensorRT-RTX, or TensorRT 11.2.1 and newer",
            f"rank {rank} for TensorRT {version}",
            "Build with --runtime tensorrt-rtx",
        )


def require_memory(
    model: onnx.ModelProto, spec: ModelSpec, profile: Profile, memory_bytes: int
) -> None:
    """Raise `EngineError` where the largest size of the profile cannot fit a card.

    TensorRT-RTX plans memory on the card, so without one it builds such an engine without a word.
    """
    largest = {name: sizes[2] for name, sizes in profile.items()}
    needed = live_bytes(model, shapes_at(model, spec, largest))
    if needed > memory_bytes:
        raise EngineError(
            f"{spec.name} at {largest} within {memory_bytes / 2**30:.3g} GiB",
            f"at least {needed / 2**30:.3g} GiB for one of its nodes",
            "Smaller sizes in --profile, or --memory for a larger card",
        )


def import_flavour(flavour: str) -> Any:
    """The Python module of a flavour.

    Raises:
        EngineError: There is no such flavour.
        MissingDependencyError: It is not installed.
    """
    if flavour not in FLAVOURS:
        raise EngineError(f"a runtime of {sorted(FLAVOURS)}", repr(flavour))
    module, remedy = FLAVOURS[flavour]
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise MissingDependencyError(module, str(error), remedy) from error


def supported_capabilities(trt: Any, flavour: str) -> list[int]:
    """Capabilities that TensorRT-RTX builds for anywhere; empty for full TensorRT."""
    if flavour != "tensorrt-rtx":
        return []
    found = [re.fullmatch(r"SM(\d+)", name) for name in dir(trt.ComputeCapability)]
    return sorted(int(match.group(1)) for match in found if match)


def version_tuple(version: str) -> tuple[int, ...]:
    """ "11.2.1" -> (11, 2, 1)."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


class _Build:
    """One build; called by the store when the engine is not there."""

    def __init__(
        self,
        trt: Any,
        flavour: str,
        name: str,
        model: onnx.ModelProto,
        capability: int,
        ranges: Ranges,
    ) -> None:
        self.trt = trt
        self.flavour = flavour
        self.name = name
        self.model = model
        self.capability = capability
        self.ranges = ranges

    def __call__(self) -> bytes:
        trt = self.trt
        logger = _collecting_logger(trt)
        try:
            builder = trt.Builder(logger)
            network = builder.create_network(self._network_flags())
            parser = trt.OnnxParser(network, logger)
            if not parser.parse(self.model.SerializeToString()):
                errors = [str(parser.get_error(i)) for i in range(parser.num_errors)]
                raise self._failed("parse", errors)
            config = builder.create_builder_config()
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
            self._set_capability(config)
            self._set_profile(builder, config)
            plan = builder.build_serialized_network(network, config)
        except EngineError:
            raise
        except Exception as error:  # pybind turns TensorRT's failures into several types
            raise self._failed("build", [*logger.messages, str(error)]) from error
        if plan is None:
            raise self._failed("build", logger.messages)
        return bytes(plan)

    def _network_flags(self) -> int:
        """The types of the graph are binding in TensorRT 11 and TensorRT-RTX; 10 wants a flag.

        TensorRT 10's other way, the builder flag FP16, lowers coordinates and flow as well.
        """
        if self.flavour == "tensorrt" and version_tuple(self.trt.__version__) < (11,):
            return 1 << int(self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return 0

    def _set_capability(self, config: Any) -> None:
        if self.flavour == "tensorrt-rtx":
            config.num_compute_capabilities = 1
            chosen = getattr(self.trt.ComputeCapability, f"SM{self.capability}")
            config.set_compute_capability(chosen, 0)

    def _set_profile(self, builder: Any, config: Any) -> None:
        shapes = builder.create_optimization_profile()
        for value in self.model.graph.input:
            smallest, typical, largest = (shape[value.name] for shape in self.ranges)
            fixed = all(d.HasField("dim_value") for d in value.type.tensor_type.shape.dim)
            if not fixed:
                shapes.set_shape(value.name, smallest, typical, largest)
        if shapes:
            config.add_optimization_profile(shapes)

    def _failed(self, what: str, messages: Sequence[str]) -> EngineError:
        said = " ".join(line.strip() for line in messages[-3:])[:600] or "no reason"
        sizes = [self.ranges[2].get(value.name) for value in self.model.graph.input]
        return EngineError(
            f"{self.flavour} {self.trt.__version__} to {what} {self.name} "
            f"for SM {self.capability} with inputs up to {sizes}",
            said,
            "Smaller sizes in --profile, or `cineflow check` for operators it does not take",
        )


def _collecting_logger(trt: Any) -> Any:
    """A logger that keeps errors: `build_serialized_network` itself only returns None."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.messages: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.messages.append(message)

    return Logger()


def parse_profile(texts: Sequence[str]) -> dict[str, tuple[int, int, int]]:
    """Read `height=64:256:512` arguments.

    Raises:
        ExportError: An argument has another form.
    """
    profile = {}
    for text in texts:
        match = re.fullmatch(r"(\w+)=(\d+):(\d+):(\d+)", text)
        if match is None:
            raise ExportError("a profile as AXIS=SMALLEST:TYPICAL:LARGEST", repr(text))
        low, typical, high = (int(match.group(i)) for i in (2, 3, 4))
        profile[match.group(1)] = (low, typical, high)
    return profile
