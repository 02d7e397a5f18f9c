"""The ports and addresses of a server: find free ports, and check fixed ones."""

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


def reachable_host(host: str) -> str:
    """The host for clients on this machine; a server that listens everywhere is on loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def address(host: str, port: int) -> str:
    """Where clients on this machine connect ("127.0.0.1:8001", "[::1]:8001")."""
    reached = reachable_host(host)
    return f"[{reached}]:{port}" if ":" in reached else f"{reached}:{port}"


def choose_ports(
    host: str, wanted: Mapping[str, int], others: Mapping[str, str] | None = None
) -> Ports:
    """Ports for one server: those that were asked for, and free ones for 0.

    They are not reserved: another process may take one before the server binds it. `TritonServer`
    then tries again with other ports.

    Args:
        host: Address that the server will listen on.
        wanted: Port per protocol ("grpc", "http", "metrics"); 0 takes a free one.
        others: Address per protocol that listens elsewhere.

    Raises:
        PortTakenError: A port that was asked for is taken, or was asked for twice.
        AddressUnusableError: `host` is not an address of this machine, or it is not allowed to
            listen there.
        ArgumentError: A number is not a port.
    """
    if not host.strip():  # sockets would listen everywhere, and the server nowhere
        raise AddressUnusableError(
            "an address of this machine to listen on",
            repr(host),
            "127.0.0.1 is for this machine only, 0.0.0.0 for all its networks.",
        )
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
    with contextlib.ExitStack() as held:  # all are held until the end, so that no two are equal
        for protocol, port in wanted.items():
            place = (others or {}).get(protocol, host)
            chosen[protocol] = _try_bind(held, place, port, protocol)
    return Ports(**chosen)


def _try_bind(held: contextlib.ExitStack, host: str, port: int, protocol: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: TIME_WAIT
    try:
        listener.bind((host, port))
        listener.listen(1)
    except (OSError, UnicodeError) as error:  # UnicodeError: the host is not a valid name
        raise _refusal(error, host, port, protocol) from error
    return int(listener.getsockname()[1])


def _refusal(
    error: OSError | UnicodeError, host: str, port: int, protocol: str
) -> PortTakenError | AddressUnusableError:
    """The typed error for a failed bind, with its remedy."""
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
            "Low ports (below 1024 by default) are for privileged users: choose a higher one; "
            "0 takes any free one.",
        )
    return AddressUnusableError(
        f"an address of this machine to listen on for {protocol}",
        f"{host!r} ({reason})",
        "127.0.0.1 is for this machine only, 0.0.0.0 for all its networks; "
        "`ip address` lists its addresses.",
    )
