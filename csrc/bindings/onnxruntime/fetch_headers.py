"""Get ONNX Runtime's C headers for libcineflow_ort.so, from Debian.

Debian has them as libonnxruntime-dev from release 13 on. On an older one this takes the package
from the archive that the machine's apt already names, checked with the keys it already trusts, and
unpacks it into build/onnxruntime, where CMake looks. Nothing is installed, no root is needed: apt
works in a folder of its own.

Without the headers all else builds, and sessions run the function bodies that ONNX files carry. So
a machine where they cannot be had is told so, and this is no error (exit code 0).
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

#: Hooks of the machine (a desktop's catalogue, say) are for its own lists; ours are thrown away.
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


class NotToBeHadError(Exception):
    """Why the headers cannot be had, in words."""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Output of a command; its first line of complaint where it fails."""
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
        complaints = re.findall(r"^(?:E|Err): ?(.+)", error.stderr, re.MULTILINE)
        reason = complaints[0] if complaints else f"exit code {error.returncode}"
        raise NotToBeHadError(f"{command[0]}: {reason}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotToBeHadError(str(error)) from error
    return done.stdout


def folder_of_headers() -> Path | None:
    """Where the headers are already: named by the user, the system's, or fetched before."""
    named = os.environ.get("CINEFLOW_ORT_INCLUDE")
    roots = [Path("/usr/include"), Path("/usr/local/include"), TARGET / "usr/include"]
    places = [Path(named)] if named else [root / "onnxruntime" for root in roots]
    return next((place for place in places if (place / HEADER).is_file()), None)


def sources_line() -> str:
    """apt's line for the release that has the package, on the mirror that this machine uses."""
    try:
        system = platform.freedesktop_os_release()
    except OSError as error:
        raise NotToBeHadError("this system does not say what it is") from error
    if system["ID"] != "debian":
        raise NotToBeHadError(f"{system['NAME']} has no {PACKAGE} that apt knows")
    own = system["VERSION_CODENAME"]
    # What apt would fetch; known without lists and without root.
    planned = run("apt-get", "--print-uris", "update")
    mirrors = re.findall(rf"^'(\S+)/dists/{own}/InRelease'", planned, re.MULTILINE)
    if not mirrors:
        raise NotToBeHadError(f"apt names no source for {own}")
    # Testing and unstable carry no number: they are newer than every release.
    number = int(system.get("VERSION_ID", sys.maxsize))
    release = FIRST_RELEASE[1] if number < FIRST_RELEASE[0] else own
    return f"deb [target=Packages] {mirrors[0]} {release} main\n"


def download(folder: Path) -> Path:
    """The package file: as apt knows it, or else from a source of our own."""
    try:
        run("apt-get", "download", PACKAGE, cwd=folder)
    except NotToBeHadError:
        (folder / "sources.list").write_text(sources_line())
        (folder / "apt.conf").write_text(APT_CONF.format(folder=folder))
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True)
        run("apt-get", "-c", folder / "apt.conf", "update")
        run("apt-get", "-c", folder / "apt.conf", "download", PACKAGE, cwd=folder)
    return next(folder.glob(f"{PACKAGE}_*.deb"))


def fetch() -> str:
    """Unpack the package into `TARGET`; returns its file name (package, version, architecture)."""
    TARGET.parent.mkdir(exist_ok=True)
    # Beside the target, so that the last step is a rename: there whole, or not at all.
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
    except NotToBeHadError as reason:
        print(
            f"ONNX Runtime headers: none here ({reason}). libcineflow_ort.so is left out; ONNX "
            f"Runtime uses the operators inside the model files instead. To have it: install "
            f"{PACKAGE}, or name the folder of {HEADER} in CINEFLOW_ORT_INCLUDE."
        )


if __name__ == "__main__":
    main()
