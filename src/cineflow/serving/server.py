"""TritonServer: a real tritonserver as a context manager.

It listens on loopback, is ready when the block starts, and when the block ends, however it ends,
no process and no shared memory of it remain (see supervisor.py for how).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from cineflow.errors import ArgumentError, ServerError
from cineflow.serving import supervisor
from cineflow.serving.errors import PortTakenError, ServerDiedError, ServerTimeoutError
from cineflow.serving.install import ServerBinary, find_server, search_path
from cineflow.serving.interpreter import libpython_folder, site_folders
from cineflow.serving.ports import Ports, choose_ports

_BIND_FAILED = re.compile(
    r"already in use|failed to (bind|start|listen).*(port|service|address)", re.I
)
_ATTEMPTS = 4  # with fresh ports, when another process takes one between the choice and the bind
# Tables, notes and warnings say nothing about an end; nor do errors about a GPU that is not there.
_CHATTER = re.compile(r"^([|+]|[IW]\d{4} )|CUDA driver|CudaDriverHelper|^\s*$")
_LOG_TAIL_BYTES = 1 << 18
_STOCK_PREFIX = "triton_python_backend_shm_region_"


class TritonServer:
    """One tritonserver process, started, watched and ended.

    Use it as a context manager, or call `start()` and `close()`. Safe to close twice. The server
    also ends when this process ends in any way, SIGKILL included.

    Attributes:
        repository: The model repository that it serves.
        name: This server's own name, part of its shared memory's; empty until it has started.
        version: Triton's own version ("2.51.0"); empty until it has started.
        pid: Process id of tritonserver while it runs.
        log_file: Where its output goes.
    """

    def __init__(
        self,
        repository: Path | str,
        *,
        binary: ServerBinary | None = None,
        host: str = "127.0.0.1",
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int = 0,
        models: Sequence[str] | None = None,
        log_file: Path | str | None = None,
        ready_timeout_s: float = 60.0,
        exit_timeout_s: float = 1.0,
        options: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a server; nothing runs until `start` (or `with`).

        Args:
            repository: Folder of model folders.
            binary: The server to run; `find_server()` by default.
            host: Address to listen on; loopback unless other machines shall reach it.
            grpc_port: Port for gRPC; 0 takes a free one. The same holds for the other two.
            http_port: Port for HTTP (health, repository control).
            metrics_port: Port for Prometheus metrics.
            models: Serve these only, and allow `load` and `unload` while it runs; all of the
                repository, once and for all, by default.
            log_file: File for its output; a temporary one by default, removed on close.
            ready_timeout_s: Seconds until it must be ready.
            exit_timeout_s: Seconds that open sequences may delay its end.
            options: Further command-line options, without dashes ({"log-verbose": "1"}).
            environment: Further environment variables for the server and its models.
        """
        self.repository = Path(repository).resolve()
        if not self.repository.is_dir():
            raise ArgumentError(
                "a model repository (a folder)",
                f"{self.repository}: no such folder",
                "Write one with `cineflow repo BUNDLE --out DIR`.",
            )
        self.version = ""
        self.pid: int | None = None
        self.log_file: Path | None = None
        self._binary = binary
        self._host = host
        self._wanted_ports = {"grpc": grpc_port, "http": http_port, "metrics": metrics_port}
        self._models = models
        self._wanted_log = Path(log_file).resolve() if log_file else None
        self._ready_timeout_s = ready_timeout_s
        self._exit_timeout_s = exit_timeout_s
        self._options = dict(options or {})
        self._environment = dict(environment or {})
        self._log_start = 0
        self._ports: Ports | None = None
        self.name = ""
        self._scratch: Path | None = None
        self._supervisor: subprocess.Popen[str] | None = None

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> TritonServer:
        """Start the server and wait until every model is ready.

        Raises:
            ServerNotFoundError: There is no tritonserver.
            ServerInstallError: This Python cannot run its models.
            PortTakenError: A port that was asked for is taken.
            AddressUnusableError: The address cannot be listened on.
            ArgumentError: It runs already, does not know one of `options`, or a port is none.
            ServerDiedError: It ended before it was ready (a model that fails to load ends it).
            ServerTimeoutError: It was not ready in time.
        """
        if self._supervisor is not None:
            raise ArgumentError(
                "a server that is not running",
                f"one running at {self.url}",
                "Call close() first, or make another TritonServer.",
            )
        binary = self._binary or find_server()
        for attempt in range(_ATTEMPTS):
            self._ports = choose_ports(self._host, self._wanted_ports)
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
                        f"port {ports.grpc} of {self._host} for grpc, {ports.http} for http and "
                        f"{ports.metrics} for metrics",
                        "one that another process took before the server could",
                        "Start it again; port 0 takes any free one.",
                    ) from error
            except BaseException:  # Ctrl-C too: what was started must not stay
                self.close()
                raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def close(self) -> None:
        """End the server, and remove its processes, its shared memory and its temporary files."""
        process, self._supervisor = self._supervisor, None
        try:
            if process is not None:
                self._stop(process)
        finally:
            if self.name:
                if process is not None and process.returncode == -signal.SIGKILL:
                    supervisor.end_marked(self._mark)  # nobody else is left to do it
                supervisor.sweep_shared_memory(self._shared_memory_prefix)
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = self.pid = None

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
        return self._address(self._running_ports().grpc)

    @property
    def http_url(self) -> str:
        """Root of the HTTP interface ("http://127.0.0.1:8000")."""
        return f"http://{self._address(self._running_ports().http)}"

    @property
    def metrics_url(self) -> str:
        """Prometheus metrics ("http://127.0.0.1:8002/metrics")."""
        return f"http://{self._address(self._running_ports().metrics)}/metrics"

    @property
    def alive(self) -> bool:
        """Whether the server's process runs."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of this server's output; an earlier one may have used the same file."""
        if self.log_file is None or not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as log:
            log.seek(max(self._log_start, self.log_file.stat().st_size - _LOG_TAIL_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def check(self) -> None:
        """Raise `ServerDiedError` unless the server's process runs."""
        if not self.alive:
            raise self._died("a running server")

    def wait(self) -> None:
        """Block until the server ends by itself, which raises `ServerDiedError`; Ctrl-C passes."""
        while self.alive:
            time.sleep(0.2)
        raise self._died("a running server")

    # -- models ----------------------------------------------------------------------------------

    def load(self, model: str) -> None:
        """Load a model of the repository, or load it anew; where `models` were named only.

        An alias loaded anew brings the model that it now stands for. Open streams stay with theirs.

        Raises:
            ServerError: The server refuses or fails; its reason is in the message.
        """
        self._control(model, "load")

    def unload(self, model: str) -> None:
        """Unload a model, once its streams have ended. Raises as `load`."""
        self._control(model, "unload")

    def _control(self, model: str, action: str) -> None:
        self.check()
        path = f"/v2/repository/models/{model}/{action}"
        status, body = self._ask("POST", path, timeout_s=self._ready_timeout_s)
        if status != 200:
            reason = body.get("error", body)
            raise ServerError(
                f"the server to {action} {model}",
                f"HTTP {status}: {reason}",
                f"Folders of {self.repository} are what it can serve; models come and go only "
                "where `models` were named at the start.",
            )

    # -- inside ----------------------------------------------------------------------------------

    @property
    def _shared_memory_prefix(self) -> str:
        return f"{_STOCK_PREFIX}{self.name}_"

    @property
    def _mark(self) -> str:
        return f"CINEFLOW_SERVER_ID={self.name}"

    def _running_ports(self) -> Ports:
        if self._ports is None:
            raise ServerError("a server that was started", "one that was not", "Call start().")
        return self._ports

    def _address(self, port: int) -> str:
        # A server that listens everywhere is reached from here through loopback.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _launch(self, binary: ServerBinary) -> None:
        self.name = f"cineflow-{secrets.token_hex(6)}"
        self._scratch = Path(tempfile.mkdtemp(prefix="cineflow-server-"))
        self.log_file = self._wanted_log or self._scratch / "server.log"
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        plan = supervisor.Plan(
            command=self._command(binary, self._scratch),
            parent=os.getpid(),
            log=str(self.log_file),
            shared_memory_prefix=self._shared_memory_prefix,
            grace_s=self._exit_timeout_s + 5.0,  # the stubs' own end comes after the sequences'
            scratch=str(self._scratch),
        )
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", supervisor.__file__, plan.to_json()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._server_environment(binary),
                start_new_session=True,  # Ctrl-C in a terminal is ours; we end the server
                text=True,
            )
        assert self._supervisor.stdout is not None  # PIPE was asked for
        self.pid = int(self._supervisor.stdout.readline() or 0) or None

    def _command(self, binary: ServerBinary, scratch: Path) -> list[str]:
        ports = self._running_ports()
        options: dict[str, str | None] = {
            "id": self.name,
            "model-repository": str(self.repository),
            "model-control-mode": "none" if self._models is None else "explicit",
            "disable-auto-complete-config": None,  # the configuration is generated from the spec
            "exit-timeout-secs": f"{max(1, round(self._exit_timeout_s))}",
            "grpc-address": self._host,
            "grpc-port": str(ports.grpc),
            "http-address": self._host,
            "http-port": str(ports.http),
            "metrics-address": self._host,
            "metrics-port": str(ports.metrics),
            "backend-config": f"python,shm-region-prefix-name={self._shared_memory_prefix}",
        }
        if "allow-client-shm" in binary.options:  # off by default since 2.69, unknown before
            options["allow-client-shm"] = "true"
        if binary.source == "wheel":
            options["backend-directory"] = str(binary.private_backends(scratch))
            options["allow-gpu-metrics"] = "false"  # the wheel's cannot read them
        unknown = self._options.keys() - binary.options
        if unknown:  # the server would print its whole help and end
            raise ArgumentError(
                f"options that {binary.path} knows",
                f"{sorted(unknown)}",
                f"`{binary.path} --help` lists them; write them without dashes.",
            )
        options |= self._options
        command = [str(binary.path)]
        command += [
            f"--{key}" if value is None else f"--{key}={value}" for key, value in options.items()
        ]
        return command + [f"--load-model={model}" for model in self._models or []]

    def _server_environment(self, binary: ServerBinary) -> dict[str, str]:
        libraries = (*binary.libraries, libpython_folder())
        return {
            **os.environ,
            "LD_LIBRARY_PATH": search_path(libraries),
            # The stub's interpreter finds its home through the `python3` that comes first here.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "CINEFLOW_SITE": os.pathsep.join(site_folders()),
            **self._environment,
            "CINEFLOW_SERVER_ID": self.name,
        }

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._ready_timeout_s
        while time.monotonic() < deadline:
            if not self.alive:
                raise self._died(f"a server for {self.repository}")
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                ready, _ = self._ask("GET", "/v2/health/ready")
                _, server = self._ask("GET", "/v2")
                if ready == 200 and server.get("name") == self.name:  # not one that took our port
                    self.version = str(server.get("version", ""))
                    return
            time.sleep(0.05)
        raise ServerTimeoutError(
            f"a server for {self.repository} ready within {self._ready_timeout_s:g} s",
            f"one still starting. Its log ends:\n{self.log_tail()}",
            "Give it longer: ready_timeout_s.",
        )

    def _ask(
        self, method: str, path: str, *, timeout_s: float = 5.0
    ) -> tuple[int, dict[str, object]]:
        """One HTTP request to this server; the body as JSON, {} where it is none."""
        host = self._address(0).rpartition(":")[0].strip("[]")
        connection = http.client.HTTPConnection(host, self._running_ports().http, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request(method, path)
            response = connection.getresponse()
            text = response.read()
        body = json.loads(text) if text.startswith(b"{") else {}
        return response.status, body

    def _stop(self, process: subprocess.Popen[str]) -> None:
        """Ask the supervisor to end the server; kill it if it does not."""
        process.terminate()
        try:
            process.wait(timeout=self._exit_timeout_s + 10.0)
        except subprocess.TimeoutExpired:
            process.kill()  # the kernel ends the server with it, `close` the stubs
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _died(self, wanted: str) -> ServerDiedError:
        code = self._supervisor.poll() if self._supervisor is not None else None
        if code is not None and code > 128:
            code = 128 - code  # the supervisor passes a signal on as 128 + N
        ended_by_signal = code is not None and code < 0
        reason = (
            f"signal {signal.Signals(abs(code or 0)).name}"
            if ended_by_signal
            else f"exit code {code}"
        )
        said = [line for line in self.log_tail(200).splitlines() if not _CHATTER.search(line)]
        tail = "\n".join(said[-20:]) or self.log_tail()
        return ServerDiedError(
            wanted,
            f"{reason}. Its log says:\n{tail}" if tail else reason,
            f"The whole log: {self._wanted_log}" if self._wanted_log else "",
            exit_code=code,
            log_tail=tail,
        )


def ask_version(binary: ServerBinary | None = None) -> str:
    """Triton's own version ("2.51.0"), from the server itself: it is started with no models.

    The binary has no option for it, and the wheel's number is the wheel's. Takes about a second.
    """
    with tempfile.TemporaryDirectory() as empty, TritonServer(empty, binary=binary) as server:
        return server.version
