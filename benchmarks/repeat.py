"""The command line that repeats a benchmark."""

from __future__ import annotations

import shlex
import sys


def repeat_line() -> str:
    """The command that started this process: "repeat: python -m benchmarks.accuracy --quick".

    Run it from the repository's root. Benchmarks print it after their results.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = [sys.argv[0]] if spec is None else ["-m", spec.name.removesuffix(".__main__")]
    return f"repeat: python {shlex.join([*program, *sys.argv[1:]])}"
