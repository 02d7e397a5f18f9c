"""`cineflow serve`: bundles behind a real Triton, until Ctrl-C."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from cineflow.cli.console import ends_on_sigterm, err, go_on, guarded, out
from cineflow.cli.notify import notify

#: How often within ten minutes the server is started again.
RESTARTS = 10


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


@guarded
def serve(
    bundles: Annotated[
        list[str] | None,
        typer.Argument(help="Built-in names or bundle folders.", show_default="lucas_kanade"),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines cannot reach the default.")
    ] = "127.0.0.1",
    secure: Annotated[
        Path | None,
        typer.Option(
            help="Folder with ca.crt, server.crt and server.key (`cineflow certs`): mutual TLS."
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen without TLS where others can reach it.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="gRPC port; 0 takes a free one.")
    ] = 8001,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the metrics; 0 takes a free one.")
    ] = 0,
    metrics_host: Annotated[
        str | None,
        typer.Option(help="Address of the metrics; default: --host, but loopback with --secure."),
    ] = None,
    places: Annotated[
        int, typer.Option(min=1, help="Live streams of each model; one more is refused.")
    ] = 64,
    idle: Annotated[
        float, typer.Option(help="Seconds without a frame after which a stream is ended.")
    ] = 60.0,
    threads: Annotated[
        int, typer.Option(min=0, help="Threads of the engine inside one frame; 0: its default.")
    ] = 0,
    gpu: Annotated[
        int | None,
        typer.Option(min=0, help="Number of the NVIDIA card for the models (`nvidia-smi`)."),
    ] = None,
    gpu_memory: Annotated[
        int | None,
        typer.Option(min=1, help="MiB of the card that each model may take; they must be free."),
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(help="Keep the model repository here; default: a temporary folder."),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="File for the server's log.")] = None,
    events: Annotated[
        Path | None,
        typer.Option(help="Folder for what happens to streams: JSON lines, in files that rotate."),
    ] = None,
    server_dir: Annotated[
        Path | None, typer.Option(help="Folder of the server's wheel, installed there if missing.")
    ] = None,
) -> None:
    """Serve bundles over gRPC until Ctrl-C (exit code 130) or SIGTERM (exit code 0)."""
    from cineflow.cli.obtain import obtain_server
    from cineflow.export import write_repository
    from cineflow.export.triton import Limits, aliases_of
    from cineflow.runtime import Bundle
    from cineflow.serving import TritonServer
    from cineflow.serving.events import event_folder
    from cineflow.serving.gpu import gpu_environment

    named = bundles or ["lucas_kanade"]
    card = gpu_environment(gpu, gpu_memory, len(named))
    opened = [Bundle.load(bundle) for bundle in named]
    binary = obtain_server(server_dir)
    # By name: a kept repository may hold models that were served earlier, and `cineflow load`
    # brings others.
    aliases = aliases_of(opened)
    names = [*(bundle.served_name for bundle in opened), *aliases]
    limits = Limits(places, idle, threads)
    with contextlib.ExitStack() as stack:
        temporary: list[Path] = []
        if repository is None:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="cineflow-repo-"))
            repository = Path(scratch, "models")
            temporary = [Path(scratch)]
        write_repository(opened, repository, limits=limits)
        server = TritonServer(
            repository,
            binary=binary,
            host=host,
            secure=secure,
            insecure=insecure,
            metrics_host=metrics_host,
            grpc_port=port,
            metrics_port=metrics_port,
            models=names,
            log_file=log,
            restarts=RESTARTS,
            temporary=temporary,
            environment={**event_folder(events), **card},
        )
        with err.status("starting tritonserver"):
            stack.enter_context(server)
        with ends_on_sigterm():
            out.print(f"serving with Triton {server.version} on [bold]{server.url}[/] (gRPC)")
            for name, bundle in aliases.items():
                out.print(f"  {name}  ({bundle.served_name})")
            for bundle in opened:
                if bundle not in aliases.values():
                    out.print(f"  {bundle.served_name}")
            out.print(f"  metrics on {server.metrics_url}")
            notify(READY=1, STATUS=f"serving on {server.url}, metrics on {server.metrics_url}")
            err.print("Ctrl-C stops it")
            go_on()
            server.wait(_say_restart)
        notify(STOPPING=1)


def _say_restart(words: str) -> None:
    notify(STATUS=words)
    err.print(words, soft_wrap=True, highlight=False, markup=False)
