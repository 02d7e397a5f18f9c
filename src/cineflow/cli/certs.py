"""`cineflow certs`: a test CA with a certificate for a server and for a client."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cineflow.cli.console import guarded, out


def register(app: typer.Typer) -> None:
    app.command("certs")(certs)


@guarded
def certs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the six files.")],
    host: Annotated[
        list[str] | None,
        typer.Option(help="A name or address by which clients reach the server; repeatable."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="How long the certificates are valid.")] = 365,
) -> None:
    """Make certificates for a test of mutual TLS: `serve --secure DIR`, `stream --secure DIR`."""
    from cineflow.serving.certs import make_test_certificates

    for path in make_test_certificates(folder, host or (), days):
        out.print(str(path), highlight=False)
    out.print("The server needs ca.crt and server.*, a client ca.crt and client.*")
