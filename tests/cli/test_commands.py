"""`stream`, `serve` and `doctor`, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom.examples import get_path
from typer.testing import CliRunner

from cineflow.cli import _app


def test_stream_through_a_running_server(server, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    arguments = ["stream", get_path("ybr_color"), "--url", server.url, "--out", str(folder)]
    done = CliRunner().invoke(_app(), list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert "loop closure" in done.stdout
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["frames"] == 30
    assert (folder / "report.html").stat().st_size > 100_000


def test_serve_stays_until_ctrl_c(cineflow, server_binary) -> None:
    ended = cineflow("serve", "--port", 0, interrupt_at="Ctrl-C")
    assert ended.code == 130
    assert ended.left == []
    assert "lucas_kanade-" in ended.out
    assert "Traceback" not in ended.err


def test_doctor_says_what_would_be_used() -> None:
    done = CliRunner().invoke(_app(), ["doctor", "--json"])
    assert done.exit_code == 0, done.output
    findings = json.loads(done.stdout)
    by_part = {finding["part"]: finding for finding in findings}
    assert by_part["kernels (CPU)"]["state"] == "used"
    assert (
        sum(finding["state"] == "used" for finding in findings if "engine" in finding["part"]) == 1
    )
    for finding in findings:
        assert finding.keys() == {"part", "state", "detail", "remedy"}
        if finding["state"] == "broken":
            assert finding["remedy"]


def test_doctor_names_what_is_missing_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CINEFLOW_SERVER_DIR", str(tmp_path / "none"))
    done = CliRunner().invoke(_app(), ["doctor", "--json"])
    server = next(f for f in json.loads(done.stdout) if f["part"] == "server")
    assert server["state"] == "missing"
    assert "MB" in server["remedy"]
    table = CliRunner().invoke(_app(), ["doctor"])
    assert "missing" in table.stdout


def test_help_lists_every_command() -> None:
    done = CliRunner().invoke(_app(), ["--help"])
    for command in ("demo", "export", "serve", "stream", "doctor"):
        assert command in done.stdout
    assert "not for diagnosis" in done.stdout
