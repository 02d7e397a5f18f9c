"""`cineflow repo`: a Triton model repository from bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cineflow.cli.console import guarded, out


def register(app: typer.Typer) -> None:
    app.command("repo")(repo)


@guarded
def repo(
    bundles: Annotated[list[str], typer.Argument(help="Bundles, or names of built-in ones.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Repository; it keeps its other models.")],
    backend: Annotated[
        str,
        typer.Option(
            "--backend",
            help="python: streams and calls. onnxruntime, tensorrt: only the model, for NVIDIA's "
            "container.",
        ),
    ] = "python",
    store: Annotated[
        Path | None, typer.Option("--store", help="Engine store, for --backend tensorrt.")
    ] = None,
) -> None:
    """Write a Triton model repository."""
    from cineflow.export import write_repository
    from cineflow.runtime import Bundle
    from cineflow.runtime.store import EngineStore

    loaded = [Bundle.load(name) for name in bundles]
    write_repository(loaded, out_dir, backend=backend, store=EngineStore(store))
    for bundle in loaded:
        out.print(
            f"{bundle.served_name}  [bold]{out_dir / bundle.served_name}[/]  "
            f"weights {escape(bundle.spec.weights.describe())}"
        )
