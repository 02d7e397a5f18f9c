"""Get ONNX Runtime's C headers for libcineflow_ort.so, from Debian.

Debian 13 and later have the package libonnxruntime-dev. On an older release this script downloads
that package from the archive in the machine's own apt configuration, checks it with the keys that
apt already trusts, and unpacks it into build/onnxruntime, where CMake looks. It installs nothing
and needs no root: apt works in a temporary folder.

Without the headers everything else builds, and sessions run the function bodies in the ONNX files.
If the headers are not available, the script says so and exits with code 0.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = "libonnxruntime-dev"
HEADER = "onnxruntime_c_api.h"
FIRST_RELEASE = (13, "trixie")  # of Debian that has the package
TARGET = Path(__file__).resolve().parents[3] / "build" / "onnxruntime"

#: Clears the machine's hooks (for example a desktop's catalogue): they are for its own lists.
APT_CONF = """
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "{folder}/lists";
Dir::Cache "{folder}/cache";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
"""


class UnavailableError(Exception):
    """The headers are not available; the message says why."""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Returns the output of a command.

    Raises:
        UnavailableError: It failed; the message is the first error that apt printed.
    """
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
    except subprocess.CalledProcessError as error:
        errors = re.findall(r"^(?:E|Err): ?(.+)", error.stderr, re.MULTILINE)
        reason = errors[0] if errors else f"exit code {error.returncode}"
        raise UnavailableError(f"{command[0]}: {reason}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(str(error)) from error
    return done.stdout


def folder_of_headers() -> Path | None:
    """The folder that has the headers: named by the user, the system's, or fetched before."""
    named = os.environ.get("CINEFLOW_ORT_INCLUDE")
    roots = [Path("/usr/include"), Path("/usr/local/include"), TARGET / "usr/include"]
    folders = [Path(named)] if named else [root / "onnxruntime" for root in roots]
    return next((folder for folder in folders if (folder / HEADER).is_file()), None)


def sources_line() -> str:
    """apt's source line for a release that has the package, on this machine's mirror."""
    try:
        system = platform.freedesktop_os_release()
    except OSError as error:
        raise UnavailableError("this system has no os-release file") from error
    if system["ID"] != "debian":
        raise UnavailableError(f"{system['NAME']} has no package {PACKAGE}")
    own = system["VERSION_CODENAME"]
    # What apt would fetch. This needs neither package lists nor root.
    planned = run("apt-get", "--print-uris", "update")
    mirrors = re.findall(rf"^'(\S+)/dists/{own}/InRelease'", planned, re.MULTILINE)
    if not mirrors:
        raise UnavailableError(f"apt names no source for {own}")
    # Testing and unstable have no number: they are newer than every release.
    number = int(system.get("VERSION_ID", sys.maxsize))
    release = FIRST_RELEASE[1] if number < FIRST_RELEASE[0] else own
    return f"deb [target=Packages] {mirrors[0]} {release} main\n"


def download(folder: Path) -> Path:
    """Downloads the package from apt's sources, or else from our own source line."""
    try:
        run("apt-get", "download", PACKAGE, cwd=folder)
    except UnavailableError:
        (folder / "sources.list").write_text(sources_line())
        (folder / "apt.conf").write_text(APT_CONF.format(folder=folder))
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True)
        run("apt-get", "-c", folder / "apt.conf", "update")
        run("apt-get", "-c", folder / "apt.conf", "download", PACKAGE, cwd=folder)
    return next(folder.glob(f"{PACKAGE}_*.deb"))


def fetch() -> str:
    """Unpacks the package into `TARGET` and returns its name, version and architecture."""
    TARGET.parent.mkdir(exist_ok=True)
    # Next to the target, so that the last step is a rename: the folder is complete or absent.
    with tempfile.TemporaryDirectory(dir=TARGET.parent, prefix="onnxruntime-") as name:
        folder = Path(name)
        package = download(folder)
        run("dpkg-deb", "-x", package, folder / "unpacked")
        shutil.rmtree(TARGET, ignore_errors=True)
        (folder / "unpacked").rename(TARGET)
        return package.stem


def main() -> None:
    found = folder_of_headers()
    if found is not None:
        print(f"ONNX Runtime headers: {found}")
        return
    try:
        print(f"ONNX Runtime headers: {fetch()}, unpacked into {TARGET}")
    except UnavailableError as reason:
        print(
            f"ONNX Runtime headers: not found ({reason}). libcineflow_ort.so will not be built; "
            f"ONNX Runtime runs the operators inside the model files instead. To build it, install "
            f"{PACKAGE} or set CINEFLOW_ORT_INCLUDE to the folder of {HEADER}."
        )


if __name__ == "__main__":
    main()
