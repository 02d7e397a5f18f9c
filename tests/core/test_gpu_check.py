"""benchmarks/gpu_check.sh, as far as it can be tested without a GPU."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as gpu_check
from benchmarks.gpu.steps import StepError, run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def check(tmp_path):
    """Runs the script with this Python and a PATH that holds only `programs`.

    `libraries` exist as empty modules; what they would do is not tested.
    """

    def run(
        *arguments: str, programs: dict[str, str] | None = None, libraries: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in ("bash", "dirname", "git"):
            if not (folder / name).exists():
                (folder / name).symlink_to(str(shutil.which(name)))
        for name, text in (programs or {}).items():
            (folder / name).write_text(f"#!/bin/bash\n{text}\n")
            (folder / name).chmod(0o755)
        for name in libraries:
            (folder / f"{name}.py").touch()
        environment = {
            **os.environ,
            "PYTHON": sys.executable,
            "PYTHONPATH": str(folder),
            "PATH": str(folder),
            "CUDA_HOME": str(tmp_path / "no-cuda"),
        }
        command = [str(ROOT / "benchmarks/gpu_check.sh"), "--out", str(tmp_path / "out")]
        return subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    return run


def report_of(done: subprocess.CompletedProcess) -> dict:
    return json.loads(Path(done.stdout.split("report: ")[1].strip()).read_text())


#: nvidia-smi of a machine that has a GPU, as `--format=csv,noheader` prints it.
A_GPU = {"nvidia-smi": "echo 'NVIDIA Test, 580.1, 9.0'"}
SUMMARY = "echo '========= ERROR SUMMARY: 0 errors'"
CLEAN = {"compute-sanitizer": f"echo '3 passed in 0.1s'; {SUMMARY}"}


def test_without_nvidia_smi_it_says_so(check):
    done = check()
    assert done.returncode == 3
    assert "needs an NVIDIA GPU: nvidia-smi is not on this machine" in done.stderr


def test_a_driver_that_fails_is_not_a_gpu(check):
    done = check(programs={"nvidia-smi": "echo 'no devices were found'; exit 6"})
    assert done.returncode == 3
    assert "no devices were found" in done.stderr


def test_an_unknown_step_is_a_wrong_argument(check):
    done = check("--only", "everything")
    assert done.returncode == 2
    assert "racecheck" in done.stderr


def test_a_missing_tool_is_not_a_pass(check):
    done = check("--only", "memcheck", programs=A_GPU)
    assert done.returncode == 1
    report = report_of(done)
    (step,) = report["steps"]
    assert step["status"] == "missing"
    assert "compute-sanitizer is not on this machine" in step["detail"]
    assert report["name"] == "NVIDIA Test"
    assert report["driver_version"] == "580.1"
    assert not report["complete"]
    assert "repeat: benchmarks/gpu_check.sh --architectures native --only memcheck" in done.stdout


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_a_missing_library_is_not_a_pass(check):
    done = check("--only", "tests", "memcheck", "benchmarks", programs=A_GPU | CLEAN)
    assert done.returncode == 1
    steps = report_of(done)["steps"]
    assert [step["status"] for step in steps] == ["missing"] * 3
    assert all(step["detail"].startswith("cupy: not in") for step in steps)


def test_a_sanitizer_that_checked_nothing_is_not_a_pass(check):
    silent = {**A_GPU, "compute-sanitizer": "echo 3 passed"}
    done = check("--only", "memcheck", "racecheck", programs=silent, libraries=("cupy",))
    assert done.returncode == 1
    assert [step["status"] for step in report_of(done)["steps"]] == ["failed", "failed"]


@pytest.mark.parametrize("tests", ["", "echo '5 skipped in 0.1s'; "])
def test_a_clean_summary_over_no_test_is_not_a_pass(check, tests):
    idle = {**A_GPU, "compute-sanitizer": tests + SUMMARY}
    done = check("--only", "memcheck", programs=idle, libraries=("cupy",))
    assert done.returncode == 1
    (step,) = report_of(done)["steps"]
    assert step["status"] == "failed"
    assert "no test ran" in step["detail"]


def test_a_clean_sanitizer_passes(check):
    done = check("--only", "memcheck", programs=A_GPU | CLEAN, libraries=("cupy",))
    assert done.returncode == 0, done.stderr
    assert report_of(done)["steps"][0]["status"] == "passed"


@pytest.mark.parametrize("printed", ["", "{}\na warning after the figures"])
def test_a_step_that_prints_no_figures_fails_alone(check, printed, tmp_path):
    """The steps import the machine's modules: here a torch that ends the process at once."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "torch.py").write_text(f"import os; os.write(1, {printed.encode()!r}); os._exit(0)")
    done = check("--only", "tracker", "memcheck", programs=A_GPU | CLEAN, libraries=("cupy",))
    assert done.returncode == 1
    outcomes = {step["name"]: step for step in report_of(done)["steps"]}
    assert outcomes["memcheck"]["status"] == "passed"
    assert outcomes["tracker"]["status"] == "failed"
    assert "Error(" in outcomes["tracker"]["detail"]


