"""Sending DICOM objects to a storage server (C-STORE)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cineflow.errors import ArgumentError, MissingDependencyError, ServerError

#: Our own application entity title.
OWN_TITLE = "CINEFLOW"
_ADDRESS = re.compile(r"([^@\s]{1,16})@([^@\s:]+|\[[0-9a-fA-F:]+\]):(\d{1,5})")
_SUCCESS, _WARNINGS = 0x0000, (0xB000, 0xB006, 0xB007)


@dataclass(frozen=True)
class Address:
    """Where a storage server listens.

    Attributes:
        title: Its application entity title.
        host: Its host.
        port: Its port.
    """

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address "AE@host:port".

        Raises:
            ArgumentError: The text is something else.
        """
        match = _ADDRESS.fullmatch(text)
        if match is None or not 0 < int(match[3]) < 65536:
            raise ArgumentError(
                "a storage server AE@host:port, with a title of 1 to 16 characters",
                repr(text),
                "For example --to ORTHANC@127.0.0.1:4242",
            )
        return cls(match[1], match[2].strip("[]"), int(match[3]))


@dataclass(frozen=True)
class Sent:
    """What became of one object.

    Attributes:
        path: Its file.
        status: Status of the server's answer; None without an answer.
        problem: Why it was not stored; "" where it was.
    """

    path: Path
    status: int | None
    problem: str


def send(
    paths: Sequence[Path],
    to: Address,
    *,
    own_title: str = OWN_TITLE,
    timeout_s: float = 30.0,
) -> Iterator[Sent]:
    """Send objects over one association, in the transfer syntax that each is stored in.

    Args:
        paths: DICOM part-10 files.
        to: The server.
        own_title: Our application entity title, by which some servers let senders in.
        timeout_s: For the connection and for each answer.

    Yields:
        One `Sent` for each file, in their order.

    Raises:
        MissingDependencyError: pynetdicom is not installed.
        ArgumentError: A file is not DICOM.
        ServerError: The server cannot be reached or refuses the association.
    """
    try:
        from pynetdicom import AE
    except ImportError as error:
        raise MissingDependencyError(
            "the package pynetdicom", str(error), "`pip install 'cineflow[dicom]'`"
        ) from error
    syntaxes: dict[str, set[str]] = {}
    for path in paths:
        kind, syntax = _kind_of(path)
        syntaxes.setdefault(kind, set()).add(syntax)
    entity = AE(ae_title=own_title)
    entity.acse_timeout = entity.dimse_timeout = timeout_s
    entity.network_timeout = entity.connection_timeout = timeout_s
    for kind, known in syntaxes.items():
        for syntax in sorted(known):  # one context each: a server may take some of them
            entity.add_requested_context(kind, syntax)
    association = entity.associate(to.host, to.port, ae_title=to.title)
    if not association.is_established:
        refused = getattr(association, "is_rejected", False)
        raise ServerError(
            f"a storage server {to.title} at {to.host}:{to.port}",
            "one that refuses us" if refused else "no connection",
            f"Does it know {own_title}? `echoscu -aec {to.title} {to.host} {to.port}` asks it."
            if refused
            else "Check the host, the port and the firewall.",
        )
    try:
        for path in paths:
            yield _store(association, path)
    finally:
        association.release()


def _kind_of(path: Path) -> tuple[str, str]:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
        return str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID)
    except (InvalidDicomError, AttributeError) as error:
        raise ArgumentError(
            "DICOM objects", f"{path.name}, which is not one", "Send what --out-dicom has written."
        ) from error


def _store(association: object, path: Path) -> Sent:
    import pydicom

    if not association.is_established:  # type: ignore[attr-defined]
        return Sent(path, None, "the connection was lost")
    try:
        answer = association.send_c_store(pydicom.dcmread(path))  # type: ignore[attr-defined]
    except ValueError as error:  # no context for this class or syntax
        return Sent(path, None, f"the server does not take it: {str(error)[:120]}")
    status = answer.get("Status")
    if status is None:
        return Sent(path, None, "no answer in time")
    number = int(status)
    if number == _SUCCESS or number in _WARNINGS:
        return Sent(path, number, "")
    return Sent(path, number, str(answer.get("ErrorComment") or f"status 0x{number:04X}"))
