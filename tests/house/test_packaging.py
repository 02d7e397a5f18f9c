"""The wheel: its contents, its exported symbols, and a lean installation without torch."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def quietly(*command: str | Path, **options: object) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}"
    return str(done.stdout)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tracked and new files, without build outputs."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = quietly(
        "git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"
    )
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def wheel(checkout: Path) -> Path:
    """What `make wheel` makes, for this environment's Python."""
    quietly("make", "-C", checkout, "wheel", "READY=", f"VENV={sys.prefix}", "DIST=wheels")
    (path,) = (checkout / "wheels").glob("cineflow-*.whl")
    return path


@pytest.fixture(scope="session")
def lean(checkout: Path, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A separate environment: the wheel, the client and the server's packages, without torch."""
    folder = tmp_path_factory.mktemp("lean")
    quietly(sys.executable, "-m", "venv", folder)
    quietly(
        *(folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"),
        *("-c", ROOT / "constraints.txt", checkout / "client", f"{wheel}[serve,client]"),
    )
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_holds_cineflow_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = [name for name in archive.namelist() if not name.endswith("/")]
        names = [name for name in files if ".dist-info/" not in name]
        (top_level,) = [name for name in archive.namelist() if name.endswith("top_level.txt")]
        assert archive.read(top_level).decode().split() == ["cineflow"]
    assert {name.split("/")[0] for name in names} == {"cineflow"}
    # It has every tracked file of the mapped folders, and no other files.
    tracked = quietly("git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "src", "export")
    expected = {
        name.removeprefix("src/") if name.startswith("src/") else f"cineflow/{name}"
        for name in tracked.split()
        if (ROOT / name).is_file()
    }
    built = {name for name in names if name.endswith(".so")}
    assert {Path(name).name.split(".")[0] for name in built} - {"libcineflow_ort"} == {
        "_C",
        "libcineflow_arguments",
    }
    assert set(names) - built == expected


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_wheel_needs_no_more_than_the_oldest_supported_glibc(wheel: Path) -> None:
    assert re.search(r"-manylinux_2_(\d+)_", wheel.name)[1] == "35"  # README states it


@pytest.mark.skipif(shutil.which("nm") is None, reason="binutils' nm is not installed")
def test_the_extension_exports_its_entry_point_only() -> None:
    from cineflow import _C

    symbols = quietly("nm", "-D", "--defined-only", "--format=posix", _C.__file__).splitlines()
    assert [line.split()[0] for line in symbols] == ["PyInit__C"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_lean_install_serves_and_streams_without_torch(lean: Path, tmp_path: Path) -> None:
    missing = "import importlib.util as u; print(*filter(u.find_spec, ['torch', 'onnx']))"
    assert quietly(lean / "bin/python", "-c", missing).split() == []
    out = tmp_path / "demo"
    # No compiler, and no other program of the machine.
    environment = {**without_this_venv(), "PATH": str(lean / "bin")}
    quietly(lean / "bin/cineflow", "demo", "--out", out, cwd=tmp_path, env=environment)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == 30
    assert summary["engine"].startswith("onnxruntime")


def without_this_venv() -> dict[str, str]:
    hidden = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}
    return {key: value for key, value in os.environ.items() if key not in hidden}
