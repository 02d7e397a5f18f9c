"""Runs the steps, prints the outcome of each, and writes a report.

The report is written after every step, so that a run that is cut short leaves what it found. It
goes to --out, else to the folder that $OUT names, else to benchmarks/results. The last two lines
are the command that repeats the run and the path of the report.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
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
    Outcome,
    StepError,
    libraries,
    run,
    tail,
    timed,
    tool,
)

NO_GPU = 3
KERNEL_TESTS = (
    "tests/core/test_cuda_kernels.py",
    "tests/core/test_pair_blocks_cuda.py",
    "tests/core/test_cupy_front.py",
)

#: Seconds of each step: 8 minutes together. The sanitizers, which take longest, come last.
LIMITS = {
    "build": 150,
    "tests": 45,
    "benchmarks": 65,
    "tracker": 30,
    "systems": 50,
    "serving": 40,
    "memcheck": 60,
    "racecheck": 40,
}

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
    output = run(pytest_command(), LIMITS["tests"], CINEFLOW_CUDA_TESTS="gpu")
    require_passed(output)
    return tail(output, 200), {}


def require_passed(output: str) -> None:
    """Raises `StepError` unless pytest ran at least one test."""
    if not re.search(r"\b\d+ passed\b", output):
        raise StepError(f"no test ran: {tail(output, 500)}")


def sanitizer(check: str, chosen: str) -> Step:
    """compute-sanitizer over the tests that `chosen` selects."""

    def step() -> tuple[str, dict[str, Any]]:
        program = tool("compute-sanitizer")
        libraries("cupy", "numpy", "pytest")
        command = [program, "--tool", check, "--error-exitcode", "9", "--target-processes", "all"]
        if check == "memcheck":
            # Libraries probe the driver for features, and handle the errors themselves.
            command += ["--report-api-errors", "no"]
        command += pytest_command("-k", chosen)
        output = run(command, LIMITS[check], CINEFLOW_CUDA_TESTS="gpu")
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


def serving() -> tuple[str, dict[str, Any]]:
    """Streams on the card, in each runtime of this machine that works there."""
    libraries("onnxruntime", "onnx")
    output = run([sys.executable, "-m", "benchmarks.gpu.serving"], LIMITS["serving"])
    found = json.loads(output.splitlines()[-1])
    if not found["figures"]:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in found["not_run"].items())
        raise MissingToolError(f"no runtime runs on the card: {reasons}")
    return "", found


def steps(architectures: str, build_limit_s: float = LIMITS["build"]) -> dict[str, Step]:
    """All steps in the order of LIMITS."""
    return {
        "build": lambda: build(architectures, build_limit_s),
        "tests": kernel_tests,
        "benchmarks": module("bench", LIMITS["benchmarks"], "cupy", "torch"),
        "tracker": module("tracker", LIMITS["tracker"], "torch"),
        "systems": module("systems", LIMITS["systems"], "torch", "onnx"),
        "serving": serving,
        "memcheck": sanitizer("memcheck", "agrees and float32 or corner"),
        # Only kernels that share memory can race, and one layout and type of them is enough.
        "racecheck": sanitizer("racecheck", "agrees and correlation and float32-planar"),
    }


def revision() -> str:
    """The commit under test, with "-dirty" if files differ.

    Outside of a checkout, what the environment variable CINEFLOW_REVISION says, else "unknown".
    """
    stated = os.environ.get("CINEFLOW_REVISION", "unknown")
    if not (ROOT / ".git").exists():  # git would find a checkout around this one
        return stated
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return stated
    return done.stdout.strip() or stated


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/gpu_check.sh", description=__doc__)
    default = os.environ.get("OUT") or ROOT / "benchmarks" / "results"
    parser.add_argument("--out", type=Path, default=Path(default))
    parser.add_argument("--only", nargs="+", choices=list(steps("")), metavar="STEP",
                        help=f"one of {', '.join(steps(''))}")  # fmt: skip
    parser.add_argument(
        "--architectures",
        default="native",
        help='a CMake list such as "90-real"; `--only build` then needs no GPU',
    )
    parser.add_argument("--build-limit", type=float, default=LIMITS["build"], metavar="SECONDS",
                        help="of the build, on a machine with few cores")  # fmt: skip
    return parser.parse_args(arguments)


def repeat_command(options: argparse.Namespace) -> str:
    """The one line that repeats a run, for a shell in the repository's root."""
    words = ["benchmarks/gpu_check.sh", "--architectures", options.architectures]
    if options.only:
        words += ["--only", *options.only]
    return shlex.join([*words, "--out", str(options.out)])


def write(path: Path, about: dict[str, str], outcomes: list[Outcome], complete: bool) -> None:
    """The report so far. It replaces the last one in one step, so it is never half a file."""
    report = {**about, "complete": complete, "steps": [asdict(outcome) for outcome in outcomes]}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(report, indent=1) + "\n")
    part.replace(path)


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
    date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    label = re.sub(r"\W+", "-", about.get("name", "no-gpu")).strip("-").lower()
    path = options.out / f"gpu-{label}-{date[:10]}.json"
    report = {"date": date, "revision": revision(), "repeat": repeat_command(options), **about}
    outcomes: list[Outcome] = []
    for name, step in steps(options.architectures, options.build_limit).items():
        if name not in chosen:
            continue
        outcome = timed(name, step)
        outcomes.append(outcome)
        write(
            path, report, outcomes, complete=options.only is None and len(outcomes) == len(chosen)
        )
        print(f"{name:<12}{outcome.status:<8}{outcome.seconds:6.1f} s", flush=True)
        if outcome.status != "passed":
            print(outcome.detail, file=sys.stderr)
            if name == "build":
                break  # the other steps need the kernels
    print(f"repeat: {repeat_command(options)}")
    print(f"report: {path}")
    return 0 if all(outcome.status == "passed" for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
