"""The option `cineflow --version`."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.callback()(_options)


def _show(asked: bool) -> None:
    if asked:
        import cineflow

        typer.echo(f"cineflow {cineflow.__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        # Eager: it is handled before the command, which may then be missing.
        typer.Option("--version", is_eager=True, callback=_show, help="Show the version and exit."),
    ] = False,
) -> None:
    """See `_app` for the help of the command."""
