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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.errors import BundleError, CineflowError, DeviceLostError
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.probing import require_probes
from cineflow.served import KEEP_ALIVE, Codec, batch_limit
from cineflow.serving.calls import CallRunner
from cineflow.serving.deadlines import Deadlines, measure
from cineflow.serving.direct import DirectRequest, Door
from cineflow.serving.direct_replies import Respond
from cineflow.serving.ending import CARD_LOST, end_process
from cineflow.serving.errors import error_text
from cineflow.serving.events import EVENTS_VARIABLE, EventLog
from cineflow.serving.frames import Frames, Made, given_inputs
from cineflow.serving.gpu import CARD_VARIABLE
from cineflow.serving.hanging import HangWatch
from cineflow.serving.metrics import ModelMetrics
from cineflow.serving.rarity import Rarity
from cineflow.serving.requests import SEQUENCE_START, KeptRequest, TritonRequest
from cineflow.serving.slowing import Reasons, SlowingWatch, clock_reasons
from cineflow.serving.streams import StreamTable
from cineflow.serving.turns import Turns, workers_for
from cineflow.serving.vitals import VITALS_VARIABLE, Vitals
from cineflow.serving.watches import WATCH_PARAMETER, Watches

#: Names a file. Once it exists, the server is being stopped, and streams are told with their next
#: frame.
STOPPING_VARIABLE = "CINEFLOW_STOPPING"

#: More errors than this do not go into the log; a client that sends bad frames would fill the disk.
_ERRORS_PER_S = 20

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
        stopping = Path(os.environ.get(STOPPING_VARIABLE, "/nonexistent"))
        self._watches = Watches(self._streams, self._finish_watch, stopping.exists)
        self._frames = Frames(
            self._engine,
            self._spec,
            Codec(served),
            self._streams,
            self._watches,
            self._deadlines,
            self._hang,
            self._metrics,
            self._events,
            stopping,
            backward=parameters.get("backward", "false") == "true",
        )
        self._errors = Rarity(_ERRORS_PER_S)
        concurrent = getattr(self._engine, "concurrent", False)
        self._turns = Turns(workers_for(concurrent))
        # Direct frames are computed next to those that come by Triton.
        self._door = None
        if concurrent and self._spec.feed.streams:
            self._door = Door(self._streams.__contains__, self._compute_direct, self._frames.end)
            self._frames.door = self._door.name
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
            calls = [
                given_inputs(self._spec, TritonRequest(self._pb, request)) for request in requests
            ]
            alone = len(requests) == 1
            began_s = time.perf_counter()
            outcomes = self._calls.run(calls)
            self._metrics.frame(time.perf_counter() - began_s)
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
        if isinstance(outcome, CineflowError):
            self._end_without_card(outcome)
            self._metrics.count("cineflow_frames_total", result="rejected")
            if alone and self._errors.next_is_rare():
                raise self._pb.TritonModelException(error_text(outcome))
            failure = self._pb.TritonError(error_text(outcome))
            return self._pb.InferenceResponse(output_tensors=[], error=failure)
        wanted = request.requested_output_names()
        tensors = [self._tensor(name, value) for name, value in outcome.items() if name in wanted]
        return self._pb.InferenceResponse(output_tensors=tensors)

    def _end_without_card(self, error: CineflowError) -> None:
        if isinstance(error, DeviceLostError):
            words = f"the card is lost, and the model's process ends: {error}"
            end_process(words, CARD_LOST, partial(self._events.write, "card_lost"))

    # -- streams -----------------------------------------------------------------------------------

    def _of_stream(self, request: Any) -> Any:
        """The response to a frame; None for a watch, whose response comes later."""
        parameters = json.loads(request.parameters() or "{}")
        if WATCH_PARAMETER in parameters:
            self._watches.add(parameters[WATCH_PARAMETER], request.get_response_sender())
            return None
        sequence = request.correlation_id()
        if parameters.get(KEEP_ALIVE) and request.flags() & SEQUENCE_START:
            return self._response(request, {})  # asks whether this process lives; starts nothing
        frame = TritonRequest(self._pb, request)
        if self._turns.holds(sequence) or self._frames.take_turns(frame):
            kept = KeptRequest(request)
            self._vitals.owe(1)
            self._turns.put(sequence, partial(self._respond_later, kept, parameters))
            return None
        made = self._frames.compute(frame, parameters)
        made.note()
        return self._response(request, made.outcome)

    def _respond_later(self, kept: KeptRequest, parameters: Mapping[str, Any]) -> None:
        """Compute a frame and send its response. A client must not wait for ever after a bug."""
        with self._vitals.busy():
            try:
                made = self._frames.compute(kept, parameters)
                made.note()
                response = self._response(kept, made.outcome, alone=False)
            except Exception as error:
                failure = self._pb.TritonError(f"{type(error).__name__}: {error}")
                response = self._pb.InferenceResponse(output_tensors=[], error=failure)
        final = self._pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        kept.sender.send(response, flags=final)
        self._vitals.owe(-1)

    def _compute_direct(self, request: DirectRequest, respond: Respond) -> None:
        """Compute a frame that came directly, when it has its turn, and have it sent.

        The turn ends before that: a client that does not read must not take the place of others.
        """
        compute = partial(self._made_directly, request)
        made = self._turns.run(request.correlation_id(), compute)
        if isinstance(made, str):
            respond(made)
            return
        if not isinstance(made.outcome, CineflowError):
            try:
                respond(made.outcome, made.state)
            finally:  # the client goes on meanwhile
                made.note()
            return
        self._end_without_card(made.outcome)
        made.note()
        self._metrics.count("cineflow_frames_total", result="rejected")
        text = error_text(made.outcome)
        if self._errors.next_is_rare():
            self._pb.Logger.log_error(text)
        respond(text)

    def _made_directly(self, request: DirectRequest) -> Made | str:
        """What was made of a frame, or the text of an error of ours, as in `_respond_later`."""
        with self._vitals.busy():
            try:
                return self._frames.compute(request, request.told)
            except Exception as error:
                return f"{type(error).__name__}: {error}"

    def _tell(self, event: str, sequence: int | str) -> None:
        self._metrics.stream(event)
        self._events.stream(event, sequence)
        if self._door is not None and event in ("ended", "gone"):
            self._door.end(sequence)
        elif self._door is not None and event == "expired":
            self._door.send_back(sequence)

    def _tell_slow(self, reasons: Reasons) -> None:
        self._events.write("card_slow" if reasons else "card_fast", reasons=reasons)
        words = f"is slow: {', '.join(reasons)}" if reasons else "is as fast as before"
        self._pb.Logger.log_warn(f"the card {words}")

    def _finish_watch(self, sender: Any) -> None:
        final = self._pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        sender.send(self._pb.InferenceResponse(output_tensors=[]), flags=final)

    def _tensor(self, name: str, value: np.ndarray) -> Any:
        array = np.ascontiguousarray(value)
        capsule = (array if array.flags.writeable else array.copy()).__dlpack__()
        tensor = self._pb.Tensor.from_dlpack(name, capsule)
        # The stub owns the memory now, but marks it with another name ("used_dlpack"). NumPy would
        # write a complaint about that into the log for every tensor.
        _rename(capsule, _TAKEN)
        return tensor
