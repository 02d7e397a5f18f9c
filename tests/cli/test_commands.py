"""`stream`, `serve` and `doctor`, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
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


def test_serve_stays_until_ctrl_c(cineflow, server_binary, tmp_path: Path) -> None:
    models, log = tmp_path / "models", tmp_path / "server.log"
    (earlier := models / "lucas_kanade-deadbeef").mkdir(parents=True)
    (earlier / "config.pbtxt").write_text("nothing that loads")
    ended = cineflow(
        "serve", "--port", 0, "--repository", models, "--log", log, interrupt_at="Ctrl-C"
    )
    assert ended.code == 130, log.read_text()
    assert ended.left == []
    assert "lucas_kanade-" in ended.out
    assert "Traceback" not in ended.err


def test_doctor_shows_what_would_be_used() -> None:
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
    for command in ("demo", "export", "serve", "stream", "phantom", "doctor"):
        assert command in done.stdout
    assert "not for diagnosis" in done.stdout


def test_phantom_writes_a_cine_with_its_truth(tmp_path: Path) -> None:
    path = tmp_path / "beat.npz"
    done = CliRunner().invoke(_app(), ["phantom", "--out", str(path), "--frame-rate", "10"])
    assert done.exit_code == 0, done.output
    with np.load(path) as saved:
        assert len(saved["frames"]) == len(saved["displacement"]) == len(saved["times_ms"])
        assert np.abs(saved["displacement"][saved["es"]]).max() > 5  # px: the wall moved


def test_phantom_of_an_unknown_view_or_kind_of_file(tmp_path: Path) -> None:
    for arguments in (
        ["x-ray", "--out", str(tmp_path / "a.npz")],
        ["--out", str(tmp_path / "a.doc")],
    ):
        done = CliRunner().invoke(_app(), ["phantom", *arguments])
        assert done.exit_code == 2
        assert "wanted" in done.output
    assert not list(tmp_path.iterdir())
