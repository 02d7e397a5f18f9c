"""Sending to a real storage server: Debian's storescp."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pydicom
import pydicom.examples
import pytest
from typer.testing import CliRunner

import cineflow.cli as cli
from cineflow.errors import ArgumentError
from cineflow.filing.send import Address


def test_an_address_is_a_title_a_host_and_a_port() -> None:
    assert Address.parse("ORTHANC@127.0.0.1:4242") == Address("ORTHANC", "127.0.0.1", 4242)
    assert Address.parse("A@[::1]:104") == Address("A", "::1", 104)
    for wrong in (
        "127.0.0.1:104",
        "A@host",
        "A@host:0",
        "A@host:70000",
        "x" * 17 + "@host:104",
        "",
    ):
        with pytest.raises(ArgumentError, match="AE@host:port"):
            Address.parse(wrong)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def invoke(*arguments: object):
    return CliRunner().invoke(cli._app(), ["send", *map(str, arguments)])


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pynetdicom")
    clip = pydicom.examples.get_path("ybr_color")
    done = invoke(clip, "--to", f"NOBODY@127.0.0.1:{free_port()}", "--timeout", 2)
    assert done.exit_code == 2
    text = tmp_path / "not_dicom.dcm"
    text.write_text("not DICOM")
    assert invoke(text, "--to", "A@127.0.0.1:104").exit_code == 2


@pytest.mark.slow
def test_objects_reach_a_real_server(tmp_path: Path) -> None:
    pytest.importorskip("pynetdicom")
    if shutil.which("storescp") is None:
        pytest.skip("storescp (Debian's dcmtk) is not installed")
    stored, sent, port = tmp_path / "stored", tmp_path / "sent", free_port()
    stored.mkdir()
    sent.mkdir()
    objects = []
    for name in ("ybr_color", "rgb_color"):  # two transfer syntaxes
        data = pydicom.dcmread(pydicom.examples.get_path(name))
        data.save_as(sent / f"{name}.dcm")
        objects.append(data)
    command = ["storescp", "--accept-all", "-aet", "STORE", "-od", str(stored), str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        done = invoke(sent, "--to", f"STORE@127.0.0.1:{port}")
        assert done.exit_code == 0, done.output
        assert done.output.count("stored") == 2
        found = {
            str(data.SOPInstanceUID): data
            for data in map(pydicom.dcmread, (p for p in stored.iterdir() if p.is_file()))
        }
        for data in objects:
            there = found[str(data.SOPInstanceUID)]
            assert there.PixelData == data.PixelData
            assert there.PatientName == data.PatientName
    finally:
        server.terminate()
        server.wait(timeout=10)
