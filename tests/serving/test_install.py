"""Finding and installing the server: an installed one is used, a partial one never appears."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from cineflow.serving import (
    ServerInstallError,
    ServerNotFoundError,
    find_server,
    install,
    install_server,
    interpreter,
    server_directory,
)
from cineflow.serving.interpreter import libpython_folder, running_version, site_folders

OTHER_PYTHON = "3.12" if running_version() != "3.12" else "3.11"


@pytest.fixture
def no_server_on_path(monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)


def put_wheel(folder: Path, version: str = running_version()) -> None:
    """Empty files in place of those that are looked for in the wheel."""
    server = folder / "pytriton" / "tritonserver"
    for file in (
        server / "bin" / "tritonserver",
        server / "python_backend_stubs" / version / "triton_python_backend_stub",
        folder / f"nvidia_pytriton-{install.WHEEL_VERSION}.dist-info" / "METADATA",
    ):
        file.parent.mkdir(parents=True)
        file.touch()


def put_container(folder: Path, python: str) -> Path:
    """A tritonserver as NVIDIA's container has it; returns the folder for PATH."""
    binary = folder / "bin" / "tritonserver"
    stub = folder / "backends" / "python" / "triton_python_backend_stub"
    for file in (binary, stub):
        file.parent.mkdir(parents=True)
    binary.write_text("#!/bin/sh\n")
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    stub.write_bytes(b"\0GLIBC\0libpython" + python.encode() + b".so.1.0\0")
    return binary.parent


def test_the_real_server_is_found_and_lists_its_options(server_binary):
    assert server_binary.path.is_file()
    assert {"model-repository", "grpc-port", "backend-directory"} <= server_binary.options


def test_no_server(tmp_path, no_server_on_path):
    with pytest.raises(ServerNotFoundError, match=r"none on PATH.*`cineflow serve`"):
        find_server(tmp_path)


def test_one_on_path_wins(tmp_path, monkeypatch):
    put_wheel(tmp_path / "wheel")
    monkeypatch.setenv("PATH", str(put_container(tmp_path / "opt", running_version())))
    assert find_server(tmp_path / "wheel").source == "PATH"
    monkeypatch.setenv("PATH", os.defpath)
    assert find_server(tmp_path / "wheel").source == "wheel"


def test_one_on_path_made_for_another_python(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(put_container(tmp_path, OTHER_PYTHON)))
    with pytest.raises(ServerInstallError, match=rf"Python {OTHER_PYTHON}.* on PATH"):
        find_server(tmp_path)


def test_a_wheel_without_a_stub_for_this_python(tmp_path, no_server_on_path):
    put_wheel(tmp_path, version=OTHER_PYTHON)
    with pytest.raises(ServerInstallError, match=f"{OTHER_PYTHON}.*got Python"):
        find_server(tmp_path)


def test_where_it_goes(monkeypatch, tmp_path):
    monkeypatch.setenv("CINEFLOW_SERVER_DIR", str(tmp_path / "mine"))
    assert server_directory() == tmp_path / "mine"
    monkeypatch.delenv("CINEFLOW_SERVER_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert server_directory().parent == tmp_path / "cache" / "cineflow"


def test_two_at_once_install_once(tmp_path, monkeypatch):
    runs = []

    def slow_pip(folder, progress):
        runs.append(folder)
        assert not (tmp_path / "server").exists()
        progress(1, 2, "downloading")
        time.sleep(0.2)
        put_wheel(folder)

    monkeypatch.setattr(install, "_pip_install", slow_pip)
    seen = []
    installers = [
        threading.Thread(
            target=install_server,
            args=(tmp_path / "server",),
            kwargs={"progress": lambda *amounts: seen.append(amounts)},
        )
        for _ in range(2)
    ]
    for thread in installers:
        thread.start()
    for thread in installers:
        thread.join()
    assert len(runs) == 1
    assert seen == [(1, 2, "downloading")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server", "server.lock"]


def failing_python(folder: Path, says: str) -> str:
    program = folder / "python"
    program.write_text(f"#!/bin/sh\necho '{says}'\nexit 1\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("says", "remedy"),
    [("No module named pip", "ensurepip"), ("ERROR: No matching distribution found", "glibc 2.35")],
)
def test_pip_fails(tmp_path, monkeypatch, says, remedy):
    monkeypatch.setattr(sys, "executable", failing_python(tmp_path, says))
    with pytest.raises(ServerInstallError, match=says) as error:
        install_server(tmp_path / "server")
    assert remedy in error.value.remedy
    assert not (tmp_path / "server").exists()
    assert not list(tmp_path.glob(".server-*"))


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("42")
    with pytest.raises(ServerInstallError, match="other files"):
        install_server(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "42"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ServerInstallError, match="CINEFLOW_SERVER_DIR"):
        install_server(tmp_path / "file" / "server")


def test_a_static_python(monkeypatch, tmp_path):
    values = {"INSTSONAME": "libpython3.99.a", "LIBDIR": str(tmp_path), "MULTIARCH": "none"}
    monkeypatch.setattr(interpreter.sysconfig, "get_config_var", values.get)
    monkeypatch.setattr(interpreter.sys, "base_prefix", str(tmp_path))
    with pytest.raises(ServerInstallError, match="shared library"):
        libpython_folder()
    (tmp_path / f"libpython{running_version()}.so.1.0").touch()
    assert libpython_folder() == tmp_path


def test_the_stub_is_told_where_the_packages_are():
    import numpy

    assert str(Path(numpy.__file__).parents[1]) in site_folders()
    assert not any(folder.endswith("lib-dynload") for folder in site_folders())
