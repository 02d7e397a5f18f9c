"""`stream`, `serve` and `doctor`, as a user calls them."""

from __future__ import annotations

import importlib.metadata
import json
import re
import socket
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.examples import get_path
from typer.testing import CliRunner

from cineflow.cli import _app, console
from cineflow.export.recipe import builtin_recipes
from cineflow.runtime import Bundle
from cineflow.runtime.store import EngineKey, EngineStore


def test_stream_through_a_running_server(server, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    arguments = ["stream", get_path("ybr_color"), "--url", server.url, "--out", str(folder)]
    done = CliRunner().invoke(_app(), list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert "loop closure" in done.stdout
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["frames"] == 30
    copies = repeats_of(get_path("ybr_color"))
    assert copies, "the real clip holds copies of frames"
    assert summary["repeated_frames"] == copies
    for shown in (" ".join(done.stdout.split()), (folder / "report.html").read_text()):
        assert "the frame before exactly" in shown
    assert (folder / "report.html").stat().st_size > 100_000


def repeats_of(path: Path) -> list[int]:
    """Frames of a DICOM file that are copies of the frame before, compared as they are stored."""
    frames = pydicom.dcmread(path).pixel_array
    return [k for k in range(1, len(frames)) if np.array_equal(frames[k], frames[k - 1])]


def test_serve_stays_until_ctrl_c(
    cineflow, server_binary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And tells the service manager when it is ready, as the unit of deploy/ expects."""
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    models, log = tmp_path / "models", tmp_path / "server.log"
    (earlier := models / "lucas_kanade-deadbeef").mkdir(parents=True)
    (earlier / "config.pbtxt").write_text("nothing that loads")
    events = tmp_path / "new" / "events"
    where = ("--repository", models, "--log", log, "--events", events)
    ended = cineflow("serve", "--port", 0, *where, interrupt_at="Ctrl-C")
    assert ended.code == 130, log.read_text()
    assert events.stat().st_mode & 0o777 == 0o700
    with told:
        told.settimeout(5.0)
        assert told.recv(1000).startswith(b"READY=1\nSTATUS=serving on 127.0.0.1:")
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


def test_version() -> None:
    done = CliRunner().invoke(_app(), ["--version"])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"cineflow {importlib.metadata.version('cineflow')}\n"


def test_export_help_lists_every_recipe() -> None:
    done = CliRunner().invoke(_app(), ["export", "--help"])
    assert done.exit_code == 0, done.output
    names = builtin_recipes()
    assert len(names) >= 2
    for name in names:
        assert name in done.stdout


def test_doctor_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part, state and remedy can be read: no word of them is broken across lines."""
    monkeypatch.setattr(console.out, "width", 80)
    done = CliRunner().invoke(_app(), ["doctor"])
    assert max(map(len, done.stdout.splitlines())) <= 80
    found = json.loads(CliRunner().invoke(_app(), ["doctor", "--json"]).stdout)
    lines = done.stdout.splitlines()
    words = set(done.stdout.split())
    for finding in found:
        assert any(
            re.match(rf"{re.escape(finding['part'])} +{finding['state']} ", x) for x in lines
        )
        assert set(finding["remedy"].split()) <= words


def test_engine_list_and_prune_without_removing(tmp_path: Path) -> None:
    bundle = Bundle.load("lucas_kanade")
    store = EngineStore(tmp_path)
    key = EngineKey(bundle.spec.name, bundle.hash, "tensorrt-rtx", "1.7", "86", "fp32")
    store.get_or_build(key, lambda: bytes(3 * 2**19))
    other = EngineKey("elsewhere", "ab" * 32, "tensorrt-rtx", "1.7", "86", "fp32")
    stranger, _ = store.get_or_build(other, lambda: bytes(2**20))

    def engine(*arguments: str) -> str:
        done = CliRunner().invoke(_app(), ["engine", *arguments, "--store", str(tmp_path)])
        assert done.exit_code == 0, done.output
        return done.stdout

    (line,) = (x for x in engine("list").splitlines() if x.startswith(key.id[:12]))
    assert bundle.hash8 in line
    assert "1.5 MiB" in line
    shown = engine("prune", "--keep", "lucas_kanade", "--dry-run")
    assert "would remove" in shown
    assert stranger.folder.name[:12] in shown
    assert "1.0 MiB" in shown
    assert key.id[:12] not in shown
    assert len(store.engines()) == 2
    assert "removed" in engine("prune", "--keep", "lucas_kanade")
    assert [one.key for one in store.engines()] == [key]
