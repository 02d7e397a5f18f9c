"""A graphics card that computes on the CPU: CuPy and TensorRT-RTX in one object, `Card`.

The TensorRT engine runs against it in tests/runtime. A plan is an ONNX file, and ONNX Runtime
computes what the engine would compute, so the result depends on what was bound to what, and when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort


class Buffer(np.ndarray):
    """Device memory: a NumPy array with an address."""

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.ctypes.data)

    def set(self, value: np.ndarray, stream: Any) -> None:
        self[...] = value

    def copy(self) -> Buffer:
        """Within the card."""
        return np.array(self, copy=True, subok=True)


class OutOfMemoryError(MemoryError):
    """CuPy's error of this name."""


class CUDARuntimeError(RuntimeError):
    """CuPy's error of this name."""

    def __init__(self, status: int) -> None:
        super().__init__(f"cudaError {status}")
        self.status = status


class Card:
    """Stands for CuPy, TensorRT-RTX and the card.

    Queued work runs at once. While the stream captures, the work is kept and runs when the graph
    is launched. Every call is written to `log`.

    Attributes:
        log: The calls, in order.
        streams: Settings of every stream.
        widest: Largest last axis that an engine's profile takes.
        capturable: What TensorRT reports about its readiness for a capture.
        on_host: Inputs that TensorRT needs in host memory.
        fails: Whether engines fail from now on.
        limit: Bytes of the memory pool.
        fetched: Shapes of what was copied to host memory, in order.
        weights: Bytes that each engine states for its weights.
        lost: CUDA's number of the error that every call gives from now on; 0 for a sound card.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.streams: list[dict[str, object]] = []
        self.widest = 32
        self.capturable = True
        self.on_host: set[str] = set()
        self.fails = False
        self.limit = 0
        self.fetched: list[tuple[int, ...]] = []
        self.weights = 0
        self.lost = 0
        self.buffers: dict[int, Buffer] = {}
        self._captured: list[Callable[[], None]] | None = None

    def queue(self, what: str, work: Callable[[], None]) -> None:
        if self._captured is None:
            self.log.append(what)
            work()
        else:
            self.log.append(f"captured {what}")
            self._captured.append(work)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Buffer:
        buffer = np.zeros(shape, dtype).view(Buffer)
        if self.limit and buffer.nbytes > self.limit:
            raise OutOfMemoryError("no room for a buffer")
        self.buffers[buffer.data.ptr] = buffer
        return buffer

    def kernel(self, name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        """One of our kernels, queued like an engine. Its memory must be that of the series."""
        floats = getattr(run, "workspace_floats", lambda *_: 0)

        def call(*arguments: Any, out: Any = None, workspace: Any = None) -> Any:
            if out is None:
                self.log.append(f"allocate {name}")
                made = run(*arguments)
                out = self.empty(made.shape, made.dtype)
                return out
            wanted = floats(*arguments)
            assert (workspace is not None) == (wanted > 0)
            if wanted:
                assert workspace.dtype == np.float32
                assert workspace.size == wanted
                assert any(np.shares_memory(workspace, one) for one in self.buffers.values())
            self.queue(name, lambda: run(*arguments, out=out.view(np.ndarray)))
            return out

        call.workspace_floats = floats  # type: ignore[attr-defined]
        return call

    def modules(self) -> dict[str, Any]:
        """The modules `cupy` and `tensorrt_rtx`, by name."""
        card = self

        class Stream:
            ptr = 7

            def __init__(self, **settings: object) -> None:
                card.streams.append(settings)

            def __enter__(self) -> None: ...

            def __exit__(self, *_: object) -> None: ...

            def begin_capture(self) -> None:
                card.log.append("capture")
                card._captured = []

            def end_capture(self) -> Any:
                card.log.append("captured")
                work, card._captured = card._captured or [], None

                def launch(stream: Any) -> None:
                    card.log.append("launch")
                    for step in work:
                        step()

                return SimpleNamespace(launch=launch)

            def synchronize(self) -> None:
                if card.lost:
                    raise CUDARuntimeError(card.lost)
                card.log.append("stream-sync")

        memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
        device = SimpleNamespace(compute_capability="86")
        cuda = SimpleNamespace(Device=lambda index: device, Stream=Stream, memory=memory)

        def asnumpy(value: Any, stream: Any, blocking: bool) -> np.ndarray:
            card.fetched.append(np.shape(value))
            return np.array(value)

        def set_limit(size: int) -> None:
            card.limit = size

        pool = SimpleNamespace(
            set_limit=set_limit, free_all_blocks=lambda: card.log.append("free blocks")
        )
        cupy = SimpleNamespace(
            cuda=cuda,
            ndarray=Buffer,
            empty=self.empty,
            copyto=np.copyto,
            isfinite=np.isfinite,
            asnumpy=asnumpy,
            get_default_memory_pool=lambda: pool,
        )
        trt = SimpleNamespace(
            __version__="1.7",
            Logger=type("Logger", (), {"ERROR": 0, "__init__": lambda self, level: None}),
            Runtime=lambda logger: SimpleNamespace(
                deserialize_cuda_engine=lambda plan: (
                    None if plan == b"refused" else PlannedEngine(card, plan)
                )
            ),
            EngineStat=SimpleNamespace(TOTAL_WEIGHTS_SIZE="weights"),
            TensorLocation=SimpleNamespace(DEVICE="device", HOST="host"),
            ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="user"),
            DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER="eager"),
            nptype=lambda dtype: dtype,
        )
        return {"cupy": cupy, "tensorrt_rtx": trt}


_NUMPY = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}


class PlannedEngine:
    """A deserialised engine."""

    def __init__(self, card: Card, plan: bytes) -> None:
        self.card, self.session = card, ort.InferenceSession(plan)
        self.inputs = {item.name: _NUMPY[item.type] for item in self.session.get_inputs()}
        self.outputs = {item.name: _NUMPY[item.type] for item in self.session.get_outputs()}

    def create_runtime_config(self) -> Any:
        strategies: list[str] = []
        return SimpleNamespace(
            set_execution_context_allocation_strategy=strategies.append, strategies=strategies
        )

    def create_execution_context(self, config: Any) -> PlannedContext:
        assert config.strategies == ["user"]
        assert config.dynamic_shapes_kernel_specialization_strategy == "eager"
        return PlannedContext(self)

    def get_engine_stat(self, stat: str) -> int:
        assert stat == "weights"
        return self.card.weights

    def get_tensor_location(self, name: str) -> str:
        return "host" if name in self.card.on_host else "device"

    def get_tensor_dtype(self, name: str) -> Any:
        return self.outputs[name]


class PlannedContext:
    """An execution context, with the shapes and addresses of its own."""

    def __init__(self, engine: PlannedEngine) -> None:
        self.engine, self.card = engine, engine.card
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.scratch = (0, 0)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return shape[-1] <= self.card.widest

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        inputs = self.engine.inputs.items()
        zeros = {n: np.zeros(self.shapes[n], dtype) for n, dtype in inputs}
        return tuple(self.engine.session.run([name], zeros)[0].shape)

    def set_tensor_address(self, name: str, address: int) -> None:
        self.card.log.append(f"address {name}")
        self.addresses[name] = address

    def update_device_memory_size_for_shapes(self) -> int:
        return 1000 * len(self.engine.inputs)

    def set_device_memory(self, address: int, size: int) -> None:
        self.scratch = (address, size)
        self.card.log.append(f"scratch {size} at {address}")

    def is_stream_capturable(self, stream: int) -> bool:
        return self.card.capturable

    def execute_async_v3(self, stream: int) -> bool:
        names = list(self.engine.outputs)

        def work() -> None:
            buffers: Mapping[int, Buffer] = self.card.buffers
            feed = {n: buffers[self.addresses[n]].view(np.ndarray) for n in self.engine.inputs}
            made = self.engine.session.run(names, feed)
            for name, value in zip(names, made, strict=True):
                buffers[self.addresses[name]][...] = value

        self.card.queue(f"engine {'+'.join(names)}", work)
        return not self.card.fails
