"""The command `cineflow`: one file per command.

    demo.py     the whole path on a real clip, with a report
    export.py   a recipe to a bundle
    verify.py   a bundle to a report of what is proven
    probe.py    the known results of a bundle, asked of the engine that will serve
    check.py    ONNX files from elsewhere: `check` lints one, `import` makes a bundle of it
    engine.py   TensorRT engines and their store
    repo.py     bundles to a Triton model repository
    certs.py    certificates for a test of mutual TLS
    serve.py    bundles behind a real Triton, until Ctrl-C
    models.py   what a running server serves: models, load, unload, rollback
    stream.py   a clip to a running server
    call.py     the arrays of one study to a running server
    analyse/    clips to reports, tables and DICOM objects, without a server
    send.py     DICOM objects to a storage server
    phantom.py  a synthetic cine with exactly known motion
    bench/      which frame rates hold with a real server
    top.py      streams, latencies and deadlines of a server, live
    doctor.py   what is installed, what is missing, what would be used
    sbom.py     the packages that it runs with, with licences
    version.py  the option --version

Shared by the commands: `console.py` prints errors and handles Ctrl-C, `obtain.py` finds or installs
a server, `clips.py` has the options for clips, `given.py` reads arrays, `bill.py` lists packages,
`pacing.py` sends a clip at its own rate, `collect.py` collects
the results of that, and `outcome.py` writes them.
"""

from __future__ import annotations

import importlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

_COMMANDS = (
    "demo",
    "export",
    "verify",
    "probe",
    "check",
    "engine",
    "repo",
    "certs",
    "serve",
    "models",
    "stream",
    "call",
    "analyse",
    "send",
    "phantom",
    "bench",
    "top",
    "doctor",
    "sbom",
    "version",
)

_INTERRUPTED = 130  # as console.INTERRUPTED, which may not be imported yet

_EPILOG = "Research use, not for diagnosis."


def _app() -> typer.Typer:
    import typer  # takes 0.1 s; `main` handles Ctrl-C before that

    app = typer.Typer(
        name="cineflow",
        help="Cardiac-motion models from a PyTorch file to a scanner, in real time.",
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,  # a bug keeps its plain traceback
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name in _COMMANDS:
        importlib.import_module(f"cineflow.cli.{name}").register(app)
    return app


def main() -> None:
    """Entry point of the command."""
    signal.signal(signal.SIGINT, _leave)
    _app()()


def _leave(signum: int, frame: object) -> None:
    """Handle Ctrl-C before a command has begun. (`console.guarded` handles it after that.)

    Nothing is open yet. An exception would not work here: raised during an import it is printed as
    a traceback, or swallowed.
    """
    os._exit(_INTERRUPTED)
