"""Requests to a server over HTTP: whether it is ready, and the control of its models."""

from __future__ import annotations

import contextlib
import http.client
import json
from pathlib import Path

from cineflow.errors import ServerError
from cineflow.local_key import KEY_NAME

#: HTTP is for this machine only.
_HOST = "127.0.0.1"


def request(
    port: int, method: str, path: str, key: str, *, timeout_s: float = 5.0
) -> tuple[int, dict[str, object]]:
    """One HTTP request.

    Args:
        port: The server's HTTP port.
        method: "GET" or "POST".
        path: For example "/v2/health/ready".
        key: What the server knows us by (`cineflow.local_key`).
        timeout_s: Seconds until a request without a response fails.

    Returns:
        The status, and the body as JSON; {} if the body is not a JSON object.

    Raises:
        OSError: The server does not respond.
        http.client.HTTPException: The response is not HTTP.
        ValueError: The body starts as a JSON object, but is not one.
    """
    connection = http.client.HTTPConnection(_HOST, port, timeout=timeout_s)
    with contextlib.closing(connection):
        connection.request(method, path, headers={KEY_NAME: key})
        response = connection.getresponse()
        text = response.read()
    return response.status, json.loads(text) if text.startswith(b"{") else {}


def ready_version(port: int, name: str, key: str) -> str | None:
    """Triton's version if the server called `name` is ready here, else None.

    The name is compared because another server may have taken the port.
    """
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        ready, _ = request(port, "GET", "/v2/health/ready", key)
        _, server = request(port, "GET", "/v2", key)
        if ready == 200 and server.get("name") == name:
            return str(server.get("version", ""))
    return None


def control_model(
    port: int, key: str, model: str, action: str, *, repository: Path, timeout_s: float
) -> None:
    """Load or unload a model.

    Args:
        port: The server's HTTP port.
        key: As `request`.
        model: A folder of the repository.
        action: "load" or "unload".
        repository: What the server serves, for the message.
        timeout_s: Seconds until a request without a response fails.

    Raises:
        ServerError: The server refuses or fails; the message has its reason.
        OSError, http.client.HTTPException, ValueError: As `request`.
    """
    path = f"/v2/repository/models/{model}/{action}"
    status, body = request(port, "POST", path, key, timeout_s=timeout_s)
    if status != 200:
        raise ServerError(
            f"the server to {action} {model}",
            f"HTTP {status}: {body.get('error', body)}",
            f"It can serve the folders of {repository}. Models can be loaded and unloaded only if "
            "`models` were named at the start.",
        )
