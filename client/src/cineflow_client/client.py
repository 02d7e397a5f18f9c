"""Client: a connection to one server, for streams of frames and for single calls."""

from __future__ import annotations

import time
import weakref
from functools import partial
from types import TracebackType

import grpc
from tritonclient.grpc import service_pb2

from cineflow_client.connection import Secure
from cineflow_client.control import Control
from cineflow_client.cuda_arrays import Picture
from cineflow_client.declared import Declared
from cineflow_client.errors import (
    CineflowClientError,
    FrameRejected,
    ModelNotFound,
    ServerRefused,
)
from cineflow_client.frames import checked_arrays
from cineflow_client.latency import ServerTimes
from cineflow_client.metadata import ModelInfo, alias_target, read_model_info
from cineflow_client.served import Output, described_output, misplaced_points
from cineflow_client.session import Transport
from cineflow_client.stream import Stream
from cineflow_client.waiting import Policy, Waiting
from cineflow_client.wire import call_request, read_arrays

#: Seconds for which `Client.call` keeps what an alias stands for before it asks again.
ALIAS_LIFETIME_S = 5.0


class Client(Control):
    """A connection to one server; streams are opened on it. A context manager.

    Nothing is sent before the first call, and every call has a timeout.

    Args:
        url: "host:port" of the server's gRPC interface.
        timeout_s: Seconds until a call without a response fails.
        secure: For a server with mutual TLS (`cineflow serve --secure`): a folder with ca.crt,
            client.crt and client.key, or `Certificates`. Plain by default.
        credentials: Other gRPC credentials (`grpc.ssl_channel_credentials(...)`).

    Raises:
        ServerUnavailable: `url` is not an address host:port.
        CertificateUnusable: A file of `secure` does not do.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        secure: Secure = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        super().__init__(url, timeout_s=timeout_s, secure=secure, credentials=credentials)
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self._known: dict[str, tuple[ModelInfo, float]] = {}  # and when it was asked for
        self._called: set[str] = set()  # served names

    # -- what the server is ----------------------------------------------------------------------

    def is_ready(self) -> bool:
        """Whether a server responds and all its models are ready; never raises."""
        try:
            return bool(self._ask(self.stub.ServerReady, service_pb2.ServerReadyRequest()).ready)
        except CineflowClientError:
            return False

    def server_version(self) -> str:
        """Triton's version ("2.51.0").

        Raises:
            ServerUnavailable: No server responds.
        """
        metadata = self._ask(self.stub.ServerMetadata, service_pb2.ServerMetadataRequest())
        return str(metadata.version)

    def model(self, name: str) -> ModelInfo:
        """What the server says about a model; an alias is followed to the model behind it.

        Raises:
            ModelNotFound: It is not served, or it is not a cineflow model.
            ServerUnavailable: No server responds.
        """
        config = self._config(name)
        target = alias_target(config)
        return read_model_info(name, self._config(target) if target else config)

    def times(self, model: str) -> ServerTimes:
        """Where the server's time went since it started, for one served model.

        Raises:
            ModelNotFound: It is not served.
            ServerUnavailable: No server responds.
        """
        request = service_pb2.ModelStatisticsRequest(name=model)
        (found,) = self._ask(self.stub.ModelStatistics, request, model=model).model_stats
        stats = found.inference_stats
        copies = stats.compute_input.ns + stats.compute_output.ns
        return ServerTimes(
            stats.success.count, stats.queue.ns / 1e9, (stats.compute_infer.ns + copies) / 1e9
        )

    # -- streaming -------------------------------------------------------------------------------

    def stream(
        self,
        model: str,
        transport: Transport = "auto",
        *,
        slots: int = 4,
        timeout_s: float | None = None,
        resume_s: float = 30.0,
        policy: Policy = "every",
        deadline_ms: float | None = None,
        state: bytes | None = None,
        spacing_mm: tuple[float, ...] | None = None,
        readings: tuple[str, ...] = (),
        rate: float | None = None,
        budget_ms: float | None = None,
        traceparent: str = "",
    ) -> Stream:
        """Open a stream of frames to a model.

        Args:
            model: A served name or an alias. An alias is followed once, here: the stream stays
                with its model when the alias moves to another one.
            transport: "shm" for shared memory (server on this machine), "grpc" for tensors inside
                the messages, "auto" for shared memory where it works.
            slots: How many frames may be in flight at once.
            timeout_s: Seconds until a missing result closes the stream; the client's by default.
            resume_s: Seconds for which a stream that the server lost (it died, the connection
                broke, the stream idled too long) is tried again. It then goes on with the frames
                that have no result yet, as if nothing had happened. 0: such a stream has ended.
            policy: What becomes of a frame that finds every slot in flight. "every": `submit` waits
                for `wait_s` and then raises `StreamBusy`. "newest": it waits, and a newer one takes
                its place. "deadline": it waits, and is dropped once it is `deadline_ms` old. With
                the last two `submit` never waits, frames are numbered here, and `Stream.dropped`
                and `Result.gap_frames` count what was dropped.
            deadline_ms: For the policy "deadline".
            state: A result's `state`, for a stream that goes on from there; it brings the spacing
                and what was given at START.
            spacing_mm: mm per pixel along the frame's axes, (row, column) or (slice, row, column):
                lengths and areas come in mm then.
            readings: What comes only where it is asked for: "strain", "state".
            rate: Frames per second that will come. The server says with each result whether it
                holds them (`Result.deadline`).
            budget_ms: Time that a result may take; goes with `rate`. Later ones are counted.
            traceparent: The trace that the stream belongs to, as W3C writes it. The server's log of
                events has it.

        Warns:
            UntrainedWeights: The model has random numbers for weights; see `Stream.untrained`.

        Raises:
            ModelNotFound: As `model`, or the model takes calls.
            ServerUnavailable: As `model`.
        """
        if transport not in ("auto", "shm", "grpc"):
            raise CineflowClientError(
                'a transport of "auto", "shm", "grpc"',
                repr(transport),
                '"auto" takes shared memory where it works.',
            )
        if slots < 1:
            raise CineflowClientError(
                "at least one slot", str(slots), "The default of 4 suits a live source."
            )
        info = self.model(model)
        if not info.streams:
            raise ModelNotFound(
                "a model that takes a stream of frames",
                f"{info.served_name}, which takes calls",
                "client.call(model, name=array, ...)",
            )
        declared = Declared(rate, budget_ms, traceparent)
        info.warn_if_untrained()
        opened = Stream(
            self,
            info,
            transport=transport,
            slots=slots,
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
            resume_s=resume_s,
            waiting=Waiting(policy, deadline_ms),
            state=state,
            spacing_mm=spacing_mm,
            readings=readings,
            declared=declared,
            another=partial(
                self.stream,
                info.served_name,
                transport,
                slots=slots,
                timeout_s=timeout_s,
                resume_s=resume_s,
                policy=policy,
                deadline_ms=deadline_ms,
                readings=readings,
                rate=rate,
                budget_ms=budget_ms,
                traceparent=traceparent,
            ),
        )
        self._streams.add(opened)
        return opened

    # -- calls -----------------------------------------------------------------------------------

    def call(self, model: str, /, **arrays: Picture) -> dict[str, Output]:
        """Run a stateless model once. Calls of several clients run as one batch at the server.

        Args:
            model: A served name or an alias. What an alias stands for is asked for again after
                `ALIAS_LIFETIME_S`, so that calls follow an alias that moves.
            arrays: Every input of the model by its name, with the spec's dtype and shape. One on a
                CUDA card is copied, as in `Stream.push`.

        Returns:
            Every output of the model by its name, with unit, frame, role and names.

        Warns:
            UntrainedWeights: The model has random numbers for weights. Only a client's first call
                of a model warns.

        Raises:
            FrameRejected: A name is unknown or missing, or a dtype, shape or value does not fit.
            ModelNotFound: As `model`, or the model takes a stream.
            ServerUnavailable: As `model`.
            ServerRefused: The model failed, or the response has another version's form.
        """
        info = self._recent(model)
        if info.streams:
            raise ModelNotFound(
                "a model that takes calls",
                f"{info.served_name}, which takes a stream of frames",
                "client.stream(model)",
            )
        if info.served_name not in self._called:
            self._called.add(info.served_name)
            info.warn_if_untrained()
        checked = checked_arrays(info.served_name, info.spec["inputs"], arrays, {})
        if wrong := misplaced_points(info.spec["inputs"], checked):
            raise FrameRejected(
                "points inside their pictures, apart from one another",
                wrong,
                "Points are in pixels of the pictures that are sent, x first.",
            )
        outputs = {item["name"]: item for item in info.spec["outputs"]}
        request = call_request(info.served_name, checked, outputs)
        try:
            response = self._ask(self.stub.ModelInfer, request, model=info.served_name)
        except CineflowClientError:
            self._known.pop(model, None)  # the alias may have moved on; another thread may know
            raise
        found = read_arrays(response)
        if missing := outputs.keys() - found.keys():
            raise ServerRefused(f"the outputs {sorted(outputs)}", f"no {sorted(missing)}")
        return {name: described_output(item, found[name]) for name, item in outputs.items()}

    # -- ending ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Close every stream and the connection. Safe to call twice.

        In a forked child it does nothing: streams and connection are the parent's.
        """
        for stream in list(self._streams):
            stream.close()
        super().close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _recent(self, name: str) -> ModelInfo:
        """What the server says about a model, or what it said within `ALIAS_LIFETIME_S`."""
        now = time.monotonic()
        info, asked = self._known.get(name, (None, 0.0))
        if info is None or (info.served_name != name and now - asked > ALIAS_LIFETIME_S):
            info = self.model(name)
            self._known[name] = info, now
        return info
