"""Loopback ports: find free ones, and say so when a fixed one is not."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from cineflow.errors import ArgumentError
from cineflow.serving.errors import AddressUnusableError, PortTakenError

_LAST_PORT = 65535


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
        AddressUnusableError: `host` is no address of this machine, or we may not listen there.
        ArgumentError: A number that is no port.
    """
    for protocol, port in wanted.items():
        if not 0 <= port <= _LAST_PORT:
            raise ArgumentError(
                f"a port from 0 to {_LAST_PORT} for {protocol}", f"{port}", "0 takes any free one."
            )
    fixed = [port for port in wanted.values() if port]
    if len(set(fixed)) != len(fixed):
        raise PortTakenError(
            "three different ports", ", ".join(map(str, fixed)), "0 takes any free one."
        )
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
    except (OSError, UnicodeError) as error:  # UnicodeError: a host that is no name at all
        raise _refusal(error, host, port, protocol) from error
    return int(listener.getsockname()[1])


def _refusal(
    error: OSError | UnicodeError, host: str, port: int, protocol: str
) -> PortTakenError | AddressUnusableError:
    """What a failed bind means to the reader, with the remedy for exactly that."""
    number = error.errno if isinstance(error, OSError) else None
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if number == errno.EADDRINUSE:
        return PortTakenError(
            f"port {port} of {host} for {protocol}",
            reason,
            f"Stop what listens there (`ss -ltnp 'sport = :{port}'`) or choose another port; "
            "0 takes any free one.",
        )
    if number in (errno.EACCES, errno.EPERM):
        return AddressUnusableError(
            f"to listen on port {port} of {host} for {protocol}",
            reason,
            "The system keeps low ports (below 1024 by default) for privileged users: choose a "
            "higher one; 0 takes any free one.",
        )
    return AddressUnusableError(
        f"an address of this machine to listen on for {protocol}",
        f"{host!r} ({reason})",
        "127.0.0.1 is for this machine only, 0.0.0.0 for every network it is on; "
        "`ip address` lists its own.",
    )
