"""`cineflow phantom`: a synthetic cine with exactly known motion, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cineflow.cli.console import err, guarded, out


def register(app: typer.Typer) -> None:
    app.command("phantom")(phantom)


@guarded
def phantom(
    view: Annotated[
        str, typer.Argument(help="short-axis, parasternal-long-axis or apical.")
    ] = "short-axis",
    path: Annotated[
        Path,
        typer.Option("--out", help="File: .npz (with the truth), .dcm, .nii.gz, .gif."),
    ] = Path("build/phantom.npz"),
    seed: Annotated[int, typer.Option(help="Equal seeds give equal cines.")] = 0,
    heart_rate: Annotated[float, typer.Option(help="Beats per minute.")] = 60.0,
    frame_rate: Annotated[float, typer.Option(help="Frames per second.")] = 50.0,
    beats: Annotated[float, typer.Option(help="How many beats.")] = 1.0,
    decorrelation: Annotated[
        float, typer.Option(help="Share of the speckle that changes from frame to frame, 0..1.")
    ] = 0.0,
    clutter: Annotated[float, typer.Option(help="Static haze at the probe, 0 for none.")] = 0.0,
) -> None:
    """Make a speckle phantom whose motion is known in every pixel. Easier than a patient."""
    from cineflow.phantom import io

    with err.status(f"{view}, seed {seed}"):
        made = io.make(
            view,
            seed,
            heart_rate_bpm=heart_rate,
            frame_rate_hz=frame_rate,
            beats=beats,
            decorrelation=decorrelation,
            clutter=clutter,
        )
        io.save(made, path)
    out.print(f"[bold]{path}[/]  {len(made)} frames")
