"""`cineflow export`: a recipe to a verified bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cineflow.cli.console import err, guarded, out


def register(app: typer.Typer) -> None:
    app.command("export")(export)


@guarded
def export(
    recipe: Annotated[
        str, typer.Argument(help="A built-in recipe (lucas_kanade) or a recipe file (./mine.py).")
    ],
    out_dir: Annotated[
        Path, typer.Option("--out", help="Bundle to write; an older bundle there is replaced.")
    ],
) -> None:
    """Export a model to ONNX, compare it with torch, and write a bundle."""
    from cineflow.export import export_bundle

    with err.status("export") as status:
        bundle = export_bundle(recipe, out_dir, progress=status.update)
    out.print(f"{bundle.served_name}  {bundle.onnx_path.stat().st_size / 1024:.0f} KiB")
    for row in bundle.manifest["parity"]:
        sizes = " x ".join(map(str, row["sizes"].values())) or "its fixed size"
        out.print(
            f"  {row['output']} at {sizes}: {row['runtime']} differs from torch "
            f"by at most {row['worst']:.2g} {row['unit']} (tolerance {row['tolerance']:g})"
        )
    out.print(f"[bold]{out_dir}[/]")
