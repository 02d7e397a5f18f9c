"""When the thread pool stops sharing its jobs, on an imagined machine."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_caller_works_alone_while_a_processor_is_taken(tmp_path: Path) -> None:
    program = tmp_path / "contention_check"
    source = ROOT / "tests/core/contention_check.cpp"
    flags = ["-std=c++17", "-O1", "-Wall", "-Werror", f"-I{ROOT / 'csrc/core'}"]
    subprocess.run(["g++", *flags, str(source), "-o", str(program)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
