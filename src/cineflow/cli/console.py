"""Shared by every command: two consoles, typed errors as panels, Ctrl-C as exit code 130."""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from cineflow.errors import ArgumentError, CineflowError

BAD_INPUT = 2  # exit code of every typed error
INTERRUPTED = 130  # as a shell reports SIGINT

out = Console(soft_wrap=True)
err = Console(stderr=True)

#: Of the option --secure of every command that talks to a server.
SECURE_HELP = "Folder with ca.crt, client.crt and client.key, for a server with --secure."

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_interrupted = False

P = ParamSpec("P")
R = TypeVar("R")


class Terminated(KeyboardInterrupt):
    """SIGTERM: an init system, or an orchestrator, asks the program to end."""


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Show typed errors and unusable files as a panel with exit code 2, and end cleanly on Ctrl-C.

    SIGTERM and SIGHUP (the terminal is closed) are treated as Ctrl-C, unless the command expects
    SIGTERM (`ends_on_sigterm`).
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        global _interrupted
        _interrupted = False
        # All of them unwind the stack, so `finally` and `with` stop the server.
        before = {
            number: signal.signal(number, _interrupt)
            for number in _SIGNALS
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN  # `nohup`
        }
        try:
            result = command(*args, **kwargs)
            go_on()
            return result
        except (Exception, KeyboardInterrupt) as error:
            if _interrupted or isinstance(error, KeyboardInterrupt):
                with contextlib.suppress(OSError):  # after SIGHUP the terminal is gone
                    err.print("stopped")
                raise typer.Exit(INTERRUPTED) from None
            typed = _typed(error)
            if typed is None:
                raise
            show(typed)
            raise typer.Exit(BAD_INPUT) from error
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return run


@contextlib.contextmanager
def ends_on_sigterm() -> Iterator[None]:
    """SIGTERM inside is this command's regular end: it goes on after the block and exits with 0."""
    global _interrupted
    try:
        yield
    except Terminated:
        _interrupted = False


def go_on() -> None:
    """Raise `KeyboardInterrupt` if Ctrl-C came earlier. Call it at every step of a long command.

    The signal handler raises at once, wherever the program is. A library may swallow that (gRPC
    does while it starts), and the command would keep running.
    """
    if _interrupted:
        raise KeyboardInterrupt


def show(error: Any) -> None:
    """Print a typed error: what was wanted, what came, what to do."""
    lines = [f"[bold]wanted[/]  {escape(error.wanted)}", f"[bold]got[/]     {escape(error.got)}"]
    if error.remedy:
        lines.append(f"[bold]remedy[/]  {escape(error.remedy)}")
    err.print(Panel("\n".join(lines), title=type(error).__name__, border_style="red"))


def _typed(error: Exception) -> Exception | None:
    """The error if it is cineflow's or cineflow_client's; None for a bug.

    A file or folder that the system refuses is not a bug: the user can fix it.
    """
    client = sys.modules.get("cineflow_client")
    typed = (CineflowError, client.CineflowClientError) if client else (CineflowError,)
    if isinstance(error, OSError) and error.filename and not isinstance(error, typed):
        return ArgumentError(
            f"to use {error.filename}",
            error.strerror or type(error).__name__,
            "Name another file or folder, or fix this one.",
        )
    return error if isinstance(error, typed) else None


def _interrupt(signum: int, frame: object) -> None:
    global _interrupted
    _interrupted = True
    raise Terminated if signum == signal.SIGTERM else KeyboardInterrupt
