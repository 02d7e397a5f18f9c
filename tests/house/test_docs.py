"""Every command in README and docs runs.

The ```sh and ```python blocks of each document run in order, from the repository's root, with this
environment's commands first on PATH. `cineflow serve` stays up until the end of its document.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]
    if path.name != "CHANGELOG.md" and not path.parent.name.startswith(".")
)
CODE = re.compile(r"^ *```.*?^ *```|`[^`]+`", re.MULTILINE | re.DOTALL)
SERVED_PORT = re.compile(r"cineflow serve .*--port (\d+)")
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)

#: Pages that export models, measure a machine or make whole phantoms.
SLOW = {
    "analyse.md",
    "beats.md",
    "dicom_objects.md",
    "export.md",
    "kinds.md",
    "measurements.md",
    "phantoms.md",
    "real_time.md",
}

#: Commands that cannot run inside the test run -> the command that runs instead.
INSTEAD = {
    r"make (setup|test|test-full|lint|format)": "make --dry-run {0}",  # it would run itself
    r"make (bench\S*)": "make --dry-run {0}",  # too long
    r"make (client-cpp|scanner-sim)": "make --dry-run {0}",  # a compiler's minutes
    r"(bash )?\.ci/run": "bash -n .ci/run",
    r"benchmarks/gpu_check\.sh": "bash -n benchmarks/gpu_check.sh",
}


@dataclass(frozen=True)
class Block:
    language: str
    text: str

    def commands(self) -> list[str]:
        """One command per line. A backslash continues a command; comments are skipped."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def blocks(document: Path) -> list[Block]:
    """A document's blocks, with the ports of servers replaced by free ones."""
    text = document.read_text()
    for port in set(SERVED_PORT.findall(text)):
        text = text.replace(port, str(free_port()))
    return [Block(*match) for match in BLOCK.findall(text)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def substitute(command: str) -> str:
    """The command to run here. The user's `clip.dcm` becomes the real example clip."""
    import pydicom.examples

    command = command.replace("clip.dcm", str(pydicom.examples.get_path("ybr_color")))
    for pattern, instead in INSTEAD.items():
        match = re.fullmatch(pattern + r"(\s+#.*)?", command)
        if match:
            return instead.format(*match.groups())
    return command


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """PATH with this interpreter's commands first."""
    scripts = Path(sys.executable).parent
    return {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}


def run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-4000:]}"


def in_its_tier(document: Path) -> Any:
    """Long pages are slow; other tests run the same steps in the fast tier."""
    slow = document.name in SLOW or document.parent.name == "systems"
    marks = [pytest.mark.timeout(1800), pytest.mark.slow] if slow else [pytest.mark.timeout(600)]
    return pytest.param(document, id=str(document.relative_to(ROOT)), marks=marks)


@pytest.mark.parametrize("document", map(in_its_tier, DOCUMENTS))
def test_commands_run(document: Path, environment: dict[str, str]) -> None:
    servers: list[subprocess.Popen[bytes]] = []
    program = ""  # each Python block of a document continues the previous ones
    given = blocks(document)
    try:
        for following, block in enumerate(given, start=1):
            if block.language == "python":
                program += block.text
                if following == len(given) or given[following].language != "python":
                    run([sys.executable, "-c", program], environment)
                continue
            for command in map(substitute, block.commands()):
                if command.startswith("cineflow serve"):
                    servers.append(start_server(command, environment))
                else:
                    run(["bash", "-c", command], environment)
    finally:
        for server in servers:
            server.send_signal(signal.SIGINT)
        codes = [server.wait(timeout=60) for server in servers]
    assert all(code == 130 for code in codes), f"cineflow serve ended with {codes}"


def start_server(command: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Starts `cineflow serve` and waits until it prints its address."""
    log = ROOT / "build" / "docs-serve.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as out:
        server = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
    deadline = time.monotonic() + 120
    while "serving" not in log.read_text().lower():
        assert server.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.2)
    return server


def test_the_readme_shows_a_picture_and_the_two_commands_early() -> None:
    head = (ROOT / "README.md").read_text().splitlines()[:40]
    text = "\n".join(head)
    picture = re.search(r'(?:!\[[^\]]*\]\(|<img[^>]*src=")([^)"]+)', text)
    assert picture, "no picture before line 40"
    assert (ROOT / picture[1]).is_file(), picture[1]
    assert "make demo" in text
    assert "make test" in text


def test_relative_links_lead_somewhere() -> None:
    broken = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in [*DOCUMENTS, ROOT / "CHANGELOG.md"]
        for target in re.findall(r"\]\(([^)#\s]+)", CODE.sub("", document.read_text()))
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)
