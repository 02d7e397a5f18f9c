"""The files of deploy/ agree with the command, with one another, and with what is in the tree."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cineflow.cli import _app

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
#: Keys of the Compose specification that the file may use, and no others.
SERVICE_KEYS = {
    "build", "image", "user", "network_mode", "ipc", "security_opt", "cap_drop", "environment",
    "volumes", "command", "stop_grace_period", "restart", "deploy",
}  # fmt: skip
INSTRUCTIONS = {
    "ARG", "FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL",
    "ENTRYPOINT", "CMD",
}  # fmt: skip


def dockerfile() -> list[tuple[str, str]]:
    """Instructions and their arguments; continued lines are joined."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if line[:1] != "#"]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line]  # type: ignore[misc]


def unit() -> dict[str, list[str]]:
    """Values of the unit by key, whatever the section."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "cineflow.service").read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["cineflow"]


def arguments_of_the_image() -> list[str]:
    given = dict(dockerfile())
    assert json.loads(given["ENTRYPOINT"])[1:] == ["serve"]
    return json.loads(given["CMD"])


def arguments_of_the_unit() -> list[str]:
    (line,) = unit()["ExecStart"]
    command, serve, *rest = shlex.split(line)
    assert (Path(command).name, serve) == ("cineflow", "serve")
    return rest


def flat(arguments: list[str]) -> list[str]:
    return [part for one in arguments for part in one.split("=", 1)]


@pytest.fixture(scope="module")
def options() -> set[str]:
    shown = CliRunner().invoke(_app(), ["serve", "--help"], env={"COLUMNS": "200"}).output
    return set(re.findall(r"--[a-z][a-z-]+", shown))


ARGUMENTS = {
    "image": arguments_of_the_image,
    "unit": arguments_of_the_unit,
    "compose": lambda: compose()["command"],
}


@pytest.mark.parametrize("where", ARGUMENTS)
def test_what_is_started_is_what_the_command_takes(where: str, options: set[str]) -> None:
    words = flat(ARGUMENTS[where]())
    assert {word for word in words if word.startswith("--")} <= options
    values = dict(zip(words[1::2], words[2::2], strict=True))
    assert words[0] == "lucas_kanade"
    # Only this machine can reach it, and the ports are the documented ones.
    assert (values["--host"], values["--port"], values["--metrics-port"]) == (
        "127.0.0.1", "8001", "8002",
    )  # fmt: skip


def test_the_image_is_made_of_what_is_there() -> None:
    given = dockerfile()
    assert {name for name, _ in given} <= INSTRUCTIONS
    assert given[0] == ("ARG", "TRITON_IMAGE")  # no image by default: the user chooses the version
    assert [text.split()[0] for name, text in given if name == "FROM"] == ["${TRITON_IMAGE}"] * 2
    copied = set()
    for name, text in given:
        if name == "COPY" and not text.startswith("--from"):
            *sources, _ = text.split()
            copied |= set(sources)
            for source in sources:
                assert (ROOT / source).exists(), source
    assert copied >= {"pyproject.toml", "setup.py", "csrc", "src", "export", "client"}
    assert [text for name, text in given if name == "USER"] == ["10001"]  # not root
    assert any("useradd" in text and "--uid 10001 " in text for name, text in given)
    assert dict(given)["EXPOSE"].split() == ["8001", "8002"]
    for name in ("ENTRYPOINT", "CMD"):
        assert isinstance(json.loads(dict(given)[name]), list)  # no shell, so SIGTERM arrives
    _, check = dict(given)["HEALTHCHECK"].split("CMD ")
    compile(json.loads(check)[2], "HEALTHCHECK", "exec")


def test_the_build_needs_nothing_that_is_not_copied() -> None:
    """What MANIFEST.in ships for a build from source is in the image."""
    copied = {
        source
        for name, text in dockerfile()
        if name == "COPY" and "--from" not in text
        for source in text.split()[:-1]
    }
    listed = (ROOT / "MANIFEST.in").read_text().split("\n")
    words = {word for line in listed for word in line.split()[1:] if "*" not in word}
    needed = {word.split("/")[0] for word in words if (ROOT / word).exists()}
    assert needed - {"CHANGELOG.md"} <= copied  # which is for readers


def test_the_compose_file_builds_that_image() -> None:
    service = compose()
    assert set(service) <= SERVICE_KEYS
    context = (DEPLOY / service["build"]["context"]).resolve()
    assert (context / service["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    arguments = {text for name, text in dockerfile() if name == "ARG"}
    assert set(service["build"]["args"]) == arguments
    mounted = [volume.rsplit(":", 1)[1] for volume in service["volumes"]]
    assert service["environment"]["XDG_RUNTIME_DIR"] in mounted
    for word in flat(service["command"]):
        if word.startswith("/"):
            assert any(word.startswith(f"{folder}/") for folder in mounted), word


def test_the_unit_makes_the_folders_that_it_uses() -> None:
    found = unit()
    (line,) = found["ExecStart"]
    made = {"/run/cineflow": "RuntimeDirectory", "/var/lib/cineflow": "StateDirectory",
            "/var/log/cineflow": "LogsDirectory"}  # fmt: skip
    paths = re.findall(r"/(?:run|var)/[\w/.]+", " ".join([line, *found["Environment"]]))
    assert paths
    for path in paths:
        (key,) = {key for folder, key in made.items() if path.startswith(folder)}
        assert found[key] == ["cineflow"]
    assert found["Type"] == ["notify"]
    assert found["KillMode"] == ["mixed"]  # the command ends its own processes


#: What the linter of compose files may find, and why it stays.
ACCEPTED = {
    "CL-0008": "the machine's network: the server listens on its loopback only",
    "CL-0010": "the machine's /dev/shm: frames go through it",
    "CL-0013": "the user's runtime folder: the key to shared memory lies there",
    "CL-0007": "a root file system that can be written: not tried without",
    "CL-0019": "no digest: the image is built here, and not pulled",
    "CL-0026": "no limits of processor and memory: the models decide what is needed",
}


def linter(name: str) -> str:
    """A program that came with this Python, or is on PATH."""
    folders = [str(Path(sys.executable).parent), os.environ["PATH"]]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.mark.slow
def test_a_linter_takes_the_dockerfile(tmp_path: Path) -> None:
    command = [linter("hadolint"), "--no-color"]
    done = subprocess.run([*command, DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    wrong = tmp_path / "Dockerfile"
    wrong.write_text((DEPLOY / "Dockerfile").read_text().replace("WORKDIR /src", "WORKDIR src"))
    done = subprocess.run([*command, wrong], capture_output=True, text=True)
    assert done.returncode == 1
    assert "DL3000" in done.stdout  # it would have been seen


@pytest.mark.slow
def test_a_linter_finds_nothing_new_in_the_compose_file() -> None:
    command = [linter("compose-lint"), "check", "--format", "json", "--no-env"]
    done = subprocess.run([*command, DEPLOY / "compose.yaml"], capture_output=True, text=True)
    found = {one["rule_id"] for one in json.loads(done.stdout)["findings"]}
    assert found == set(ACCEPTED), done.stdout


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """With a command and a user that exist here."""
    text = (DEPLOY / "cineflow.service").read_text()
    here = text.replace("/opt/cineflow/bin/cineflow", sys.executable)
    here = here.replace("User=cineflow", "User=root")
    path = tmp_path / "cineflow.service"
    path.write_text(here)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "cineflow" in line]
    assert (done.returncode, said) == (0, []), done.stderr
