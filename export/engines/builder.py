"""One engine from one graph: TensorRT's builder, with its failures as typed errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import onnx

from cineflow.errors import EngineError
from cineflow.export.engines.flavours import version_tuple
from cineflow.export.engines.profile import Ranges
from cineflow.export.graph.sampling import Sampling, sampling_of

#: Scratch memory that a build may use; the beamformer of the cart shares the GPU.
WORKSPACE_BYTES = 1 << 30


class EngineBuild:
    """One build; the store calls it when it has no such engine.

    Args:
        trt: Module of the flavour.
        flavour: "tensorrt-rtx" or "tensorrt".
        name: Name of the graph, for messages.
        model: The graph.
        capability: Compute capability (86); full TensorRT builds for the card of this machine.
        ranges: Shapes of the graph's inputs at the sizes of the profile.
    """

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
        """The serialised engine.

        Raises:
            EngineError: TensorRT cannot parse or build the graph.
        """
        trt = self.trt
        logger = _collecting_logger(trt)
        try:
            builder = trt.Builder(logger)
            network = builder.create_network(self.network_flags())
            parser = trt.OnnxParser(network, logger)
            if not parser.parse(self.model.SerializeToString()):
                errors = [str(parser.get_error(i)) for i in range(parser.num_errors)]
                raise self._failed("parse", errors)
            self._require_sampling(network)
            config = builder.create_builder_config()
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
            self._set_capability(config)
            self._keep_to_given_memory(config)
            self._set_profile(builder, config)
            plan = builder.build_serialized_network(network, config)
        except EngineError:
            raise
        except Exception as error:  # pybind turns TensorRT's failures into several types
            raise self._failed("build", [*logger.messages, str(error)]) from error
        if plan is None:
            raise self._failed("build", logger.messages)
        return bytes(plan)

    def network_flags(self) -> int:
        """TensorRT 11 and TensorRT-RTX always keep the types of the graph; 10 needs a flag for it.

        The other way in TensorRT 10, the builder flag FP16, also lowers coordinates and flow.
        """
        if self.flavour == "tensorrt" and version_tuple(self.trt.__version__) < (11,):
            return 1 << int(self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return 0

    def _require_sampling(self, network: Any) -> None:
        """Raise `EngineError` unless the parser understood every GridSample as the graph means it.

        Some versions read linear as nearest. Their engines build and run, and the motion is wrong.
        """
        meant, parsed = sampling_of(self.model), parsed_sampling(self.trt, network)
        if meant != parsed:
            raise EngineError(
                f"{self.flavour} {self.trt.__version__} to read the GridSample nodes of "
                f"{self.name} as {_words(meant)}",
                _words(parsed),
                "Export or import the model again, which leaves the mode linear unnamed; or use "
                "TensorRT-RTX 1.6 and newer",
            )

    def _set_capability(self, config: Any) -> None:
        if self.flavour == "tensorrt-rtx":
            config.num_compute_capabilities = 1
            chosen = getattr(self.trt.ComputeCapability, f"SM{self.capability}")
            config.set_compute_capability(chosen, 0)

    def _keep_to_given_memory(self, config: Any) -> None:
        """The engine never allocates while it runs, which a CUDA graph could not take.

        TensorRT-RTX may otherwise do so for large dynamic shapes, past every cap on memory.
        """
        flag = getattr(self.trt.BuilderFlag, "REQUIRE_USER_ALLOCATION", None)
        if flag is not None:
            config.set_flag(flag)

    def _set_profile(self, builder: Any, config: Any) -> None:
        shapes = builder.create_optimization_profile()
        for value in self.model.graph.input:
            fixed = all(d.HasField("dim_value") for d in value.type.tensor_type.shape.dim)
            if fixed:
                continue
            if any(value.name not in shape for shape in self.ranges):
                raise self._failed("build", [f"the shape of {value.name} is not known"])
            shapes.set_shape(value.name, *(shape[value.name] for shape in self.ranges))
        if shapes:
            config.add_optimization_profile(shapes)

    def _failed(self, what: str, messages: Sequence[str]) -> EngineError:
        said = " ".join(line.strip() for line in messages[-3:])[:600] or "no message"
        sizes = [self.ranges[2].get(value.name) for value in self.model.graph.input]
        return EngineError(
            f"{self.flavour} {self.trt.__version__} to {what} {self.name} "
            f"for SM {self.capability} with inputs up to {sizes}",
            said,
            "Smaller sizes in --profile, or `cineflow check` for operators that it does not take",
        )


def parse_errors(trt: Any, model: onnx.ModelProto) -> list[str]:
    """Errors of an installed TensorRT's parser for a graph; empty if it takes the graph."""
    logger = _collecting_logger(trt)
    network = trt.Builder(logger).create_network(0)
    parser = trt.OnnxParser(network, logger)
    if parser.parse(model.SerializeToString()):
        return []
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    return [f"{e.node_operator()} {e.node_name()}: {e.desc()}" for e in errors]


def parsed_sampling(trt: Any, network: Any) -> Counter[Sampling]:
    """How often a parsed network samples in each way."""
    modes = {
        trt.InterpolationMode.NEAREST: "nearest",
        trt.InterpolationMode.LINEAR: "linear",
        trt.InterpolationMode.CUBIC: "cubic",
    }
    paddings = {
        trt.SampleMode.FILL: "zeros",
        trt.SampleMode.CLAMP: "border",
        trt.SampleMode.REFLECT: "reflection",
    }
    found: Counter[Sampling] = Counter()
    for position in range(network.num_layers):
        layer = network.get_layer(position)
        if layer.type == trt.LayerType.GRID_SAMPLE:
            layer.__class__ = trt.IGridSampleLayer  # TensorRT's own way to reach its properties
            found[
                Sampling(
                    modes[layer.interpolation_mode],
                    paddings.get(layer.sample_mode, str(layer.sample_mode)),
                    bool(layer.align_corners),
                )
            ] += 1
    return found


def _words(samplings: Counter[Sampling]) -> str:
    parts = [f"{count} x ({how})" for how, count in sorted(samplings.items())]
    return ", ".join(parts) or "none"


def _collecting_logger(trt: Any) -> Any:
    """A logger that keeps errors: on failure `build_serialized_network` only returns None."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.messages: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.Severity.ERROR:
                self.messages.append(message)

    return Logger()
