"""The command line and the environment of one tritonserver."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cineflow
from cineflow.errors import ArgumentError
from cineflow.local_key import KEY_NAME
from cineflow.serving.access import Access
from cineflow.serving.backend import STOPPING_VARIABLE
from cineflow.serving.errors import ServerInstallError
from cineflow.serving.install import ServerBinary, search_path
from cineflow.serving.interpreter import libpython_folder, site_folders
from cineflow.serving.plan import Scratch
from cineflow.serving.ports import Ports
from cineflow.serving.vitals import VITALS_VARIABLE

#: What reaches beyond the models, and is only for programs of the server's own user. The list of
#: models belongs to their control in Triton; where nothing can be loaded, anyone may read it.
_RESTRICTED = ("shared-memory", "trace", "logging")
#: HTTP is for this program only, but for the probes of an orchestrator.
_RESTRICTED_HTTP = (
    *("metadata", "inference", "shared-memory", "model-config", "model-repository"),
    *("statistics", "trace", "logging"),
)
#: Seconds that models get to unload once their streams have ended; Triton counts both as one.
_UNLOAD_S = 2
#: Options that a version may lack.
_BETTER = {
    # Ready as long as frames are taken, and not only while no model is just being loaded.
    "strict-readiness": "false",
    # Clients ping a connection that is idle, to notice when it is dead. The server's own limits
    # take that for an attack and end the connection.
    "grpc-http2-min-recv-ping-interval-without-data": "1000",
    "grpc-http2-max-ping-strikes": "0",
    # A client that is gone without a word (a pulled cable) is noticed, and its place is freed.
    "grpc-keepalive-time": "10000",
    "grpc-keepalive-timeout": "5000",
    "allow-client-shm": "true",  # off by default since 2.69, unknown before
    # Two more interfaces, which have no restrictions. An environment variable turns the second on.
    "allow-sagemaker": "false",
    "allow-vertex-ai": "false",
}
_STOCK_PREFIX = "triton_python_backend_shm_region_"
#: Gives the server arguments that `ps` does not show (csrc/launcher).
ARGUMENTS_LIBRARY = Path(cineflow.__file__).with_name("libcineflow_arguments.so")


@dataclass(frozen=True)
class ServerCommand:
    """What a server serves, and how. Its name and ports are given when it starts.

    Attributes:
        repository: Folder of model folders.
        access: Where it listens, and for whom.
        explicit: Whether models are loaded by name and can change later; otherwise the server loads
            all of them.
        exit_timeout_s: Seconds that live sequences get to end when the server is stopped.
        options: Further options of tritonserver, without dashes.
        environment: Further environment variables for the server and its models.
    """

    repository: Path
    access: Access
    explicit: bool
    exit_timeout_s: float
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def line(self, binary: ServerBinary, name: str, ports: Ports, scratch: Path) -> list[str]:
        """The command line, without the models to load.

        Everyone on the machine can read it: what is secret comes by `process_environment`.

        Args:
            binary: The server to run.
            name: This server's own name.
            ports: Where it listens.
            scratch: A folder that lives as long as the server.

        Raises:
            ArgumentError: The binary does not know one of `options`.
            UnprotectedError, CertificateError: As `Access.certificates`.
        """
        options: dict[str, str | None] = {
            "id": name,
            "model-repository": str(self.repository),
            "model-control-mode": "explicit" if self.explicit else "none",
            "disable-auto-complete-config": None,  # the configuration is generated from the spec
            "exit-timeout-secs": f"{max(1, round(self.exit_timeout_s)) + _UNLOAD_S}",
            **self.access.options(),
            "grpc-port": str(ports.grpc),
            "http-port": str(ports.http),
            "metrics-port": str(ports.metrics),
            "backend-config": f"python,shm-region-prefix-name={shared_memory_prefix(name)}",
        }
        # What a version does not know would end it; each of these is better than its default.
        options |= {key: value for key, value in _BETTER.items() if key in binary.options}
        if binary.source == "wheel":
            options["backend-directory"] = str(binary.private_backends(scratch))
            options["allow-gpu-metrics"] = "false"  # the wheel's server cannot read them
            options["pinned-memory-pool-byte-size"] = "0"  # it has no backend that would use it
        unknown = self.options.keys() - binary.options
        if unknown:  # the server would print its whole help and end
            raise ArgumentError(
                f"options that {binary.path} knows",
                f"{sorted(unknown)}",
                f"`{binary.path} --help` lists them; write them without dashes.",
            )
        options |= self.options
        flags = [
            f"--{key}" if value is None else f"--{key}={value}" for key, value in options.items()
        ]
        return [str(binary.path), *flags]

    def process_environment(
        self, binary: ServerBinary, name: str, key: str, scratch: Path
    ) -> dict[str, str]:
        """The environment of the supervisor, the server and its Python stubs.

        Args:
            binary: The server to run.
            name: This server's own name.
            key: What a client of this user sends to be let in (`cineflow.local_key`).
            scratch: As `line`.

        Raises:
            ServerInstallError: The server cannot be kept to its own user.
        """
        self._require_restrictions(binary)
        models = ("model-repository",) if self.explicit else ()
        hidden = (
            f"--grpc-restricted-protocol={','.join((*_RESTRICTED, *models))}:{KEY_NAME}={key}",
            f"--http-restricted-api={','.join(_RESTRICTED_HTTP)}:{KEY_NAME}={key}",
        )
        libraries = (*binary.libraries, libpython_folder())
        return {
            **os.environ,
            "LD_LIBRARY_PATH": search_path(libraries),
            # The stub's interpreter finds its home through the first `python3` on PATH, and Triton
            # starts the stub with `bash`, which the PATH of a service may lack.
            "PATH": os.pathsep.join(
                [str(Path(sys.executable).parent), os.environ.get("PATH", ""), os.defpath]
            ),
            "CINEFLOW_SITE": os.pathsep.join(site_folders()),
            "CINEFLOW_HIDDEN_ARGUMENTS": "\n".join(hidden),
            STOPPING_VARIABLE: str(stopping_file(scratch)),
            VITALS_VARIABLE: str(Scratch.of(scratch).vitals),
            "CINEFLOW_MADE": str(Scratch.of(scratch).made),  # csrc/launcher
            **self.environment,
            **_mark(name),
        }

    @staticmethod
    def _require_restrictions(binary: ServerBinary) -> None:
        if not ARGUMENTS_LIBRARY.is_file():
            raise ServerInstallError(
                f"{ARGUMENTS_LIBRARY}, which hides the server's key from other users",
                "no such file",
                "Install cineflow again: its build makes it.",
            )
        if lacking := {"grpc-restricted-protocol", "http-restricted-api"} - binary.options:
            raise ServerInstallError(
                "a tritonserver that can restrict its interfaces",
                f"{binary.path}, which does not know {sorted(lacking)}",
                "Take a newer Triton: `cineflow doctor` says which is found.",
            )


def stopping_file(scratch: Path) -> Path:
    """The file whose existence tells live streams that the server is being stopped."""
    return scratch / "stopping"


def shared_memory_prefix(name: str) -> str:
    """Start of the names of the segments in /dev/shm that the server called `name` creates."""
    return f"{_STOCK_PREFIX}{name}_"


def environment_mark(name: str) -> str:
    """The environment entry that every process of the server called `name` inherits."""
    ((variable, value),) = _mark(name).items()
    return f"{variable}={value}"


def _mark(name: str) -> dict[str, str]:
    return {"CINEFLOW_SERVER_ID": name}
