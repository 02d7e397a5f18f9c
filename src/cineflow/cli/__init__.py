"""The command `cineflow`: one file per command.

    demo.py     the whole path on a real clip, with a report
    export.py   a recipe to a bundle
    verify.py   a bundle to a report of what is proven
    check.py    foreign ONNX files: `check` lints one, `import` makes a bundle of it
    engine.py   TensorRT engines and their store
    repo.py     bundles to a Triton model repository
    serve.py    bundles behind a real Triton, until Ctrl-C
    stream.py   a clip through a running server
    phantom.py  a synthetic cine with exactly known motion
    doctor.py   what is installed, what is missing, what would be used

What they share: `console.py` is how errors, progress and Ctrl-C show, `obtain.py` how a command
gets a server, `pacing.py` how a clip is sent at its own rate, `outcome.py` what that leaves behind.
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
    "check",
    "engine",
    "repo",
    "serve",
    "stream",
    "phantom",
    "doctor",
)

_INTERRUPTED = 130  # console.INTERRUPTED, which is not imported yet when this is needed

_EPILOG = "Research use, not for diagnosis."


def _app() -> typer.Typer:
    import typer  # here, so that `main` answers Ctrl-C before this takes its tenth of a second

    app = typer.Typer(
        name="cineflow",
        help="Cardiac-motion models from a PyTorch file to a scanner, in real time.",
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,  # a bug's traceback is for us; typed errors have panels
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
    """Ctrl-C outside of a command (`console.guarded` has its own), where nothing is open.

    An exception would not do: raised during an import it shows as a traceback, or is swallowed.
    """
    os._exit(_INTERRUPTED)
