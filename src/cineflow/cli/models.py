"""`cineflow models`, `load`, `unload`, `rollback`: what a running server serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cineflow.cli.console import SECURE_HELP, err, guarded, out
from cineflow.errors import ArgumentError

_Url = Annotated[str, typer.Option(help="host:port of the server's gRPC interface.")]
_Secure = Annotated[Path | None, typer.Option(help=SECURE_HELP)]


def register(app: typer.Typer) -> None:
    for command in (models, load, unload, rollback):
        app.command(command.__name__)(command)


@guarded
def models(url: _Url, secure: _Secure = None) -> None:
    """List the models of a server of yours on this machine."""
    from rich.table import Table

    from cineflow.cli.outcome import import_client

    with import_client().Client(url, secure=secure) as client:
        states, aliases = client.models(), client.aliases()
    table = Table("name", "state", "stands for", box=None, pad_edge=False)
    for name in sorted(states):
        table.add_row(name, states[name].lower() or "not loaded", aliases.get(name, ""))
    out.print(table)


@guarded
def load(
    bundle: Annotated[str, typer.Argument(help="A built-in name or a bundle's folder.")],
    url: _Url,
    alias: Annotated[
        str, typer.Option("--as", help="The name that moves to it; default: the model's.")
    ] = "",
    secure: _Secure = None,
) -> None:
    """Serve another bundle on a server of yours that runs. Live streams stay with their model.

    It takes the places, the idle time and the threads of the model that it replaces.
    """
    from cineflow import local_key
    from cineflow.cli.outcome import import_client
    from cineflow.export import write_repository
    from cineflow.export.triton import Limits, read_config, write_alias
    from cineflow.runtime import Bundle

    loaded = Bundle.load(bundle)
    files = local_key.read_model_files(url)
    if files is None:
        raise ArgumentError(
            "a server of yours on this machine, whose models can change",
            url,
            "Run it as the user that started `cineflow serve`, and with its gRPC port.",
        )
    repository = Path(files.repository)
    precise = f"{loaded.spec.name}-{loaded.precision}"
    alias = alias or (precise if (repository / precise).is_dir() else loaded.spec.name)
    with import_client().Client(url, secure=secure) as client:
        before = client.aliases().get(alias, "")
        with err.status(f"loading {loaded.served_name}"):
            # First the model: if it does not load, the alias stands for the one before.
            if client.models().get(loaded.served_name) != "READY":
                limits = Limits.of(read_config(repository / before)) if before else None
                write_repository([loaded], repository, limits=limits, aliases={})
                client.load(loaded.served_name)
            write_alias(loaded, repository, alias)
            client.load(alias)
    was = f", before: {before}" if before not in ("", loaded.served_name) else ""
    out.print(f"{alias}  ({loaded.served_name}{was})")


@guarded
def unload(
    model: Annotated[str, typer.Argument(help="An alias with its model, or a served name.")],
    url: _Url,
    secure: _Secure = None,
) -> None:
    """Stop serving a model. Its live streams end."""
    from cineflow.cli.outcome import import_client

    with import_client().Client(url, secure=secure) as client:
        client.unload(model)
    out.print(f"unloaded {model}", markup=False)


@guarded
def rollback(
    alias: Annotated[str, typer.Argument(help="The name that moves back.")],
    url: _Url,
    secure: _Secure = None,
) -> None:
    """Serve the model before the last `load` again. Live streams stay with their model."""
    from cineflow.cli.outcome import import_client

    with (
        import_client().Client(url, secure=secure) as client,
        err.status(f"loading what {alias} stood for before"),
    ):
        target = client.rollback(alias)
    out.print(f"{alias}  ({target})", markup=False)
