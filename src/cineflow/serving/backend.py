"""The model inside Triton's Python backend: a `Stream` per live sequence, or batched calls.

The repository's `1/model.py` only re-exports `TritonPythonModel` from here. It runs in the stub's
interpreter, so nothing here needs torch; `triton_python_backend_utils` exists only there and is
imported when a model is initialised.

Tensors cross by DLPack, never by `pb_utils.Tensor(name, array)`: the wheel's stub is compiled for
NumPy 1, reads an item size of 0 under NumPy 2, and would send empty outputs without an error.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.errors import (
    BundleError,
    CineflowError,
    DeviceLostError,
    FrameError,
)
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.probing import require_probes
from cineflow.runtime.state_bytes import state_from_bytes, state_to_bytes
from cineflow.runtime.stream import Stream
from cineflow.served import DIRECT, KEEP_ALIVE, RESUMED, STATE, Codec, batch_limit
from cineflow.serving.calls import CallRunner
from cineflow.serving.deadlines import Deadlines, measure
from cineflow.serving.direct import DirectRequest, Door
from cineflow.serving.ending import CARD_LOST, end_process
from cineflow.serving.errors import ServerStoppingError, error_text
from cineflow.serving.events import EVENTS_VARIABLE, EventLog
from cineflow.serving.gpu import CARD_VARIABLE
from cineflow.serving.hanging import HangWatch
from cineflow.serving.kept import KeptRequest
from cineflow.serving.metrics import ModelMetrics
from cineflow.serving.rarity import Rarity
from cineflow.serving.slowing import Reasons, SlowingWatch, clock_reasons
from cineflow.serving.streams import StreamTable
from cineflow.serving.turns import Turns, workers_for
from cineflow.serving.vitals import VITALS_VARIABLE, Vitals
from cineflow.serving.watches import WATCH_PARAMETER, Watches

_SEQUENCE_START, _SEQUENCE_END = 1, 2  # bits of InferenceRequest.flags()

#: Names a file. Once it exists, the server is being stopped, and streams are told with their next
#: frame.
STOPPING_VARIABLE = "CINEFLOW_STOPPING"

#: Name of the request parameter that asks for half precision ("f16"), and what it concerns.
FIELDS_PARAMETER = "fields"
_FIELDS = ("flow", "displacement", "strain")

#: More errors than this do not go into the log; a client that sends bad frames would fill the disk.
_ERRORS_PER_S = 20

#: Streams count as running side by side for this long after a frame of another one, in s.
_BESIDE_S = 1.0

#: DLPack's name for a capsule whose memory has a new owner; a capsule keeps only the pointer.
_TAKEN = b"used_dltensor"
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.argtypes = (ctypes.py_object, ctypes.c_char_p)


class TritonPythonModel:
    """The class that Triton's Python backend calls; its documentation defines the protocol."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the bundle and its engine.

        Parameters of the configuration:

        - `bundle`: a built-in name or a folder. A relative folder starts at the model's folder.
        - `places`: how many streams may be live at once.
        - `threads`: the engine's threads inside one frame, optional. The default leaves a core for
          the server and the client.
        - `served_name`: the name with the hash, for a folder whose name has no hash.
        - `backward`: "true" also tracks backward to judge the quality, optional. The argument of
          `Stream` with this name says what it costs.

        The known results of the bundle are asked of the engine before it serves.

        Raises:
            BundleError: The bundle does not exist, or its hash is not the one in the model's name.
            EngineError: The engine does not give the known results of the bundle, or was built for
                sizes that none of them has.
        """
        self._pb: Any = importlib.import_module("triton_python_backend_utils")
        importlib.import_module("asyncio")  # or Triton does it within the first frame, for 0.1 s
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
        on_card = CARD_VARIABLE in os.environ  # never on the CPU then
        self._engine = open_engine(bundle, threads, on_card=on_card)
        probed = require_probes(bundle, self._engine, self._pb.Logger.log_warn)
        self._spec = bundle.spec
        served: Mapping[str, Any] = json.loads(bundle.spec.to_json())
        self._codec = Codec(served)
        self._backward = parameters.get("backward", "false") == "true"
        limit = batch_limit(served, bundle.batch_axis)
        self._calls = CallRunner(self._engine, self._spec, limit)
        batching = config.get("sequence_batching", {})
        idle_s = int(batching.get("max_sequence_idle_microseconds", 0)) / 1e6
        self._metrics = ModelMetrics(self._pb, bundle.served_name, lambda: len(self._streams))
        self._events = EventLog(os.environ.get(EVENTS_VARIABLE), bundle.served_name)
        self._streams = StreamTable(idle_s, int(parameters.get("places", 0)), tell=self._tell)
        self._deadlines = Deadlines(self._metrics.late)
        if bundle.spec.feed.streams:
            measure(self._deadlines, bundle, self._engine)
        reasons = clock_reasons(os.environ["CUDA_VISIBLE_DEVICES"]) if on_card else None
        self._slowing = SlowingWatch(reasons, self._tell_slow)
        self._hang = HangWatch(lambda seconds: self._events.write("hung", seconds=seconds))
        server = os.environ.get("CINEFLOW_SERVER_ID", "")
        self._vitals = Vitals(
            args["model_name"],
            os.environ.get(VITALS_VARIABLE),
            f"triton_python_backend_shm_region_{server}_",
        )
        self._stopping = Path(os.environ.get(STOPPING_VARIABLE, "/nonexistent"))
        self._errors = Rarity(_ERRORS_PER_S)
        concurrent = getattr(self._engine, "concurrent", False)
        self._turns = Turns(workers_for(concurrent))
        # Direct frames are computed next to those that come by Triton.
        self._door = None
        if concurrent and self._spec.feed.streams:
            self._door = Door(self._streams.__contains__, self._compute_direct, self._end)
        self._watches = Watches(self._streams, self._finish_watch, self._stopping.exists)
        ends = f"idle streams end after {idle_s:g} s" if self._spec.feed.streams else "calls"
        self._pb.Logger.log_info(
            f"{bundle.served_name}: {self._engine.name}, {self._engine.kernels}; threads: "
            f"{threads or 'default'}; {ends}; known results: "
            f"{'; '.join(map(str, probed)) or 'none'}"
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Handle the requests in order. An error only concerns its own request.

        Raises:
            TritonModelException: The only request has failed; see `_response`.
        """
        with self._vitals.busy():
            return self._outcomes(requests)

    def finalize(self) -> None:
        """The process ends on purpose."""
        if self._door is not None:
            self._door.close()
        self._turns.close()
        self._watches.close()
        self._metrics.close()
        self._hang.close()
        self._slowing.close()
        self._events.close()
        self._vitals.end()

    def _outcomes(self, requests: Sequence[Any]) -> list[Any]:
        if not self._spec.feed.streams:
            calls = [self._given(request) for request in requests]
            alone = len(requests) == 1
            with self._metrics.frame({}):
                outcomes = self._calls.run(calls)
            for outcome in outcomes:
                if not isinstance(outcome, CineflowError):
                    self._metrics.computed()
            pairs = zip(requests, outcomes, strict=True)
            return [self._response(request, outcome, alone) for request, outcome in pairs]
        return [self._of_stream(request) for request in requests]

    def _response(
        self, request: Any, outcome: Mapping[str, np.ndarray] | CineflowError, alone: bool = True
    ) -> Any:
        """The response to a request.

        An error that is raised counts as a failure in Triton's metrics, but it would end every
        request of its batch, and Triton writes it into the log. One in a response counts as a
        success. So it is raised if the request is alone and few errors came lately.
        """
        if isinstance(outcome, DeviceLostError):
            words = f"the card is lost, and the model's process ends: {outcome}"
            end_process(words, CARD_LOST, partial(self._events.write, "card_lost"))
        if isinstance(outcome, CineflowError):
            self._metrics.count("cineflow_frames_total", result="rejected")
            if alone and self._errors.next_is_rare():
                raise self._pb.TritonModelException(error_text(outcome))
            failure = self._pb.TritonError(error_text(outcome))
            return self._pb.InferenceResponse(output_tensors=[], error=failure)
        wanted = request.requested_output_names()
        tensors = [self._tensor(name, value) for name, value in outcome.items() if name in wanted]
        return self._pb.InferenceResponse(output_tensors=tensors)

    # -- streams -----------------------------------------------------------------------------------

    def _of_stream(self, request: Any) -> Any:
        """The response to a frame; None for a watch, whose response comes later."""
        parameters = json.loads(request.parameters() or "{}")
        if WATCH_PARAMETER in parameters:
            self._watches.add(parameters[WATCH_PARAMETER], request.get_response_sender())
            return None
        sequence = request.correlation_id()
        if parameters.get(KEEP_ALIVE) and request.flags() & _SEQUENCE_START:
            return self._response(request, {})  # asks whether this process lives; starts nothing
        if self._turns.holds(sequence) or self._takes_turns(sequence, request):
            kept = KeptRequest(request)
            self._vitals.owe(1)
            self._turns.put(sequence, partial(self._respond_later, kept, parameters))
            return None
        return self._response(request, self._computed(request, parameters))

    def _takes_turns(self, sequence: int | str, request: Any) -> bool:
        """Whether a frame is computed in turns with those of other streams.

        Not a first frame, and not one that is refused: an error in Triton's call is a failure in
        Triton's metrics, a later one is not.
        """
        if request.flags() & _SEQUENCE_START or not self._streams.others_used(sequence, _BESIDE_S):
            return False
        try:
            frame = self._frame(request)
            if frame is not None:
                self._streams.get(sequence).require_fits(frame, **self._with_frame(request))
        except CineflowError:
            return False
        return frame is not None

    def _respond_later(self, kept: KeptRequest, parameters: Mapping[str, Any]) -> None:
        """Compute a frame and send its response. A client must not wait for ever after a bug."""
        try:
            with self._vitals.busy():
                response = self._response(kept, self._computed(kept, parameters), alone=False)
        except Exception as error:
            failure = self._pb.TritonError(f"{type(error).__name__}: {error}")
            response = self._pb.InferenceResponse(output_tensors=[], error=failure)
        final = self._pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        kept.sender.send(response, flags=final)
        self._vitals.owe(-1)

    def _compute_direct(self, request: DirectRequest) -> Mapping[str, np.ndarray] | str:
        """The results of a frame that came directly, or the text of its error."""

        def compute() -> Mapping[str, np.ndarray] | CineflowError | str:
            try:
                with self._vitals.busy():
                    return self._computed(request, request.told)
            except Exception as error:  # as in `_respond_later`
                return f"{type(error).__name__}: {error}"

        sequence = request.correlation_id()
        if self._turns.holds(sequence) or self._takes_turns(sequence, request):
            outcome = self._turns.wait_for(sequence, compute)
        else:
            outcome = compute()
        if isinstance(outcome, CineflowError):
            self._metrics.count("cineflow_frames_total", result="rejected")
            text = error_text(outcome)
            if self._errors.next_is_rare():
                self._pb.Logger.log_error(text)
            return text
        return outcome

    def _computed(
        self, request: Any, parameters: Mapping[str, Any]
    ) -> Mapping[str, np.ndarray] | CineflowError:
        with self._metrics.frame(parameters):
            outcome = self._frame_outcome(request, parameters)
        if parameters.get(FIELDS_PARAMETER) == "f16" and not isinstance(outcome, CineflowError):
            outcome = {name: _as_half(name, value) for name, value in outcome.items()}
        return outcome

    def _tell(self, event: str, sequence: int | str) -> None:
        self._metrics.stream(event)
        self._events.stream(event, sequence)
        if self._door is not None and event in ("ended", "gone"):  # an expired one gets its error
            self._door.end(sequence)

    def _tell_slow(self, reasons: Reasons) -> None:
        self._events.write("card_slow" if reasons else "card_fast", reasons=reasons)
        words = f"is slow: {', '.join(reasons)}" if reasons else "is as fast as before"
        self._pb.Logger.log_warn(f"the card {words}")

    def _finish_watch(self, sender: Any) -> None:
        final = self._pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        sender.send(self._pb.InferenceResponse(output_tensors=[]), flags=final)

    def _frame_outcome(
        self, request: Any, parameters: Mapping[str, Any]
    ) -> Mapping[str, np.ndarray] | CineflowError:
        began_s = time.perf_counter()
        sequence, flags = request.correlation_id(), request.flags()
        own = True  # whether the sequence is the client's that asks
        try:
            if flags & _SEQUENCE_START:
                own = False
                if self._streams.full:
                    self._watches.check()  # a place may be a gone client's
                self._begin(sequence, request, parameters)
                own = True
            frame = self._frame(request)
            if frame is None:
                if flags & _SEQUENCE_END:
                    return {}
                if parameters.get(KEEP_ALIVE):
                    self._streams.get(sequence)
                    return {}
                raise FrameError(
                    "a frame, in `frame` or `frame_f32`",
                    "neither",
                    "Send one; only a request that ends the sequence may come without.",
                )
            if self._stopping.exists():
                raise ServerStoppingError(
                    "a server that keeps running",
                    "one that is being stopped; the frame was not tracked",
                    "Open a new stream when it is back; displacement starts from a new reference "
                    "frame.",
                )
            stream = self._streams.get(sequence)
            with self._hang.within(self._deadlines.hang_s(stream)):
                result = stream.push(frame, **self._with_frame(request))
            self._metrics.computed(result)
            deadline = self._deadlines.says(stream, frame.size, parameters)
            if deadline is not None:
                result = replace(result, deadline=deadline)
            if STATE.name in request.requested_output_names():
                state = stream.state()
                assert state is not None  # a frame was taken
                result = replace(result, state=state_to_bytes(state))
            says = {}
            if flags & _SEQUENCE_START and parameters.get(DIRECT) and self._door is not None:
                says = {DIRECT: self._door.name}
            arrays = self._codec.encode(result, request.requested_output_names(), says)
            self._deadlines.took(stream, frame.size, time.perf_counter() - began_s)
            return arrays
        except CineflowError as error:
            return error
        finally:
            if flags & _SEQUENCE_END and own:
                self._end(sequence)

    def _end(self, sequence: int | str) -> None:
        self._streams.end(sequence)
        self._watches.end(sequence)

    def _begin(self, sequence: int | str, request: Any, parameters: Mapping[str, Any]) -> None:
        stream = self._new_stream(request)
        self._deadlines.begin(stream, parameters)
        if sequence not in self._streams:  # a live one keeps its trace
            self._events.begin(sequence, parameters)
        self._streams.begin(sequence, stream)
        if RESUMED in parameters or self._input(request, STATE.name) is not None:
            self._tell("resumed", sequence)

    def _new_stream(self, request: Any) -> Stream:
        spacing, saved = self._input(request, "spacing_mm"), self._input(request, STATE.name)
        asked = {"strain"} & set(request.requested_output_names())
        return Stream(
            self._engine,
            self._spec,
            None if saved is None else state_from_bytes(saved.tobytes()),
            spacing_mm=None if spacing is None else tuple(spacing.tolist()),
            readings=tuple(asked),
            backward=self._backward,
        )

    def _frame(self, request: Any) -> np.ndarray | None:
        grey, floating = self._input(request, "frame"), self._input(request, "frame_f32")
        if grey is not None and floating is not None:
            raise FrameError(
                "one of `frame` and `frame_f32`", "both", "Send the one that has the frame's type."
            )
        return floating if grey is None else grey

    # -- tensors -----------------------------------------------------------------------------------

    def _with_frame(self, request: Any) -> dict[str, Any]:
        """What comes with a frame, as `Stream.push` takes it."""
        index, beat = self._input(request, "frame_index"), self._input(request, "beat")
        time_ms = self._input(request, "time_ms")
        return {
            "index": None if index is None else int(index[0]),
            "beat": None if beat is None else bool(beat[0]),
            "time_ms": None if time_ms is None else float(time_ms[0]),
            "given": self._given(request),
        }

    def _given(self, request: Any) -> dict[str, np.ndarray]:
        """The model's own inputs that a request carries, by name."""
        arrays = {one.name: self._input(request, one.name) for one in self._spec.given_inputs}
        return {name: array for name, array in arrays.items() if array is not None}

    def _input(self, request: Any, name: str) -> np.ndarray | None:
        """A view of an input in the server's memory, which is valid only during this request."""
        if isinstance(request, (KeptRequest, DirectRequest)):
            return request.arrays.get(name)
        tensor = self._pb.get_input_tensor_by_name(request, name)
        return None if tensor is None else np.from_dlpack(tensor)

    def _tensor(self, name: str, value: np.ndarray) -> Any:
        capsule = np.ascontiguousarray(value).__dlpack__()
        tensor = self._pb.Tensor.from_dlpack(name, capsule)
        # The stub owns the memory now, but marks it with another name ("used_dlpack"). NumPy would
        # write a complaint about that into the log for every tensor.
        _rename(capsule, _TAKEN)
        return tensor


def _as_half(name: str, value: np.ndarray) -> np.ndarray:
    return value.astype(np.float16) if name in _FIELDS else value
