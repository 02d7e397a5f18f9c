"""`cineflow stream`: a clip to a server that is already running."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cineflow.cli.clips import CLIP_HELP, LimitGb, Part, limit_bytes
from cineflow.cli.console import SECURE_HELP, err, go_on, guarded, out


def register(app: typer.Typer) -> None:
    app.command("stream")(stream)


@guarded
def stream(
    clip: Annotated[Path, typer.Argument(help=CLIP_HELP)],
    url: Annotated[str, typer.Option(help="host:port of the server's gRPC interface.")],
    secure: Annotated[Path | None, typer.Option(help=SECURE_HELP)] = None,
    model: Annotated[str, typer.Option(help="An alias, or a served name.")] = "lucas_kanade",
    given: Annotated[
        Path | None,
        typer.Option(help="The model's further inputs, .npz; points in pixels of the clip."),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for report.html, result.npz, scalars.csv and summary.json."
        ),
    ] = None,
    part: Part = None,
    limit_gb: LimitGb = None,
) -> None:
    """Stream a clip to a running server, at the clip's own rate."""
    from cineflow.cine import read_clip
    from cineflow.cli.outcome import Outcome, import_client
    from cineflow.cli.pacing import prepare, stream_paced, sustained_fps

    client_library = import_client()
    frames = read_clip(clip, part=part, limit_bytes=limit_bytes(limit_gb))
    with client_library.Client(url, secure=secure) as client:
        info = client.model(model)
        source = prepare(info, frames, given)
        if out_dir is not None:
            out_dir.mkdir(parents=True, exist_ok=True)  # before the stream, so that it fails early
        keep = out_dir is not None
        with err.status(f"streaming {len(frames)} frames to {info.served_name}"):
            streamed = stream_paced(client, source, info, lambda done: go_on(), keep=keep)
            fps = sustained_fps(client, source, info, lambda done: go_on())
        version = client.server_version()
    outcome = Outcome(streamed, fps, info, version)
    outcome.print(out)
    if out_dir is not None:
        outcome.write(out_dir)
        out.print(f"[bold]{out_dir / 'report.html'}[/]")
