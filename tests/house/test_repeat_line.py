"""The line that repeats a benchmark is the command that started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("module", ["bench", "bench.part"])
def test_the_line_repeats_the_command(tmp_path: Path, module: str) -> None:
    (tmp_path / "bench").mkdir()
    for name in ("__main__", "part"):
        program = "from benchmarks.repeat import repeat_line\nprint(repeat_line())\n"
        (tmp_path / "bench" / f"{name}.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", module, "--only", "OpenCV DIS"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"repeat: python -m {module} --only 'OpenCV DIS'\n"
