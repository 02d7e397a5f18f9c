"""Signals before and around a command: it ends without a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import typer

from cineflow.cli.console import guarded

#: Runs `cineflow doctor`, and sends itself SIGINT when it imports the module named first.
PROGRAM = """
import os, signal, sys
from cineflow.cli import main
moment = sys.argv.pop(1)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
main()
"""


@pytest.mark.parametrize("moment", ["typer", "cineflow.cli.console", "cineflow.cli.doctor"])
def test_ctrl_c_before_the_command_has_begun(moment: str) -> None:
    program = [sys.executable, "-c", PROGRAM, moment, "doctor", "--json"]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_the_command(number: signal.Signals) -> None:
    unwound = []

    @guarded
    def command() -> None:
        try:
            os.kill(os.getpid(), number)
            raise AssertionError("the signal did not arrive")
        finally:
            unwound.append(number)

    before = signal.signal(number, lambda *_: None)  # an unhandled signal must not end the test run
    try:
        with pytest.raises(typer.Exit) as ended:
            command()
    finally:
        signal.signal(number, before)
    assert ended.value.exit_code == 130
    assert unwound == [number]


def test_a_closed_terminal_does_not_end_what_nohup_started() -> None:
    steps = []

    @guarded
    def command() -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        steps.append("still here")

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        command()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert steps == ["still here"]
