"""The frames of one model's streams: each one computed, and what there is to note of it.

It is the same for a frame that came by Triton and for one that came directly. Any thread may use
it; turns.py decides which frames run at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cineflow.errors import CineflowError, FrameError
from cineflow.runtime.engine import Engine
from cineflow.runtime.state import StreamState
from cineflow.runtime.state_bytes import state_from_bytes, state_to_bytes
from cineflow.runtime.stream import Stream
from cineflow.served import DIRECT, KEEP_ALIVE, RESUMED, STATE, Codec
from cineflow.serving.deadlines import Deadlines
from cineflow.serving.errors import ServerStoppingError
from cineflow.serving.events import EventLog
from cineflow.serving.hanging import HangWatch
from cineflow.serving.metrics import ModelMetrics
from cineflow.serving.requests import SEQUENCE_END, SEQUENCE_START, Request
from cineflow.serving.streams import StreamTable
from cineflow.serving.watches import Watches
from cineflow.spec import ModelSpec

#: Name of the request parameter that asks for half precision ("f16"), and what it concerns.
FIELDS_PARAMETER = "fields"
_FIELDS = ("flow", "displacement", "strain")

#: Streams count as running side by side for this long after a frame of another one, in s.
_BESIDE_S = 1.0


def _nothing() -> None:
    """There is nothing to note."""


@dataclass(frozen=True)
class Made:
    """What was made of a request.

    Attributes:
        outcome: The tensors by name, or the error.
        note: Notes the frame in the metrics. It may wait until the response was sent.
        state: Of the stream after the frame; None without a frame. It may be sent later.
    """

    outcome: Mapping[str, np.ndarray] | CineflowError
    note: Callable[[], None] = _nothing
    state: StreamState | None = None


class Frames:
    """Computes the frames of one model's streams.

    Args:
        engine: Runs the model.
        spec: The model.
        codec: Makes tensors of results.
        streams: Those that are live.
        watches: What sees that a client is gone.
        deadlines: Of the streams.
        hang: Watches each computation.
        metrics: Where frames are counted.
        events: Where the beginning of a stream is written.
        stopping: This file exists once the server is being stopped.
        backward: As in `Stream`.

    Attributes:
        door: Where direct connections are taken, for clients that ask; "" for nowhere.
    """

    def __init__(
        self,
        engine: Engine,
        spec: ModelSpec,
        codec: Codec,
        streams: StreamTable,
        watches: Watches,
        deadlines: Deadlines,
        hang: HangWatch,
        metrics: ModelMetrics,
        events: EventLog,
        stopping: Path,
        *,
        backward: bool,
    ) -> None:
        self.door = ""
        self._engine = engine
        self._spec = spec
        self._codec = codec
        self._streams = streams
        self._watches = watches
        self._deadlines = deadlines
        self._hang = hang
        self._metrics = metrics
        self._events = events
        self._stopping = str(stopping)
        self._backward = backward

    def take_turns(self, request: Request) -> bool:
        """Whether a frame is computed in turns with those of other streams.

        Not a first frame, and not one that is refused: an error in Triton's call is a failure in
        Triton's metrics, a later one is not.
        """
        sequence = request.correlation_id()
        if request.flags() & SEQUENCE_START or not self._streams.others_used(sequence, _BESIDE_S):
            return False
        try:
            frame = self._frame(request)
            if frame is not None:
                self._streams.get(sequence).require_fits(frame, **self._with_frame(request))
        except CineflowError:
            return False
        return frame is not None

    def compute(self, request: Request, parameters: Mapping[str, Any]) -> Made:
        """What is made of a request of a stream: a frame, or what keeps or ends one.

        Args:
            request: The request.
            parameters: Those that came with it.
        """
        began_s = time.perf_counter()
        try:
            made = self._made(request, parameters)
        except CineflowError as error:
            made = Made(error)
        took_s = time.perf_counter() - began_s
        outcome = made.outcome
        if parameters.get(FIELDS_PARAMETER) == "f16" and not isinstance(outcome, CineflowError):
            outcome = {name: _as_half(name, value) for name, value in outcome.items()}
        return Made(outcome, partial(self._note, parameters, made.note, took_s), made.state)

    def end(self, sequence: int | str) -> None:
        """The stream ends. An unknown one is fine."""
        self._streams.end(sequence)
        self._watches.end(sequence)

    def _made(self, request: Request, parameters: Mapping[str, Any]) -> Made:
        sequence, flags = request.correlation_id(), request.flags()
        own = True  # whether the sequence is the client's that asks
        try:
            if flags & SEQUENCE_START:
                own = False
                if self._streams.full:
                    self._watches.check()  # a place may be a gone client's
                self._begin(sequence, request, parameters)
                own = True
            frame = self._frame(request)
            if frame is not None:
                return self._tracked(frame, request, parameters)
            if not flags & SEQUENCE_END:
                if not parameters.get(KEEP_ALIVE):
                    raise FrameError(
                        "a frame, in `frame` or `frame_f32`",
                        "neither",
                        "Send one; only a request that ends the sequence may come without.",
                    )
                self._streams.get(sequence)
            return Made({})
        finally:
            if flags & SEQUENCE_END and own:
                self.end(sequence)

    def _tracked(self, frame: np.ndarray, request: Request, parameters: Mapping[str, Any]) -> Made:
        began_s = time.perf_counter()
        if os.access(self._stopping, os.F_OK):  # `exists` takes several times as long
            raise ServerStoppingError(
                "a server that keeps running",
                "one that is being stopped; the frame was not tracked",
                "Open a new stream when it is back; displacement starts from a new reference "
                "frame.",
            )
        stream = self._streams.get(request.correlation_id())
        with self._hang.within(self._deadlines.hang_s(stream)):
            result = stream.push(frame, room=request.room, **self._with_frame(request))
        wanted = request.requested_output_names()
        deadline = self._deadlines.says(stream, frame.size, parameters)
        if deadline is not None:
            result = replace(result, deadline=deadline)
        state = stream.state()
        if STATE.name in wanted:
            assert state is not None  # a frame was taken
            result = replace(result, state=state_to_bytes(state))
        says = {}
        if request.flags() & SEQUENCE_START and parameters.get(DIRECT) and self.door:
            says = {DIRECT: self.door}
        arrays = self._codec.encode(result, wanted, says)
        self._deadlines.took(stream, frame.size, time.perf_counter() - began_s)
        return Made(arrays, partial(self._metrics.computed, result), state)

    def _note(self, parameters: Mapping[str, Any], more: Callable[[], None], took_s: float) -> None:
        self._metrics.frame(took_s, parameters)
        more()

    # -- what comes with a request -----------------------------------------------------------------

    def _begin(self, sequence: int | str, request: Request, parameters: Mapping[str, Any]) -> None:
        stream = self._new_stream(request)
        self._deadlines.begin(stream, parameters)
        if sequence not in self._streams:  # a live one keeps its trace
            self._events.begin(sequence, parameters)
        self._streams.begin(sequence, stream)
        if RESUMED in parameters or request.input(STATE.name) is not None:
            self._streams.tell("resumed", sequence)

    def _new_stream(self, request: Request) -> Stream:
        spacing, saved = request.input("spacing_mm"), request.input(STATE.name)
        asked = {"strain"} & set(request.requested_output_names())
        return Stream(
            self._engine,
            self._spec,
            None if saved is None else state_from_bytes(saved.tobytes()),
            spacing_mm=None if spacing is None else tuple(spacing.tolist()),
            readings=tuple(asked),
            backward=self._backward,
        )

    def _frame(self, request: Request) -> np.ndarray | None:
        grey, floating = request.input("frame"), request.input("frame_f32")
        if grey is not None and floating is not None:
            raise FrameError(
                "one of `frame` and `frame_f32`", "both", "Send the one that has the frame's type."
            )
        return floating if grey is None else grey

    def _with_frame(self, request: Request) -> dict[str, Any]:
        """What comes with a frame, as `Stream.push` takes it."""
        index, beat = request.input("frame_index"), request.input("beat")
        time_ms = request.input("time_ms")
        return {
            "index": None if index is None else int(index[0]),
            "beat": None if beat is None else bool(beat[0]),
            "time_ms": None if time_ms is None else float(time_ms[0]),
            "given": given_inputs(self._spec, request),
        }


def given_inputs(spec: ModelSpec, request: Request) -> dict[str, np.ndarray]:
    """The model's own inputs that a request carries, by name."""
    arrays = {one.name: request.input(one.name) for one in spec.given_inputs}
    return {name: array for name, array in arrays.items() if array is not None}


def _as_half(name: str, value: np.ndarray) -> np.ndarray:
    return value.astype(np.float16) if name in _FIELDS else value
