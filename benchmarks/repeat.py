"""The command line that repeats a benchmark."""

from __future__ import annotations

import shlex
import sys


def repeat_line() -> str:
    """What benchmarks print after their results: "repeat: " and the command."""
    return f"repeat: {repeat_command()}"


def repeat_command() -> str:
    """The command that started this process: "python -m benchmarks.accuracy --quick".

    Run it from the repository's root.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = [sys.argv[0]] if spec is None else ["-m", spec.name.removesuffix(".__main__")]
    return f"python {shlex.join([*program, *sys.argv[1:]])}"
