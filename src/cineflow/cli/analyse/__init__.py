"""`cineflow analyse`: clips to reports, tables and DICOM objects, in process and without a server.

wall_file.py  what the user drew
follow.py     points through a clip
job.py        one clip: track and measure
outputs.py    the files of one clip
objects.py    its DICOM objects
files.py      which clips there are, and the key of each result
batch.py      many clips
archive.py    the same on Ray, over an archive
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.markup import escape
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from cineflow.cli.console import err, go_on, guarded, out

if TYPE_CHECKING:
    from cineflow.cli.analyse.batch import Places
    from cineflow.cli.analyse.files import Settings
    from cineflow.cli.analyse.wall_file import Drawn

MODEL = "lucas_kanade"
SUMMARY = "summary.json"
#: Exit code where at least one clip was not analysed.
SOME_NOT_DONE = 1


def register(app: typer.Typer) -> None:
    app.command("analyse")(analyse)


@guarded
def analyse(
    clips: Annotated[
        list[Path],
        typer.Argument(metavar="CLIP...", help="DICOM, video or volumes; or folders of them."),
    ],
    model: Annotated[str, typer.Option(help="A built-in bundle, or a bundle's folder.")] = MODEL,
    given: Annotated[
        Path | None,
        typer.Option(help="The model's further inputs, .npz; points in pixels of the clip."),
    ] = None,
    wall: Annotated[
        Path | None,
        typer.Option(help="What is drawn, .json. A file CLIP.wall.json next to a clip wins."),
    ] = None,
    view: Annotated[
        str,
        typer.Option(
            help="Instead of --wall: four-chamber, two-chamber, short-axis, parasternal-long-axis."
        ),
    ] = "",
    points: Annotated[
        str,
        typer.Option(
            help='"x,y x,y ..." px: the contour from base over apex to base, the endocardium of '
            "a short axis, or the four borders of a long axis."
        ),
    ] = "",
    epi: Annotated[str, typer.Option(help="Epicardium of a short axis, as --points.")] = "",
    anterior: Annotated[
        str, typer.Option(help="x,y px towards the anterior wall of a short axis.")
    ] = "",
    level: Annotated[str, typer.Option(help="Of a short axis: basal, mid, apical.")] = "mid",
    frame: Annotated[int, typer.Option(min=0, help="Frame that the points belong to.")] = 0,
    ed: Annotated[list[int] | None, typer.Option(help="End-diastole; may be repeated.")] = None,
    es: Annotated[list[int] | None, typer.Option(help="End-systole; may be repeated.")] = None,
    convention: Annotated[
        str, typer.Option(help="Of the strain: lagrangian, green_lagrange, natural.")
    ] = "lagrangian",
    fields: Annotated[
        bool, typer.Option("--fields", help="Also the dense motion: fields.npz, motion.nii.gz.")
    ] = False,
    picture: Annotated[
        list[str] | None, typer.Option(help="Also the overlay: webp, gif, png; may be repeated.")
    ] = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for all output.")] = Path(
        "build/analyse"
    ),
    out_dicom: Annotated[
        Path | None,
        typer.Option(help="Folder for DICOM objects. They keep the patient's identity."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(help="An archive: run on the Ray cluster at this address (local: here)."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="With --ray: workers at once; default: all.")
    ] = None,
) -> None:
    """Track clips and measure them: strain, lengths, quality. Reports have no identity."""
    from cineflow.cli.analyse.batch import Places, write_json
    from cineflow.cli.analyse.files import Settings, clips_of
    from cineflow.cli.analyse.outputs import PICTURES, USE, Wanted
    from cineflow.errors import ArgumentError
    from cineflow.motion.strain import Convention

    if convention not in get_args(Convention):
        raise ArgumentError(f"a convention of {', '.join(get_args(Convention))}", repr(convention))
    kinds = tuple(picture or ())
    if unknown := sorted(set(kinds) - set(PICTURES)):
        raise ArgumentError(f"pictures of {', '.join(PICTURES)}", f"{unknown}")
    words = {"view": view, "points": points, "epi": epi, "anterior": anterior, "level": level}
    settings = Settings(
        drawn=_drawn(wall, words, frame, ed or [], es or []),
        given=given,
        convention=convention,  # type: ignore[arg-type]
        wanted=Wanted(fields, kinds),
    )
    found = clips_of(clips)
    if not found:
        raise ArgumentError("at least one clip", "folders without files", "Check the paths.")
    if out_dicom is not None:
        from cineflow.filing.dicom import require_library

        require_library()  # before hours of work
    places = Places(out_dir, out_dicom)
    out_dir.mkdir(parents=True, exist_ok=True)
    if ray is not None:
        from cineflow.cli.analyse.archive import analyse_archive

        with Progress(console=err, transient=True) as bars:
            task = bars.add_task("studies", total=len(found))

            def count() -> None:
                go_on()
                bars.advance(task)

            rows = analyse_archive(
                found, places, model, settings, ray, workers=workers, progress=count
            )
    else:
        rows = _here(found, places, model, settings)
    write_json(out_dir / SUMMARY, {"use": USE, "clips": rows})
    _print(rows)
    out.print(f"[bold]{out_dir / SUMMARY}[/]")
    if any(row["state"] in ("refused", "failed") for row in rows):
        raise typer.Exit(SOME_NOT_DONE)


def _here(found: list[Path], places: Places, name: str, settings: Settings) -> list[dict[str, Any]]:
    """Analyse in this process, with a bar for the clips and one for the frames."""
    from cineflow.cli.analyse.batch import analyse_all
    from cineflow.cli.analyse.job import open_model

    model = open_model(name)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bars:
        all_clips = bars.add_task("clips", total=len(found))
        frames = bars.add_task("frames", total=None)

        def of_clip(number: int) -> Any:
            bars.reset(frames, total=None)

            def show(done: int, total: int) -> None:
                go_on()
                bars.update(frames, completed=done, total=total)

            return show

        rows: list[dict[str, Any]] = []
        for of_file in analyse_all(found, places, model, settings, progress=of_clip):
            rows += of_file
            bars.advance(all_clips)
            go_on()
    return rows


def _drawn(
    wall: Path | None, words: dict[str, str], frame: int, ed: list[int], es: list[int]
) -> Drawn:
    """What the user drew, from a file or from options."""
    from cineflow.cli.analyse.wall_file import LONG_AXIS, Drawn, drawn, parse_points, read_wall
    from cineflow.errors import ArgumentError

    view = words["view"]
    if wall is not None:
        if view or words["points"]:
            raise ArgumentError("--wall, or --view with --points", "both")
        return read_wall(wall)
    if not view:
        if words["points"]:
            raise ArgumentError("a --view that says what the points are", "none")
        return Drawn(frame=frame, ed=tuple(ed), es=tuple(es))
    asked: dict[str, Any] = {"view": view, "frame": frame, "ed": ed, "es": es}
    if view == "short-axis":
        asked |= {
            "endo": parse_points(words["points"]),
            "epi": parse_points(words["epi"]),
            "anterior": parse_points(words["anterior"])[0],
            "level": words["level"],
        }
    else:
        name = "points" if view == LONG_AXIS else "contour"
        asked[name] = parse_points(words["points"])
    return drawn(asked)


#: Characters of a folder's name in the table; `summary.json` has it whole.
_SHOWN = 16


def _print(rows: list[dict[str, Any]]) -> None:
    """What became of each clip. It names none of them: a file's name is often the patient's."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("file", "state", "folder", "frames", "quality", "strain, %"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        whole = [
            f"{one['direction']} {one['value']:+.1f}"
            + ("" if one["two_sigma"] is None else f" ± {one['two_sigma']:.1f}")
            for one in row.get("strain_percent", [])
            if one["part"] == "global"
        ]
        table.add_row(
            _number(row),
            row["state"],
            _short(row.get("folder", "")),
            str(row.get("frames", "")),
            f"{row['mean_quality']:.2f}" if "mean_quality" in row else "",
            "\n".join(whole),
        )
    out.print(table)
    for row in rows:
        if "reason" in row:
            out.print(f"[bold]{_number(row)}[/]  {escape(row['reason'])}")
    out.print("Files are numbered as they were given, those of a folder by name.")


def _number(row: dict[str, Any]) -> str:
    return f"{row['number']}, part {row['part']}" if "part" in row else str(row["number"])


def _short(folder: str) -> str:
    """The beginning of a folder's name, which tells it apart, so that a line has room."""
    return f"{folder[:_SHOWN]}..." if len(folder) > _SHOWN else folder
