"""The model inside Triton's Python backend: one `MotionStream` per live sequence.

The repository's `1/model.py` only re-exports `TritonPythonModel` from here. It runs in the stub's
interpreter and does not need torch. `triton_python_backend_utils` exists only there, so it is
imported when a model is initialised.

Tensors are passed by DLPack, never by `pb_utils.Tensor(name, array)`: the wheel's stub is compiled
for NumPy 1. Under NumPy 2 it reads an item size of 0 and would silently send empty outputs.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.errors import BundleError, CineflowError, FrameError
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.engine import Engine
from cineflow.runtime.stream import MotionResult, MotionStream
from cineflow.serving.errors import StreamGoneError
from cineflow.spec import ModelSpec

_SEQUENCE_START, _SEQUENCE_END = 1, 2  # bits of InferenceRequest.flags()

#: DLPack's name of a capsule whose memory has a new owner. The capsule keeps only this pointer.
_TAKEN = b"used_dltensor"
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.argtypes = (ctypes.py_object, ctypes.c_char_p)


@dataclass
class _Live:
    stream: MotionStream
    last_used_s: float


class StreamTable:
    """The live sequences of one model by correlation id. Idle ones are dropped.

    Triton does not tell a backend that it dropped an idle sequence, so idle time is also measured
    here.

    Args:
        engine: Shared by all streams; Triton runs one request at a time.
        spec: The model.
        idle_s: Seconds without a frame after which a sequence is dropped.
        clock: Seconds of a monotonic clock.
        backward: As for `MotionStream`.
    """

    def __init__(
        self,
        engine: Engine,
        spec: ModelSpec,
        idle_s: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        backward: bool = False,
    ) -> None:
        self._engine = engine
        self._spec = spec
        self._idle_s = idle_s
        self._clock = clock
        self._backward = backward
        self._live: OrderedDict[int | str, _Live] = OrderedDict()  # longest idle first

    def __len__(self) -> int:
        return len(self._live)

    def begin(self, sequence: int | str) -> None:
        """Start a sequence. One with the same id starts again."""
        stream = MotionStream(self._engine, self._spec, backward=self._backward)
        self._live[sequence] = _Live(stream, self._clock())
        self._live.move_to_end(sequence)

    def end(self, sequence: int | str) -> None:
        """Drop a sequence; an unknown one is ignored."""
        self._live.pop(sequence, None)

    def get(self, sequence: int | str) -> MotionStream:
        """The stream of a sequence, which counts as used now.

        Raises:
            StreamGoneError: The sequence never started here, or was idle for too long.
        """
        now = self._clock()
        while self._live and now - next(iter(self._live.values())).last_used_s > self._idle_s:
            self._live.popitem(last=False)
        live = self._live.get(sequence)
        if live is None:
            raise StreamGoneError(
                "a sequence that is live",
                f"sequence {sequence}, which did not start or was idle for {self._idle_s:g} s",
                "Open a new stream; displacement starts from a new reference frame.",
            )
        live.last_used_s = now
        self._live.move_to_end(sequence)
        return live.stream


class TritonPythonModel:
    """The class that Triton's Python backend calls; its documentation defines the protocol."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the bundle and its engine.

        Parameters of the configuration:

        - `bundle`: a built-in name or a folder. A relative folder starts at the model's folder.
        - `threads`: the engine's threads inside one frame, optional. The default leaves a core for
          the server and the client.
        - `backward`: "true" also tracks backward to judge the quality, optional. The argument of
          `MotionStream` with this name says what it costs.
        - `served_name`: the name with the hash, optional; for a folder whose name has no hash.

        Raises:
            BundleError: The bundle does not exist, or its hash is not the one in the model's name.
        """
        self._pb: Any = importlib.import_module("triton_python_backend_utils")
        config = json.loads(args["model_config"])
        parameters = {
            name: item["string_value"] for name, item in config.get("parameters", {}).items()
        }
        source = parameters["bundle"]
        folder = Path(args["model_repository"], source)
        bundle = Bundle.load(folder if folder.is_dir() else source)
        wanted = parameters.get("served_name", args["model_name"])
        if bundle.served_name != wanted:
            raise BundleError(
                f"the content of the model's name {wanted}",
                f"{bundle.served_name} in {bundle.path}",
                "Write the repository again: `cineflow repo NAME --out DIR`",
            )
        threads = int(parameters["threads"]) if "threads" in parameters else None
        engine = open_engine(bundle, threads)
        idle_us = int(config["sequence_batching"]["max_sequence_idle_microseconds"])
        backward = parameters.get("backward", "false") == "true"
        self._streams = StreamTable(engine, bundle.spec, idle_us / 1e6, backward=backward)
        self._pb.Logger.log_info(
            f"{bundle.served_name}: {engine.name}, {engine.kernels}; threads: "
            f"{threads or 'default'}; idle streams end after {idle_us / 1e6:g} s"
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Handle the requests in order. An error only concerns its own request."""
        return [self._respond(request) for request in requests]

    def finalize(self) -> None:
        """Nothing to release: everything ends with the process."""

    def _respond(self, request: Any) -> Any:
        try:
            tensors = self._run(request)
        except CineflowError as error:
            failure = self._pb.TritonError(error_text(error))
            return self._pb.InferenceResponse(output_tensors=[], error=failure)
        return self._pb.InferenceResponse(output_tensors=tensors)

    def _run(self, request: Any) -> list[Any]:
        sequence, flags = request.correlation_id(), request.flags()
        if flags & _SEQUENCE_START:
            self._streams.begin(sequence)
        try:
            frame = self._frame(request)
            if frame is None:
                if flags & _SEQUENCE_END:
                    return []
                raise FrameError(
                    "a frame, in `frame` or `frame_f32`",
                    "neither",
                    "Send one; only a request that ends the sequence may come without.",
                )
            index, beat = self._input(request, "frame_index"), self._input(request, "beat")
            time_ms = self._input(request, "time_ms")
            result = self._streams.get(sequence).push(
                frame,
                None if index is None else int(index[0]),
                beat=None if beat is None else bool(beat[0]),
                time_ms=None if time_ms is None else float(time_ms[0]),
            )
        finally:
            if flags & _SEQUENCE_END:
                self._streams.end(sequence)
        return self._tensors(result, request.requested_output_names())

    def _frame(self, request: Any) -> np.ndarray | None:
        grey, floating = self._input(request, "frame"), self._input(request, "frame_f32")
        if grey is not None and floating is not None:
            raise FrameError(
                "one of `frame` and `frame_f32`", "both", "Send the one that has the frame's type."
            )
        return floating if grey is None else grey

    def _input(self, request: Any, name: str) -> np.ndarray | None:
        """A view of an input in the server's memory, which is valid only during this request."""
        tensor = self._pb.get_input_tensor_by_name(request, name)
        return None if tensor is None else np.from_dlpack(tensor)

    def _tensors(self, result: MotionResult, wanted: Sequence[str]) -> list[Any]:
        return [
            self._tensor(name, value)
            for name, value in output_arrays(result).items()
            if name in wanted
        ]

    def _tensor(self, name: str, value: np.ndarray) -> Any:
        capsule = np.ascontiguousarray(value).__dlpack__()
        tensor = self._pb.Tensor.from_dlpack(name, capsule)
        # The stub owns the memory now, but marks it with another name ("used_dlpack"). NumPy would
        # write a complaint about that into the log for every tensor.
        _rename(capsule, _TAKEN)
        return tensor


def error_text(error: CineflowError) -> str:
    """An error as text: its type, and its parts as JSON. `cineflow_client.wire` reads it."""
    parts = {"wanted": error.wanted, "got": error.got, "remedy": error.remedy}
    return f"{type(error).__name__}: {json.dumps(parts)}"


def output_arrays(result: MotionResult) -> dict[str, np.ndarray]:
    """A result as the served outputs. NaN: not measured."""
    quality = vars(result.quality_parts)  # its fields, in their order
    parts = [value for name, value in quality.items() if name != "index"]
    beat = result.beat_info
    tracked = (result.previous, result.current, result.reference, beat.number)
    return {
        "flow": result.flow,
        "displacement": result.displacement,
        "quality": np.array([result.quality], np.float32),
        "quality_parts": np.array(parts, np.float32),  # None becomes NaN
        "tracked": np.array(tracked, np.int64),
        "beat_info": np.array([beat.cause, beat.delay_frames, beat.rhythm], np.int64),
        "drift": np.array([beat.drift_px], np.float32),
    }
