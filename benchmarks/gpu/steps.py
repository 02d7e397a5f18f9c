"""The steps of the check and how their commands run. Uses the standard library only."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "gpu"
#: The package as links, as if it were installed. First on the PYTHONPATH of the steps.
SITE = BUILD / "site"


class StepError(Exception):
    """A step did not pass. The message says why."""


class MissingToolError(StepError):
    """A tool of a step is not on this machine. The step is reported as missing, not as passed."""


@dataclass
class Outcome:
    """The outcome of one step.

    Attributes:
        name: The step.
        status: "passed", "failed" or "missing".
        seconds: Wall-clock time.
        detail: Why it did not pass, or the last lines of its output.
        data: Figures it measured.
    """

    name: str
    status: str
    seconds: float
    detail: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def tool(name: str) -> str:
    """Path of a program: on PATH, next to this Python, or in CUDA's default folder.

    Raises:
        MissingToolError: It is not in any of them.
    """
    folders = [os.environ.get("PATH", ""), str(Path(sys.executable).parent)]
    folders.append(os.path.join(os.environ.get("CUDA_HOME", "/usr/local/cuda"), "bin"))
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise MissingToolError(f"{name} is not on this machine")
    return found


def libraries(*names: str) -> None:
    """Raise `MissingToolError` unless this Python can import each of `names`."""
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingToolError(f"{', '.join(absent)}: not in {sys.executable}")


def run(command: list[str], limit_s: float, **environment: str) -> str:
    """Runs a command in the repository's root, with SITE first on PYTHONPATH.

    Returns:
        Its output, stdout and stderr together.

    Raises:
        StepError: It failed, or took longer than `limit_s` seconds.
    """
    paths = [str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit_s)
        except BaseException as error:
            # The whole group, since compilers and compute-sanitizer start other processes.
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise StepError(f"no result within {limit_s:g} s: {' '.join(command)}") from None
            raise
    if process.returncode != 0:
        raise StepError(f"exit code {process.returncode}: {tail(output, 3000)}")
    return output


def tail(text: str, characters: int) -> str:
    return text[-characters:].strip()


def timed(name: str, step: Any) -> Outcome:
    """Runs a step: a function that returns (detail, figures)."""
    start = time.monotonic()
    try:
        detail, data = step()
        status = "passed"
    except MissingToolError as error:
        status, detail, data = "missing", str(error), {}
    except StepError as error:
        status, detail, data = "failed", str(error), {}
    except Exception as error:  # the other steps must still run and be reported
        status, detail, data = "failed", repr(error), {}
    return Outcome(name, status, round(time.monotonic() - start, 1), detail, data)