def test_a_step_that_takes_too_long_leaves_no_process(tmp_path):
    started = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {started}; wait"
    with pytest.raises(StepError, match="no result within 1 s"):
        run(["bash", "-c", script], 1)
    status = Path(f"/proc/{started.read_text().strip()}/stat")
    deadline = time.monotonic() + 5
    # A zombie stays until its new parent waits for it.
    while status.exists() and status.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_report_goes_to_out_after_every_step(tmp_path):
    """The last step here ends the check itself, as a time limit of the machine would."""
    code = """
import os, sys
from benchmarks.gpu import __main__ as check
check.device = lambda: {"name": "Test"}
check.steps = lambda *_: {
    "build": lambda: ("", {}), "tests": lambda: ("", {"n": 1}), "tracker": lambda: os._exit(9)
}
check.main([])
"""
    out = tmp_path / "out"
    environment = {**os.environ, "OUT": str(out), "CINEFLOW_REVISION": "abc"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False)
    assert done.returncode == 9
    (path,) = out.iterdir()
    report = json.loads(path.read_text())
    assert [step["name"] for step in report["steps"]] == ["build", "tests"]
    assert report["steps"][1]["data"] == {"n": 1}
    assert not report["complete"]


def test_the_revision_is_stated_where_git_cannot_know_it(monkeypatch, tmp_path):
    monkeypatch.setenv("CINEFLOW_REVISION", "0123abc")
    assert gpu_check.revision() != "0123abc", "this is a checkout"
    monkeypatch.setattr(gpu_check, "ROOT", tmp_path)
    assert gpu_check.revision() == "0123abc"
    monkeypatch.delenv("CINEFLOW_REVISION")
    assert gpu_check.revision() == "unknown"


def test_the_steps_end_within_eight_minutes_with_the_sanitizers_last():
    assert list(gpu_check.steps("")) == list(gpu_check.LIMITS)
    assert sum(gpu_check.LIMITS.values()) <= 8 * 60
    assert list(gpu_check.LIMITS)[-2:] == ["memcheck", "racecheck"]


def test_without_a_compiler_nothing_else_runs(check):
    done = check(programs=A_GPU)
    assert done.returncode == 1
    report = report_of(done)
    assert [(step["name"], step["status"]) for step in report["steps"]] == [("build", "missing")]
    assert not report["complete"]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is absent: nothing can be built")
def test_the_build_step_makes_a_package_that_imports(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        [
            str(ROOT / "benchmarks/gpu_check.sh"), "--only", "build", "--architectures", "90-real",
            "--out", str(tmp_path), "--build-limit", "1200",
        ],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    site = ROOT / "build/gpu/site"
    code = "from cineflow import _C; print(_C.__file__, _C.cuda_architectures())"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert Path(loaded[0]).parent == site / "cineflow"
    assert loaded[1] == "90"


@pytest.mark.slow
def test_the_systems_are_measured_on_any_device():
    """Here on the CPU, where nothing differs."""
    command = [sys.executable, "-m", "benchmarks.gpu.systems", "--device", "cpu"]
    command += ["--only", "pairwise_motion", "pairwise_motion_window"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert [*figures] == ["pairwise_motion", "pairwise_motion_window"]
    for one in figures.values():
        assert one["worst"] == 0.0
        assert set(one["holds"]) == {"30", "60"}
    window = figures["pairwise_motion_window"]
    frames = window["fps"] * window["median_ms"] / 1e3
    assert frames == pytest.approx(8, rel=0.01), "one run is for eight frames"


@pytest.mark.slow
def test_streams_are_measured_on_any_device(check):
    """Here on the CPU; without a runtime for the card the step is missing, not passed."""
    command = [sys.executable, "-m", "benchmarks.gpu.serving", "--device", "cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])["figures"]
    assert [*figures] == ["lucas_kanade in onnxruntime", "fading in onnxruntime"]
    assert all(one["worst"] == 0.0 for one in figures.values())
    assert figures["fading in onnxruntime"]["through_host_ms"] > 0
    done = check("--only", "serving", programs=A_GPU)
    (step,) = report_of(done)["steps"]
    assert step["status"] == "missing"
    assert "no runtime runs on the card: tensorrt: " in step["detail"]
