"""`cineflow sbom`: the software bill of materials of this installation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cineflow.cli.console import err, guarded, out


def register(app: typer.Typer) -> None:
    app.command("sbom")(sbom)


@guarded
def sbom(
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write; the terminal by default.")
    ] = None,
) -> None:
    """List the packages that cineflow runs with here, with licences (CycloneDX 1.5, JSON)."""
    from cineflow import __version__
    from cineflow.cli.bill import cyclonedx, shipped

    packages = shipped()
    text = json.dumps(cyclonedx(packages, __version__), indent=2) + "\n"
    if out_file is None:
        out.print(text, end="", markup=False, highlight=False)
        return
    out_file.write_text(text)
    err.print(f"[green]done[/]  {len(packages)} packages in {out_file}", highlight=False)
