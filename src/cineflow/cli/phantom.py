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
    kind: Annotated[
        str,
        typer.Argument(help="short-axis, parasternal-long-axis, apical, or ventricle (volumes)."),
    ] = "short-axis",
    path: Annotated[
        Path,
        typer.Option("--out", help="File: .npz (with true motion), .dcm, .nii.gz, .gif, .webp."),
    ] = Path("build/phantom.npz"),
    seed: Annotated[int, typer.Option(help="Equal seeds give equal cines.")] = 0,
    contrast: Annotated[str, typer.Option(help="ultrasound, or mr (cine-MR-like).")] = "ultrasound",
    size: Annotated[
        str,
        typer.Option(help="ROWSxCOLUMNS or SLICESxROWSxCOLUMNS; the size in mm is fixed."),
    ] = "",
    heart_rate: Annotated[float, typer.Option(help="Beats per minute.")] = 60.0,
    frame_rate: Annotated[
        float | None,
        typer.Option(help="Frames per second; default: 50, or 20 for volumes."),
    ] = None,
    beats: Annotated[float, typer.Option(help="Number of beats.")] = 1.0,
    noise: Annotated[
        float | None, typer.Option(help="Ratio of wall to noise, dB; default: 25, or 26 for mr.")
    ] = None,
    decorrelation: Annotated[
        float, typer.Option(help="Share of the speckle that changes from frame to frame, 0..1.")
    ] = 0.0,
    clutter: Annotated[float, typer.Option(help="Static haze at the probe; 0 is off.")] = 0.0,
    shadow: Annotated[
        list[str] | None,
        typer.Option(help="Drop-out ANGLE,WIDTH,LOSS (degrees, degrees, dB); may be repeated."),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            help="CENTRE,WIDTH,CONTRACTION[,LOW,HIGH]: degrees, degrees, share of normal (0.5 "
            "hypokinetic, 0 akinetic, -1..0 dyskinetic), heights 0..1; may be repeated."
        ),
    ] = None,
) -> None:
    """Make a phantom whose motion is known in every pixel. It is easier than a patient."""
    from cineflow.errors import ArgumentError
    from cineflow.phantom import Region, Shadow, io

    if contrast not in ("ultrasound", "mr"):
        raise ArgumentError("a contrast of ultrasound, mr", repr(contrast))
    regions = []
    for text in region or []:
        centre, width, contraction, *heights = _numbers("region", text, {3, 5})
        where = (heights[0], heights[1]) if heights else (-float("inf"), float("inf"))
        regions.append(Region(centre, width, contraction, where))
    extent = _numbers("size", size.replace("x", ","), {2, 3}) if size else []
    if not all(number.is_integer() for number in extent):
        raise ArgumentError("--size: whole numbers", repr(size))
    with err.status(f"{kind}, seed {seed}"):
        made = io.make(
            kind,
            seed,
            contrast="mr" if contrast == "mr" else "ultrasound",
            size=tuple(int(n) for n in extent) or None,
            heart_rate_bpm=heart_rate,
            frame_rate_hz=frame_rate,
            beats=beats,
            noise_db=noise,
            decorrelation=decorrelation,
            clutter=clutter,
            shadows=[Shadow(*_numbers("shadow", text, {3})) for text in shadow or []],
            regions=regions,
        )
        io.save(made, path)
    what = "volumes" if len(made.size) == 3 else "frames"
    out.print(f"[bold]{path}[/]  {len(made)} {what} of {'x'.join(map(str, made.size))}")


def _numbers(name: str, text: str, counts: set[int]) -> list[float]:
    """The numbers in "1,2.5,3".

    Raises:
        ArgumentError: The text is something else, or its count is not in `counts`.
    """
    from cineflow.errors import ArgumentError

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts:
        wanted = " or ".join(map(str, sorted(counts)))
        raise ArgumentError(f"--{name}: {wanted} numbers", repr(text))
    return numbers
