"""Runs a case of cases.json: by the bare client, with a stream of another client next to it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import cineflow_client
from cineflow.served import encode
from cineflow.serving import TritonServer
from cineflow_client import Client
from tests.conformance.bare_client import (
    Answer,
    ProtocolError,
    Push,
    Ring,
    Server,
    Stream,
    Tensor,
    unregister,
)
from tests.conformance.described import (
    SUITE,
    array,
    declared_parameters,
    require_same,
    tensor,
    texture,
)

SLOTS = 4


def cases(server: str) -> list[Any]:
    """The cases for a server, each with each of its transports, as parameters of a test."""
    return [
        pytest.param(case, transport, id=f"{case['name']}-{transport}")
        for case in SUITE["cases"]
        if case.get("server", "default") == server
        for transport in case.get("transports", ["grpc", "ring"])
    ]


def run(
    case: Mapping[str, Any],
    transport: str,
    server: TritonServer,
    *,
    secure: Path | None = None,
    connect: Callable[[str], Any] | None = None,
) -> None:
    """Run a case; an AssertionError says which step failed.

    Args:
        case: Of cases.json.
        transport: "grpc" or "ring".
        server: Runs the model.
        secure: Certificates for TLS.
        connect: Makes the client of the twins instead of `Client`. Its results may also be tensors
            by name.
    """
    bare = Server(server.url, secure)
    connect = connect or partial(Client, secure=secure)
    try:
        with connect(server.url) as client:
            runner = _Runner(case, transport, bare, client, server, secure)
            try:
                for position, step in enumerate(case["steps"]):
                    try:
                        runner.step(step)
                    except AssertionError as error:
                        raise AssertionError(f"step {position}, {step}: {error}") from error
            finally:
                runner.close()
    finally:
        bare.close()


class _Runner:
    def __init__(
        self,
        case: Mapping[str, Any],
        transport: str,
        bare: Server,
        client: Any,
        server: TritonServer,
        secure: Path | None,
    ) -> None:
        self._case, self._bare, self._client = case, bare, client
        self._server, self._secure = server, secure
        self._declared = case.get("declared", {})
        self._traced_before = self._traced()
        self._in_ring = transport == "ring"
        self._name = case.get("model", "lucas_kanade")
        self._on_request = tuple(case.get("on_request", ()))
        self._streams: dict[str, Stream] = {}
        self._twins: dict[str, Any] = {}
        self._begun: set[str] = set()  # twins that have had their first frame
        self._sent: set[str] = set()  # streams of the bare client that have begun
        self._computed = [0, 0]  # the last frame's times at the server
        self._lost: Sequence[Mapping[str, Any]] = ()  # frames whose results have not come
        self._at_start = {name: tensor(one) for name, one in case.get("at_start", {}).items()}
        self.model = bare.find(self._name, SUITE["contract"])

    def step(self, step: Mapping[str, Any]) -> None:
        name = step.get("stream", "a")
        if "sleep_s" in step:
            time.sleep(step["sleep_s"])
        elif "find" in step:
            said = found(self._bare, step["find"], step.get("contract", SUITE["contract"]))
            assert step["error"] in said
        elif "call" in step:
            self._call(step)
        elif "unmap" in step:
            ring = self._streams[name].ring
            assert ring is not None
            unregister(self._bare, ring.name)
        elif "unload" in step or "load" in step:
            with Client(self._server.url, secure=self._secure) as own:
                (own.load if "load" in step else own.unload)(self._name)
        elif "traced" in step:
            assert self._traced() - self._traced_before == step["traced"]
        elif "go_on" in step:
            self._go_on(self._streams[name], name)
        elif "end" in step and "frame" not in step:
            answer = self._streams[name].push(Push(None, end=True))
            self._check(step, answer, None)
        elif "frozen" in step:
            parameters = {"keep_alive": True}
            self._check(step, self._streams[name].push(Push(None, parameters=parameters)), None)
            if self._twins[name] is not None:
                self._twins[name].freeze()
        else:
            self._push(step, name)

    def close(self) -> None:
        for name, stream in self._streams.items():
            with contextlib.suppress(ConnectionError):
                stream.push(Push(None, end=True))
            stream.hang_up()
            if stream.ring is not None:
                stream.ring.close()
            if self._twins[name] is not None:
                self._twins[name].close()

    # -- frames ------------------------------------------------------------------------------------

    def _push(self, step: Mapping[str, Any], name: str) -> None:
        described = step.get("frames") or [step["frame"]]
        size = tuple((described[0] or {}).get("size", SUITE["size"]))
        stream = self._stream(name, size, step.get("id_of"))
        sequence = stream.sequence
        stream.sequence = step.get("sequence", sequence)
        pushes = [self._bare_push(step, one) for one in described]
        sent = [stream.send(push) for push in pushes]
        stream.sequence = sequence
        if step.get("lost"):
            self._lost = described
            return
        for request_id, one in zip(sent, described, strict=True):
            answer = stream.receive()
            assert answer.request_id == request_id
            self._check(step, answer, self._twin_says(step, one, name))

    def _bare_push(self, step: Mapping[str, Any], described: Mapping[str, Any] | None) -> Push:
        scalars = {
            "frame_index": ("INT64", step.get("index")),
            "beat": ("BOOL", step.get("beat")),
            "time_ms": ("FP64", step.get("time_ms")),
        }
        inputs = {
            name: Tensor.of(datatype, [value])
            for name, (datatype, value) in scalars.items()
            if value is not None
        }
        frame = None if described is None else texture(described)
        if step.get("both"):
            assert described is not None
            inputs["frame_f32"] = texture({**described, "datatype": "FP32"})
        if frame is not None and "bytes" in step:
            frame = replace(frame, data=frame.data[: step["bytes"]])
        if frame is not None and "input" in step:  # under another name, or with another type
            inputs[step["input"]] = replace(frame, datatype=step.get("as", frame.datatype))
            frame = None
        wanted = step.get("ask") or [*self.model.default_outputs(), *self._on_request]
        room, start = step.get("room", {}), step.get("start")
        ends, parameters = bool(step.get("end")), dict(step.get("parameters", {}))
        if step.get("stream", "a") not in self._sent:
            self._sent.add(step.get("stream", "a"))
            parameters |= declared_parameters(self._declared)
        return Push(frame, inputs, wanted, room, start, ends, parameters)

    def _stream(self, name: str, size: tuple[int, ...], id_of: str | None) -> Stream:
        if name not in self._streams:
            ring = None
            if self._in_ring:
                wanted = [*self.model.default_outputs(), *self._on_request]
                ring = Ring(self._bare, SLOTS, self.model.ring_parts(wanted, size))
            self._streams[name] = Stream(
                self._bare,
                self.model,
                ring,
                self._streams[id_of].sequence if id_of else 0,
                self._at_start,
                self._case.get("state_every", 16),
            )
            self._twins[name] = self._twin() if self._case.get("twin", True) else None
        return self._streams[name]

    def _go_on(self, stream: Stream, name: str) -> None:
        stream.go_on()
        for one in self._lost:
            self._check({}, stream.receive(), self._twin_says({}, one, name))
        self._lost = ()

    # -- the twin ----------------------------------------------------------------------------------

    def _twin(self) -> Any:
        spacing, state = self._at_start.get("spacing_mm"), self._at_start.get("state")
        return self._client.stream(
            self._name,
            "shm" if self._in_ring else "grpc",
            spacing_mm=None if spacing is None else tuple(spacing.values()),
            state=None if state is None else state.data,
            readings=self._on_request,
            **self._declared,
        )

    def _traced(self) -> int:
        """How many streams the server's log of events says have begun in the case's trace."""
        folder = self._server._command.environment.get("CINEFLOW_EVENTS")
        trace = self._declared.get("traceparent", "").split("-")
        lines = [
            json.loads(line)
            for path in (Path(folder).glob("*.jsonl") if folder else ())
            for line in path.read_text().splitlines()
        ]
        opened = [one for one in lines if one["event"] == "opened" and "trace_id" in one]
        return sum([one["trace_id"], one["span_id"]] == trace[1:3] for one in opened)

    def _twin_says(
        self, step: Mapping[str, Any], described: Mapping[str, Any] | None, name: str
    ) -> Mapping[str, np.ndarray] | None:
        """What cineflow_client makes of the same frame, as tensors; None if it is not asked."""
        twin = self._twins[name]
        if twin is None or described is None or ("error" in step and "client" not in step):
            return None
        given = {
            key: array(one)
            for key, one in self._at_start.items()
            if key not in ("spacing_mm", "state") and name not in self._begun
        }

        def push() -> Any:
            return twin.push(
                array(texture(described)),
                step.get("index"),
                beat=step.get("beat"),
                time_ms=step.get("time_ms"),
                given=given,
            )

        def push_until_unloaded() -> None:
            """A stream with a direct connection learns it from Triton within about a second."""
            until = time.monotonic() + 10
            while time.monotonic() < until:
                push()

        if "client" in step:
            unloaded = step["client"] == "ModelUnloaded"
            with pytest.raises(getattr(cineflow_client, step["client"])) as refused:
                (push_until_unloaded if unloaded else push)()
            assert type(refused.value).__name__ == step["client"]
            return None
        result = push()
        self._begun.add(name)
        return result if isinstance(result, dict) else encode(result, self.model.spec)

    def _call(self, step: Mapping[str, Any]) -> None:
        inputs = {name: tensor(one) for name, one in step["call"].items()}
        answer = self._bare.call(self.model, inputs, list(self.model.outputs))
        arrays = {name: array(one) for name, one in inputs.items()}
        if "client" in step:
            with pytest.raises(getattr(cineflow_client, step["client"])):
                self._client.call(self._name, **arrays)
            self._check(step, answer, None)
        else:
            outputs = self._client.call(self._name, **arrays)
            self._check(step, answer, {name: one.values for name, one in outputs.items()})

    # -- expectations ------------------------------------------------------------------------------

    def _check(
        self, step: Mapping[str, Any], answer: Answer, twin: Mapping[str, np.ndarray] | None
    ) -> None:
        if "error" in step:
            wanted = step["error"]
            said = answer.error
            assert said == wanted if wanted.endswith("Error") else wanted in said, said
            return
        assert not answer.text, answer.text
        if "outputs" in step:
            assert sorted(answer.tensors) == sorted(step["outputs"])
        if "indices" in step:
            assert answer.tensors["indices"].values() == step["indices"]
        if "computed" in answer.tensors:
            before, self._computed = self._computed, answer.tensors["computed"].values()
            assert before[0] < self._computed[0] < self._computed[1]
        if "late_frames" in step:
            holds, expected_ms, load, late_frames = answer.tensors["deadline"].values()
            assert late_frames == step["late_frames"]
            assert holds in (0.0, 1.0)
            assert expected_ms > 0
            assert load > 0
        if "client_late_frames" in step:
            assert twin is not None
            assert twin["deadline"][3] == step["client_late_frames"]
        if twin is not None:
            if "ask" not in step:
                there = set(answer.tensors) - ({"state"} - set(self._on_request))
                assert there - {"deadline"} == set(twin) - {"deadline"}
            for name, one in answer.tensors.items():
                if name in twin and name not in ("computed", "deadline"):
                    require_same(name, one, twin[name])


def found(server: Server, name: str, contract: int) -> str:
    """Why a model is not found, in words."""
    try:
        server.find(name, contract)
    except (ProtocolError, grpc.RpcError) as error:
        return error.details() if isinstance(error, grpc.RpcError) else str(error)
    return "nothing: it was found"
