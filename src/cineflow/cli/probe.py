"""`cineflow probe`: does the engine that will serve give the known results of its bundle?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cineflow.cli.console import BAD_INPUT, SECURE_HELP, err, guarded, out
from cineflow.cli.outcome import import_client
from cineflow.errors import ProfileError

if TYPE_CHECKING:
    from cineflow.runtime import Bundle
    from cineflow.runtime.probes import Arrays, Deviation, Probes


def register(app: typer.Typer) -> None:
    app.command("probe")(probe)


@guarded
def probe(
    bundle: Annotated[str, typer.Argument(help="A bundle, or the name of a built-in one.")],
    url: Annotated[
        str | None,
        typer.Option(help="host:port of a running server; default: the engine chosen here."),
    ] = None,
    secure: Annotated[Path | None, typer.Option(help=SECURE_HELP)] = None,
    runtime: Annotated[
        str, typer.Option(help="A runtime of `cineflow doctor`, without --url.")
    ] = "auto",
) -> None:
    """Ask an engine, here or in a running server, for the known results of a bundle.

    Run it after an update of driver or runtime. Exit code 2: an answer differs by more than is
    allowed.
    """
    from cineflow.runtime import Bundle, open_engine
    from cineflow.runtime.probing import fitting_run, read_probes, run_probes

    loaded = Bundle.load(bundle)
    with err.status("probe"):
        if url is None:
            engine = open_engine(loaded, runtime=runtime)
            asked = engine.name
            found = fitting_run(loaded, lambda probes: run_probes(probes, engine, loaded.spec))
        else:
            server = url
            asked = f"the server at {server}"
            found = fitting_run(
                loaded, lambda probes: _served_results(loaded, probes, server, secure)
            )
    show(found, asked, loaded, read_probes(loaded)[0].made_by)


def show(deviations: Sequence[Deviation], asked: str, bundle: Bundle, made_by: str) -> None:
    """One line per output; exit code 2 if one is out of what is allowed."""
    for one in deviations:
        colour = "green" if one.passed else "red"
        out.print(f"[{colour}]{escape(str(one))}[/]")
    passed = all(one.passed for one in deviations)
    out.print(
        f"{escape(asked)} {'gives' if passed else 'does not give'} the known results of "
        f"{bundle.served_name}, made by {escape(made_by)}"
    )
    if not passed:
        raise typer.Exit(BAD_INPUT)


def _served_results(bundle: Bundle, probes: Probes, url: str, secure: Path | None) -> list[Arrays]:
    """What the server that has this bundle loaded gives."""
    sdk, name = import_client(), bundle.served_name
    with sdk.Client(url, secure=secure) as client:
        try:
            if probes.frames is None:
                outputs = client.call(name, **probes.inputs)
                return [{key: output.values for key, output in outputs.items()}]
            with client.stream(name) as stream:
                return [
                    {key: output.values.copy() for key, output in result.outputs.items()}
                    for result in (stream.push(one, given=given) for one, given in probes.steps())
                ]
        except sdk.FrameRejected as error:  # the spec takes it, so the engine does not
            raise ProfileError(error.wanted, error.got, error.remedy) from error
