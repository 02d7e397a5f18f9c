"""TritonServer: a real tritonserver as a context manager.

It listens on loopback and is ready when the block starts. After the block none of its processes and
none of its shared memory remain, however the block ends (supervisor.py explains how).

command.py builds the command line, ports.py chooses the ports, health.py talks to the server over
HTTP, and log.py reads its log.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from cineflow import local_key
from cineflow.errors import ArgumentError, ServerError
from cineflow.serving import health, leftovers, supervisor
from cineflow.serving.access import Access
from cineflow.serving.belongings import Belongings
from cineflow.serving.command import (
    ARGUMENTS_LIBRARY,
    ServerCommand,
    shared_memory_prefix,
    stopping_file,
)
from cineflow.serving.control import ModelControl
from cineflow.serving.errors import PortTakenError, ServerDiedError, ServerTimeoutError
from cineflow.serving.install import ServerBinary, find_server
from cineflow.serving.log import ServerLog, death
from cineflow.serving.memory import require_shared_memory
from cineflow.serving.plan import Plan, State
from cineflow.serving.ports import Ports, address, choose_ports

_BIND_FAILED = re.compile(
    r"already in use|failed to (bind|start|listen).*(port|service|address)", re.I
)
#: Seconds without a pulse after which the process of a model counts as stalled. Triton itself gives
#: up after one or two while a frame waits; a machine under load needs some room.
_STALL_S = 5.0
_ATTEMPTS = 4  # with new ports, when another process takes one between the choice and the bind


class TritonServer:
    """The life of one tritonserver process: start, watch, end.

    Use it as a context manager, or call `start()` and `close()`. Safe to close twice. The server
    also ends when this process ends in any way, SIGKILL included.

    Attributes:
        repository: The model repository that it serves.
        name: This server's own name, which is also in the names of its shared memory; empty until
            it has started.
        version: Triton's version ("2.51.0"); empty until it has started.
        log_file: File of its output; None until it has started.
    """

    def __init__(
        self,
        repository: Path | str,
        *,
        binary: ServerBinary | None = None,
        host: str = "127.0.0.1",
        secure: Path | str | None = None,
        insecure: bool = False,
        metrics_host: str | None = None,
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int = 0,
        models: Sequence[str] | None = None,
        log_file: Path | str | None = None,
        ready_timeout_s: float = 60.0,
        exit_timeout_s: float = 1.0,
        restarts: int = 0,
        hang_s: float = 60.0,
        temporary: Sequence[Path] = (),
        options: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a server. Nothing runs until `start` (or `with`).

        Args:
            repository: Folder of model folders.
            binary: The server to run; `find_server()` by default.
            host: Address to listen on. The default, loopback, cannot be reached by other machines;
                any other one needs `secure` or `insecure`.
            secure: Folder with ca.crt, server.crt and server.key: gRPC with mutual TLS then, so
                that a client needs a certificate that the CA has signed.
            insecure: Listen without TLS where other machines reach it.
            metrics_host: Address for the metrics, which are plain HTTP. By default that of `host`,
                but loopback with `secure`.
            grpc_port: Port for gRPC; 0 takes a free one, also for the other two ports.
            http_port: Port for HTTP, on loopback only (health; the rest is for this program).
            metrics_port: Port for Prometheus metrics.
            models: Load only these at the start, and allow `load` and `unload`. By default all
                models of the repository are loaded, and they cannot change.
            log_file: File for its output. By default a temporary one that is removed on close.
            ready_timeout_s: Seconds until it must be ready.
            exit_timeout_s: Seconds that live streams get to end when the server is stopped. They
                are told with their next frame. One that sends none is ended with the server then;
                otherwise the models get two more seconds to unload.
            restarts: How often within ten minutes it is started again after it died, a model's
                process died or stalled, or a request hung. One more ends it, as the first one does
                by default. Address, key and log stay the same; live streams are lost.
            hang_s: Seconds after which one request to a model counts as hanging.
            temporary: Folders of the program that are removed even if it is killed.
            options: Further command-line options, without dashes ({"log-verbose": "1"}).
            environment: Further environment variables for the server and its models.

        Raises:
            ArgumentError: The repository is not a folder.
        """
        self.repository = Path(repository).resolve()
        if not self.repository.is_dir():
            raise ArgumentError(
                "a model repository (a folder)",
                f"{self.repository}: no such folder",
                "Write one with `cineflow repo BUNDLE --out DIR`.",
            )
        self.name = ""
        self.version = ""
        self.log_file: Path | None = None
        self._binary = binary
        self._wanted_ports = {"grpc": grpc_port, "http": http_port, "metrics": metrics_port}
        self._wanted_log = Path(log_file).resolve() if log_file else None
        self._ready_timeout_s = ready_timeout_s
        self._temporary = list(temporary)
        self._restarts = restarts
        self._hang_s = hang_s
        self._models = None if models is None else list(models)
        self._command = ServerCommand(
            repository=self.repository,
            access=Access(host, None if secure is None else Path(secure), insecure, metrics_host),
            explicit=models is not None,
            exit_timeout_s=exit_timeout_s,
            options=dict(options or {}),
            environment=dict(environment or {}),
        )
        self._own: Belongings | None = None
        self._log: ServerLog | None = None
        self._ports: Ports | None = None
        self._supervisor: subprocess.Popen[str] | None = None

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> TritonServer:
        """Start the server and wait until every model is ready.

        Raises:
            ServerNotFoundError: tritonserver was not found.
            ServerInstallError: This Python cannot run its models.
            UnprotectedError: Other machines reach `host`; neither `secure` nor `insecure` is set.
            CertificateError: A file of `secure` is missing or does not do.
            PortTakenError: A port that was asked for is taken.
            AddressUnusableError: The address cannot be listened on.
            SharedMemoryFullError: /dev/shm is too small for frames of a usual size.
            ArgumentError: It is already running, it does not know one of `options`, a number is
                not a port, or a model's configuration cannot be read.
            ServerDiedError: It ended before it was ready (a model that fails to load ends it).
            ServerTimeoutError: It was not ready in time.
        """
        if self._supervisor is not None:
            raise ArgumentError(
                "a server that is not running",
                f"one that runs at {self.url}",
                "Call close() first, or make another TritonServer.",
            )
        binary = self._binary or find_server()
        leftovers.sweep()
        require_shared_memory(self.repository, self._models)
        access = self._command.access
        for attempt in range(_ATTEMPTS):
            self._ports = choose_ports(access.host, self._wanted_ports, access.others)
            access.certificates()
            try:
                self._launch(binary)
                self._wait_until_ready()
                return self
            except ServerDiedError as error:
                self.close()
                if not _BIND_FAILED.search(error.log_tail):
                    raise
                if all(self._wanted_ports.values()) or attempt == _ATTEMPTS - 1:
                    ports = self._ports
                    raise PortTakenError(
                        f"port {ports.grpc} of {access.host} for grpc, {ports.http} for "
                        f"http and {ports.metrics} for metrics",
                        "one that another process took before the server could",
                        "Start it again; port 0 takes any free one.",
                    ) from error
            except BaseException:  # also Ctrl-C: nothing that was started may remain
                self.close()
                raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def close(self) -> None:
        """End the server and remove its processes, its shared memory and its temporary files."""
        process, self._supervisor = self._supervisor, None
        try:
            if process is not None:
                self._stop(process)
        finally:
            own, self._own = self._own, None
            if own is not None:
                killed = process is not None and process.returncode == -signal.SIGKILL
                own.clear(processes=killed)  # a killed supervisor ends nothing

    def __enter__(self) -> TritonServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- what it is ------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where gRPC clients connect ("127.0.0.1:8001")."""
        return address(self._command.access.host, self._running_ports().grpc)

    @property
    def http_url(self) -> str:
        """Root of the HTTP interface ("http://127.0.0.1:8000"): probes of its health."""
        return f"http://{address('127.0.0.1', self._running_ports().http)}"

    @property
    def metrics_url(self) -> str:
        """Prometheus metrics ("http://127.0.0.1:8002/metrics")."""
        host = self._command.access.metrics_address
        return f"http://{address(host, self._running_ports().metrics)}/metrics"

    @property
    def secure(self) -> bool:
        """Whether gRPC clients need a certificate."""
        return self._command.access.secure is not None

    @property
    def alive(self) -> bool:
        """Whether the server's process runs, or is just being started again."""
        return self._supervisor is not None and self._supervisor.poll() is None

    @property
    def ready(self) -> bool:
        """Whether the server takes frames now. False while it is being started again."""
        port = self._running_ports().http
        if self._own is None or not self.alive:
            return False
        return health.ready_version(port, self.name, self._own.key) is not None

    @property
    def pid(self) -> int | None:
        """Process id of tritonserver while it runs."""
        return self._state().pid or None

    @property
    def restarts(self) -> int:
        """How often the server was started again."""
        return self._state().restarts

    @property
    def restart_reason(self) -> str:
        """Why it was started again the last time, or a model; empty if neither was."""
        return self._state().reason

    @property
    def reloads(self) -> int:
        """How often a model was loaded again because its process had ended."""
        return self._state().reloads

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of this server's output, also if earlier servers used the same file."""
        return "" if self._log is None else self._log.tail(lines)

    def check(self) -> None:
        """Raise `ServerDiedError` unless the server's process runs."""
        if not self.alive:
            raise self._died("a running server")

    def wait(self, on_restart: Callable[[str], None] = lambda words: None) -> None:
        """Block until the server ends by itself, which raises `ServerDiedError`.

        Args:
            on_restart: Called with the reason and what is done, when it or one of its models is
                being started again.
        """
        seen = self._state()
        while self.alive:
            time.sleep(0.2)
            state, before = self._state(), seen
            seen = state
            if state.restarts > before.restarts:
                on_restart(f"{state.reason}. The server is being started again.")
            elif state.reloads > before.reloads:
                on_restart(f"{state.reason}. Its model is being loaded again.")
        raise self._died("a running server")

    # -- models ----------------------------------------------------------------------------------

    def load(self, model: str) -> None:
        """Load or reload a model of the repository. Only possible if `models` were named.

        Reloading an alias also loads the model that it now stands for. Open streams keep theirs.

        Raises:
            ServerError: The server refuses or fails; the message has its reason.
        """
        self.check()
        self._control().load(model)

    def unload(self, model: str) -> None:
        """Unload a model; its live streams end. Raises as `load`."""
        self.check()
        self._control().unload(model)

    # -- inside ----------------------------------------------------------------------------------

    def _running_ports(self) -> Ports:
        if self._ports is None:
            raise ServerError("a server that was started", "one that was not", "Call start().")
        return self._ports

    def _belongings(self) -> Belongings:
        if self._own is None:
            raise ServerError("a server that was started", "one that was not", "Call start().")
        return self._own

    def _control(self) -> ModelControl:
        own, port = self._belongings(), self._running_ports().http
        return ModelControl(self.repository, port, own.key, own.files.models, self._ready_timeout_s)

    def _state(self) -> State:
        return State(0, 0, "") if self._own is None else self._own.state()

    def _launch(self, binary: ServerBinary) -> None:
        own, ports = Belongings(), self._running_ports()
        self._own, self.name = own, own.name
        self.log_file = self._wanted_log or own.scratch / "server.log"
        self._log = ServerLog(self.log_file)
        if self._models is not None:
            self._control().keep(add=self._models)
        changing = None if self._models is None else self.repository
        own.leave(ports.grpc, changing, self._temporary)
        plan = Plan(
            command=self._command.line(binary, own.name, ports, own.scratch),
            parent=os.getpid(),
            log=str(self.log_file),
            shared_memory_prefix=shared_memory_prefix(own.name),
            grace_s=self._command.exit_timeout_s + 5.0,  # the stubs end after the sequences
            streams_s=self._command.exit_timeout_s,
            remove=own.remove,
            preload=str(ARGUMENTS_LIBRARY),
            repository=str(self.repository),
            scratch=str(own.scratch),
            http_port=ports.http,
            key_file=str(local_key.key_file(ports.grpc)),
            restarts=self._restarts,
            stall_s=_STALL_S,
            hang_s=self._hang_s,
            ready_s=self._ready_timeout_s,
        )
        with self.log_file.open("ab") as log:
            self._supervisor = subprocess.Popen(
                [*supervisor.COMMAND, plan.to_json()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._command.process_environment(binary, own.name, own.key, own.scratch),
                pass_fds=(own.claim,),
                start_new_session=True,  # Ctrl-C in a terminal reaches us only; we end the server
                text=True,
            )
        assert self._supervisor.stdout is not None  # PIPE was asked for
        self._supervisor.stdout.readline()  # the server's process is there, or the supervisor ended

    def _wait_until_ready(self) -> None:
        port, own = self._running_ports().http, self._belongings()
        deadline = time.monotonic() + self._ready_timeout_s
        while time.monotonic() < deadline:
            if not self.alive:
                raise self._died(f"a server for {self.repository}")
            version = health.ready_version(port, own.name, own.key)
            if version is not None:
                self.version = version
                own.files.started.touch()
                return
            time.sleep(0.05)
        raise ServerTimeoutError(
            f"a server for {self.repository} ready within {self._ready_timeout_s:g} s",
            f"one that is still starting. Its log ends:\n{self.log_tail()}",
            "Give it more time: ready_timeout_s.",
        )

    def _stop(self, process: subprocess.Popen[str]) -> None:
        """Tell live streams, and ask the supervisor to end the server; kill it if it does not."""
        if self._own is not None:
            stopping_file(self._own.scratch).touch()
        process.terminate()
        try:
            process.wait(timeout=self._command.exit_timeout_s + 10.0)
        except subprocess.TimeoutExpired:
            process.kill()  # the kernel then ends the server, and `close` the stubs
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _died(self, wanted: str) -> ServerDiedError:
        status = self._supervisor.poll() if self._supervisor is not None else None
        return death(wanted, status, self._log, kept=self._wanted_log)


def ask_version(binary: ServerBinary | None = None) -> str:
    """Triton's version ("2.51.0"). A server without models is started to read it.

    The binary has no option that prints it, and the wheel's version is a different number. Takes
    about a second.
    """
    with tempfile.TemporaryDirectory() as empty, TritonServer(empty, binary=binary) as server:
        return server.version
