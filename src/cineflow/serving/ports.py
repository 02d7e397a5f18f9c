"""Loopback ports: find free ones, and say so when a fixed one is not."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from cineflow.serving.errors import PortTakenError


@dataclass(frozen=True)
class Ports:
    """The three ports of one server."""

    grpc: int
    http: int
    metrics: int


def choose_ports(host: str, wanted: Mapping[str, int]) -> Ports:
    """Ports for one server: those that are asked for, free ones where 0 is asked.

    Nothing reserves them: another process may take one before the server binds it. The caller
    tries again (`TritonServer` does).

    Args:
        host: Address that the server will listen on.
        wanted: Port per protocol ("grpc", "http", "metrics"); 0 is any.

    Raises:
        PortTakenError: A port that was asked for is taken, or asked for twice.
    """
    fixed = [port for port in wanted.values() if port]
    if len(set(fixed)) != len(fixed):
        raise PortTakenError("three different ports", ", ".join(map(str, fixed)))
    chosen = {}
    with contextlib.ExitStack() as held:  # all held at once, so that no two are equal
        for protocol, port in wanted.items():
            chosen[protocol] = _try_bind(held, host, port, protocol)
    return Ports(**chosen)


def _try_bind(held: contextlib.ExitStack, host: str, port: int, protocol: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: TIME_WAIT
    try:
        listener.bind((host, port))
        listener.listen(1)
    except OSError as error:
        raise PortTakenError(
            f"port {port} of {host} for {protocol}",
            f"{error.strerror or error}",
            f"Stop what listens there (`ss -ltnp 'sport = :{port}'`) or choose another port; "
            "0 takes any free one.",
        ) from error
    return int(listener.getsockname()[1])
