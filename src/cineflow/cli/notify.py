"""What a service manager is told: systemd's protocol of one datagram (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(**what: str | int) -> None:
    """Tell the service manager that started this program; without one, nothing happens.

    Args:
        what: READY=1 once the service is ready, STOPPING=1 when it ends, STATUS for people.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    text = "\n".join(f"{name}={value}" for name, value in what.items())
    if address.startswith("@"):  # not in the file system
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.connect(address)
        out.sendall(text.encode())
