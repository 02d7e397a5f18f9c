"""The pre-commit hooks run exactly what `make lint` runs, with the tools of `./.venv`."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
]


def tools_run_by(*command: str) -> list[str]:
    """The command lines that `make` would run with the tools of the environment, in order."""
    done = subprocess.run(
        [*command, "--dry-run", "--no-print-directory"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    linters = re.compile(r"\.venv/bin/(ruff|mypy|clang-format) ")
    return [line for line in done.stdout.splitlines() if linters.search(line)]


def test_the_hooks_run_what_make_lint_runs() -> None:
    lint = tools_run_by("make", "lint")
    assert len(lint) == 4
    assert [line for hook in HOOKS for line in tools_run_by(*hook["entry"].split())] == lint


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_installs_nothing_and_checks_everything(hook: dict[str, Any]) -> None:
    assert hook["language"] == "system"
    assert hook["pass_filenames"] is False


def test_every_native_file_is_checked_and_wakes_the_hook() -> None:
    (native,) = (re.compile(hook["files"]) for hook in HOOKS if "files" in hook)
    (line,) = (line for line in tools_run_by("make", "lint") if "clang-format" in line)
    listed = subprocess.run(
        ["git", "ls-files", *(f"csrc/*{suffix}" for suffix in (".h", ".cpp", ".cu", ".cuh"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    tracked = listed.stdout.split()
    assert tracked
    assert set(tracked) <= set(line.split())
    assert all(native.search(source) for source in tracked)
