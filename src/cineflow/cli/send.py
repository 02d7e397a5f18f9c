"""`cineflow send`: DICOM objects to a storage server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cineflow.cli.console import go_on, guarded, out


def register(app: typer.Typer) -> None:
    app.command("send")(send)


@guarded
def send(
    objects: Annotated[
        list[Path], typer.Argument(metavar="OBJECT...", help="DICOM files, or folders of them.")
    ],
    to: Annotated[str, typer.Option(help="The storage server, AE@host:port.")],
    own_title: Annotated[
        str, typer.Option("--from", help="Our own application entity title.")
    ] = "CINEFLOW",
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds for the connection and for each answer.")
    ] = 30.0,
) -> None:
    """Send DICOM objects to a storage server, such as a PACS (C-STORE)."""
    from cineflow.errors import ArgumentError
    from cineflow.filing.send import Address, send

    files = [
        one
        for path in objects
        for one in (sorted(path.rglob("*.dcm")) if path.is_dir() else [path])
    ]
    if not files:
        raise ArgumentError("at least one object", "folders without .dcm files")
    address = Address.parse(to)
    lost = 0
    for sent in send(files, address, own_title=own_title, timeout_s=timeout):
        go_on()
        lost += bool(sent.problem)
        said = f"[red]not stored[/]: {escape(sent.problem)}" if sent.problem else "stored"
        out.print(f"{escape(sent.path.name)}  {said}")
    if lost:
        out.print(f"{lost} of {len(files)} objects were not stored at {escape(address.title)}")
        raise typer.Exit(1)
