"""Runs the steps, prints the outcome of each, and writes a report.

The last two lines are the command that repeats the run and the path of the report.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.build import build
from benchmarks.gpu.steps import (
    ROOT,
    MissingToolError,
    StepError,
    libraries,
    run,
    tail,
    timed,
    tool,
)

NO_GPU = 3
KERNEL_TESTS = ("tests/core/test_cuda_kernels.py", "tests/core/test_cupy_front.py")

Step = Callable[[], tuple[str, dict[str, Any]]]


def device() -> dict[str, str]:
    """Name and driver of the first GPU.

    Raises:
        StepError: This machine has no GPU.
    """
    try:
        program = tool("nvidia-smi")
    except MissingToolError:
        raise StepError("nvidia-smi is not on this machine") from None
    fields = ("name", "driver_version", "compute_cap")
    output = run([program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"], 30)
    if not output.strip():
        raise StepError("nvidia-smi lists no GPU")
    return dict(zip(fields, output.splitlines()[0].split(", "), strict=True))


def pytest_command(*options: str) -> list[str]:
    # Without the project's own settings, which name plugins that this machine may lack.
    return [
        sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", f"--rootdir={ROOT}",
        "--import-mode=importlib", "-p", "no:cacheprovider", *KERNEL_TESTS, *options,
    ]  # fmt: skip


def kernel_tests() -> tuple[str, dict[str, Any]]:
    """Compares every op on the GPU with the NumPy reference."""
    libraries("cupy", "numpy", "pytest")
    output = run(pytest_command(), 80, CINEFLOW_CUDA_TESTS="gpu")
    require_passed(output)
    return tail(output, 200), {}


def require_passed(output: str) -> None:
    """Raises `StepError` unless pytest ran at least one test."""
    if not re.search(r"\b\d+ passed\b", output):
        raise StepError(f"no test ran: {tail(output, 500)}")


def sanitizer(check: str, chosen: str, limit_s: float) -> Step:
    """compute-sanitizer over the tests that `chosen` selects."""

    def step() -> tuple[str, dict[str, Any]]:
        program = tool("compute-sanitizer")
        libraries("cupy", "numpy", "pytest")
        command = [program, "--tool", check, "--error-exitcode", "9", "--target-processes", "all"]
        if check == "memcheck":
            # Libraries probe the driver for features, and handle the errors themselves.
            command += ["--report-api-errors", "no"]
        output = run([*command, *pytest_command("-k", chosen)], limit_s, CINEFLOW_CUDA_TESTS="gpu")
        require_passed(output)
        if not re.search(r"ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards", output):
            raise StepError(f"no clean summary: {tail(output, 500)}")
        return tail(output, 200), {}

    return step


def module(name: str, limit_s: float, *needs: str) -> Step:
    """Runs the module `name` of this package, whose last line is its figures as JSON."""

    def step() -> tuple[str, dict[str, Any]]:
        libraries(*needs)
        output = run([sys.executable, "-m", f"benchmarks.gpu.{name}"], limit_s)
        return "", json.loads(output.splitlines()[-1])

    return step


def steps(architectures: str) -> dict[str, Step]:
    """All steps in order. Their time limits add up to 10 minutes."""
    return {
        "build": lambda: build(architectures),
        "tests": kernel_tests,
        "memcheck": sanitizer("memcheck", "agrees and float32 or corner", 100),
        "racecheck": sanitizer("racecheck", "agrees and correlation and float32", 60),
        "benchmarks": module("bench", 80, "cupy", "torch"),
        "tracker": module("tracker", 40, "torch"),
    }


def revision() -> str:
    """The commit under test, with "-dirty" if files differ; "unknown" outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/gpu_check.sh", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--only", nargs="+", choices=list(steps("")), metavar="STEP",
                        help=f"one of {', '.join(steps(''))}")  # fmt: skip
    parser.add_argument(
        "--architectures",
        default="native",
        help='a CMake list such as "90-real"; `--only build` then needs no GPU',
    )
    return parser.parse_args(arguments)


def repeat_command(options: argparse.Namespace) -> str:
    """The one line that repeats a run, for a shell in the repository's root."""
    words = ["benchmarks/gpu_check.sh", "--architectures", options.architectures]
    if options.only:
        words += ["--only", *options.only]
    return shlex.join([*words, "--out", str(options.out)])


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    chosen = options.only or list(steps(""))
    about: dict[str, str] = {}
    if chosen != ["build"] or options.architectures == "native":
        try:
            about = device()
        except StepError as error:
            print(f"gpu_check: this needs an NVIDIA GPU: {error}", file=sys.stderr)
            return NO_GPU
    outcomes = []
    for name, step in steps(options.architectures).items():
        if name not in chosen:
            continue
        outcome = timed(name, step)
        outcomes.append(outcome)
        print(f"{name:<12}{outcome.status:<8}{outcome.seconds:6.1f} s", flush=True)
        if outcome.status != "passed":
            print(outcome.detail, file=sys.stderr)
            if name == "build":
                break  # the other steps need the kernels
    date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    report = {
        "date": date,
        "revision": revision(),
        "repeat": repeat_command(options),
        **about,
        "complete": options.only is None and len(outcomes) == len(chosen),
        "steps": [asdict(outcome) for outcome in outcomes],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    label = re.sub(r"\W+", "-", about.get("name", "no-gpu")).strip("-").lower()
    path = options.out / f"gpu-{label}-{date[:10]}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"repeat: {repeat_command(options)}")
    print(f"report: {path}")
    return 0 if all(outcome.status == "passed" for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
