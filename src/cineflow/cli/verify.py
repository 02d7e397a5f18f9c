"""`cineflow verify`: what can be proven about a bundle on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cineflow.cli.check import show_findings
from cineflow.cli.console import BAD_INPUT, err, guarded, out


def register(app: typer.Typer) -> None:
    app.command("verify")(verify)


@guarded
def verify(
    bundle: Annotated[str, typer.Argument(help="A bundle, or the name of a built-in one.")],
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Recipe of the torch module to compare with.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="The checkpoint of the export.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder of the report; default: the bundle.")
    ] = None,
) -> None:
    """Verify a bundle and write report.html and report.json.

    Exit code 2: a check failed. Skipped checks are listed as not proven.
    """
    from cineflow.export.bundle import REPORT_HTML
    from cineflow.export.verify import verify_bundle
    from cineflow.runtime import Bundle

    loaded = Bundle.load(bundle)
    with err.status("verify") as status:
        found = verify_bundle(
            loaded, recipe, weights=weights, write_to=report, progress=status.update
        )
    show_findings(found.findings)
    out.print(f"compared with {escape(found.reference)}:")
    for line in found.lines:
        colour = "yellow" if not line.counted else "green" if line.passed else "red"
        out.print(
            f"[{colour}]{line.runtime}[/] {line.precision} ({escape(line.kernels)}): "
            f"{'' if line.counted else 'not counted, '}{escape(line.said)}"
        )
    for refusal in found.refusals:
        out.print(f"[red]{escape(refusal)}[/]")
    colour = "red" if not found.passed else "yellow" if found.not_proven else "green"
    out.print(f"[{colour}]{found.verdict}[/]  weights {escape(loaded.spec.weights.describe())}")
    for skipped in found.not_proven:
        out.print(f"[yellow]not proven[/]  {escape(skipped)}")
    out.print(f"[bold]{(report or loaded.path) / REPORT_HTML}[/]")
    if not found.passed:
        raise typer.Exit(BAD_INPUT)
