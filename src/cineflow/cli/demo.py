"""`cineflow demo`: the whole path on one clip, from the model to the report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, TaskID

from cineflow.cli.clips import CLIP_HELP, LimitGb, Part, limit_bytes
from cineflow.cli.console import err, go_on, guarded, out

if TYPE_CHECKING:
    from cineflow.cine import Cine, VolumeCine
    from cineflow.cli.outcome import Outcome
    from cineflow.runtime import Bundle
    from cineflow.serving import TritonServer

MODEL = "lucas_kanade"

_WRITTEN = (
    "report.html",
    "motion.webp",
    "result.npz",
    "scalars.csv",
    "summary.json",
    "server.log",
)


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


@guarded
def demo(
    clip: Annotated[
        Path | None,
        typer.Option("--input", help=f"{CLIP_HELP} Default: a real echo."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="A built-in bundle or a bundle's folder as it is; a recipe (./mine.py), exported."
        ),
    ] = MODEL,
    given: Annotated[
        Path | None,
        typer.Option(help="The model's further inputs, .npz; points in pixels of the clip."),
    ] = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for all output.")] = Path(
        "build/demo"
    ),
    server_dir: Annotated[
        Path | None, typer.Option(help="Folder of the server's wheel, installed there if missing.")
    ] = None,
    part: Part = None,
    limit_gb: LimitGb = None,
) -> None:
    """Serve a model with Triton, stream a clip, write a report."""
    from cineflow.cine import default_clip, read_clip
    from cineflow.cli.obtain import obtain_server
    from cineflow.cli.outcome import import_client
    from cineflow.export import write_repository
    from cineflow.serving import TritonServer

    client_library = import_client()  # first: if it is missing, nothing else is done
    cine: Cine | VolumeCine = (
        default_clip()
        if clip is None
        else read_clip(clip, part=part, limit_bytes=limit_bytes(limit_gb))
    )
    _done(f"clip: {len(cine)} frames of {'x'.join(map(str, cine.size))}, {cine.name}")
    out_dir.mkdir(parents=True, exist_ok=True)
    binary = obtain_server(server_dir)  # before an export, so that it fails early
    for stale in _WRITTEN:
        (out_dir / stale).unlink(missing_ok=True)  # an earlier run's files would mislead
    bundle = _bundle(model, out_dir / "bundle")
    _done(f"model: {bundle.served_name} from {bundle.path}")
    repository = write_repository([bundle], out_dir / "models")
    _done(f"Triton repository: {repository}")
    server = TritonServer(
        repository,
        binary=binary,
        models=[bundle.served_name, bundle.spec.name],  # not models of an earlier demo
        log_file=out_dir / "server.log",
    )
    with server:
        _done(f"server: Triton {server.version} on {server.url}")
        try:
            outcome = _stream(server, bundle, cine, given)
        except client_library.ServerDied:
            server.check()  # the exit code and log of our own server say more
            raise
    _done("server stopped")
    outcome.write(out_dir)
    outcome.print(out)
    out.print(f"[bold]{out_dir / 'report.html'}[/]")


def _bundle(model: str, folder: Path) -> Bundle:
    """A bundle as it is, or a recipe exported now."""
    from cineflow.runtime import Bundle, builtin_bundles

    if Path(model).is_dir() or model in builtin_bundles():
        return Bundle.load(model)
    from cineflow.export import export_bundle

    with err.status(f"export {model}") as status:
        return export_bundle(model, folder, progress=status.update)


def _stream(
    server: TritonServer, bundle: Bundle, cine: Cine | VolumeCine, given: Path | None
) -> Outcome:
    from cineflow.cli.outcome import Outcome
    from cineflow.cli.pacing import prepare, stream_paced, sustained_fps
    from cineflow_client import Client

    with Client(server.url) as client, Progress(console=err, transient=True) as bars:
        model = client.model(bundle.served_name)
        source = prepare(model, cine, given)
        paced = bars.add_task("stream at the clip's rate", total=len(cine))
        unpaced = bars.add_task("stream unpaced", total=len(cine))

        def show(task: TaskID, done: int) -> None:
            go_on()
            bars.update(task, completed=done)

        streamed = stream_paced(client, source, model, partial(show, paced), keep=True)
        fps = sustained_fps(client, source, model, partial(show, unpaced))
    return Outcome(streamed, fps, model, server.version)


def _done(step: str) -> None:
    go_on()
    err.print(f"[green]done[/]  {step}", highlight=False)
