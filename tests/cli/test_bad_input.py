"""Bad input to the commands: a panel that says what is wrong, exit code 2, nothing left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
import urllib.request
from pathlib import Path

import numpy as np
import pydicom
import pytest
import typer
from pydicom.examples import get_path
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.cli.console import go_on, guarded

FRAMES = np.random.default_rng(1).integers(0, 255, (6, 64, 80), np.uint8)


@pytest.fixture
def bad(write_dicom, tmp_path: Path):
    """Bad clips by name."""
    import cv2

    def make(kind: str) -> Path:
        path = tmp_path / f"{kind}.dcm"
        whole = Path(get_path("ybr_color")).read_bytes()
        if kind == "no-dicom":
            path.write_text("hello " * 100)
        elif kind == "truncated":
            path.write_bytes(whole[:100_000])
        elif kind == "truncated-tags":
            path.write_bytes(whole[:3000])
        elif kind == "truncated-pixels":
            return write_dicom(FRAMES, PixelData=FRAMES[:3].tobytes())
        elif kind == "truncated-frame":
            header = pydicom.dcmread(get_path("ybr_color"))
            encoded = list(pydicom.encaps.generate_frames(header.PixelData, number_of_frames=30))
            encoded[3] = encoded[3][:900]
            header.PixelData = pydicom.encaps.encapsulate(encoded)
            header.save_as(path)
        elif kind == "one-frame":
            return write_dicom(FRAMES[:1])
        elif kind == "no-pixels":
            return write_dicom(FRAMES, PixelData=None)
        elif kind == "unknown":
            path = tmp_path / "clip.xyz"
            path.write_bytes(b"\x00" * 500)
        elif kind == "empty-video":
            path = tmp_path / "empty.mp4"
            path.touch()
        elif kind == "one-frame-video":
            path = tmp_path / "one.avi"
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (80, 64))
            writer.write(np.repeat(FRAMES[0][..., None], 3, axis=2))
            writer.release()
        return path

    return make


KINDS = {
    "missing": "MissingFileError",
    "no-dicom": "NotDicomError",
    "truncated": "TruncatedError",
    "truncated-tags": "TruncatedError",
    "truncated-pixels": "TruncatedError",
    "truncated-frame": "TruncatedError",
    "one-frame": "SingleFrameError",
    "no-pixels": "NoPixelDataError",
    "unknown": "UnknownTypeError",
    "empty-video": "EmptyVideoError",
    "one-frame-video": "SingleFrameError",
}


@pytest.mark.parametrize("command", ["demo", "stream"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_clip(command: str, kind: str, bad, tmp_path: Path) -> None:
    clip, folder = bad(kind), tmp_path / "out"
    arguments = {
        "demo": ["demo", "--input", clip, "--out", folder],
        "stream": ["stream", clip, "--url", "127.0.0.1:1", "--out", folder],
    }[command]
    done = CliRunner().invoke(_app(), [str(argument) for argument in arguments])
    assert done.exit_code == 2, done.output
    assert KINDS[kind] in done.stderr
    for word in ("wanted", "got", "remedy"):
        assert word in done.stderr
    assert done.stdout == ""
    assert not folder.exists()


def test_a_bad_clip_prints_only_the_panel(cineflow, bad) -> None:
    """Libraries must not print their own log next to it (pydicom would)."""
    ended = cineflow("demo", "--input", bad("truncated-frame"), "--out", "out")
    assert ended.code == 2
    assert ended.left == []
    assert ended.out == ""
    lines = ended.err.strip().splitlines()
    assert lines[0].startswith("╭")
    assert lines[-1].startswith("╰")


def test_no_server(write_dicom) -> None:
    done = CliRunner().invoke(_app(), ["stream", str(write_dicom(FRAMES)), "--url", "127.0.0.1:1"])
    assert done.exit_code == 2
    assert "ServerUnavailable" in done.stderr
    assert "cineflow serve" in done.stderr


def test_a_model_the_server_does_not_have(write_dicom, server) -> None:
    arguments = ["stream", str(write_dicom(FRAMES)), "--url", server.url, "--model", "nonesuch"]
    done = CliRunner().invoke(_app(), arguments)
    assert done.exit_code == 2
    assert "ModelNotFound" in done.stderr


def test_a_port_that_is_taken(server_binary) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(_app(), ["serve", "--port", str(port)])
    assert done.exit_code == 2
    assert "PortTakenError" in done.stderr
    assert str(port) in done.stderr


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_number_that_is_not_a_port(port: str) -> None:
    done = CliRunner().invoke(_app(), ["serve", "--port", port])
    assert done.exit_code == 2
    assert "--port" in done.stderr


def test_an_address_that_is_not_this_machines(server_binary) -> None:
    done = CliRunner().invoke(_app(), ["serve", "--port", "0", "--host", "203.0.113.1"])
    assert done.exit_code == 2
    assert "AddressUnusableError" in done.stderr


def test_a_server_that_dies_under_the_stream(
    cineflow, server_binary, repository, write_dicom
) -> None:
    from cineflow.serving import TritonServer

    with TritonServer(repository, binary=server_binary) as server:

        def kill_once_it_streams() -> None:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                metrics = urllib.request.urlopen(server.metrics_url, timeout=5).read().decode()
                counts = re.findall(r"^cineflow_frames_total\{.*\} (\d+)", metrics, re.M)
                if sum(map(int, counts)) > 20:
                    break
                time.sleep(0.02)
            os.kill(server.pid, signal.SIGKILL)

        clip = write_dicom(np.concatenate([FRAMES] * 60))
        ended = cineflow("stream", clip, "--url", server.url, meanwhile=kill_once_it_streams)
    assert ended.code == 2
    assert ended.left == []
    assert "ServerDied" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("command", ["demo", "stream", "serve", "log", "phantom"])
def test_a_path_that_cannot_be_written(
    command: str, server, write_dicom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes before anything is streamed or served."""
    import cineflow_client

    monkeypatch.setattr(cineflow_client.Client, "stream", lambda *_: pytest.fail("too late"))
    (tmp_path / "file").touch()
    target, clip = tmp_path / "file" / "out", write_dicom(FRAMES)
    arguments = {
        "demo": ["demo", "--input", clip, "--out", target],
        "stream": ["stream", clip, "--url", server.url, "--out", target],
        "serve": ["serve", "--port", 0, "--repository", target],
        "log": ["serve", "--port", 0, "--log", target],
        "phantom": ["phantom", "--frame-rate", 5, "--out", target.with_suffix(".npz")],
    }[command]
    done = CliRunner().invoke(_app(), [str(argument) for argument in arguments])
    assert done.exit_code == 2, done.exception
    assert re.search("Not a directory|File exists", done.stderr)
    assert "remedy" in done.stderr


def test_an_unknown_bundle_and_an_unknown_recipe(tmp_path: Path) -> None:
    done = CliRunner().invoke(_app(), ["serve", str(tmp_path / "nothing")])
    assert done.exit_code == 2
    assert "BundleError" in done.stderr
    done = CliRunner().invoke(_app(), ["export", "nonesuch", "--out", str(tmp_path / "bundle")])
    assert done.exit_code == 2
    assert "ExportError" in done.stderr
    assert not (tmp_path / "bundle").exists()


def test_an_interrupt_that_a_library_swallowed_still_ends_the_command() -> None:
    """gRPC swallows it while it starts. The command must not keep running."""

    steps = []

    @guarded
    def command() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        steps.append("before")
        go_on()
        steps.append("after")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 130
    assert steps == ["before"]
    assert signal.getsignal(signal.SIGINT) is before
