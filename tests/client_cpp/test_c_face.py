"""The C face against a real server: its errors, its callback, and all that a result says."""

from __future__ import annotations

import subprocess

import pytest

from cineflow.runtime import Bundle
from cineflow.serving import TritonServer
from tests.client_cpp.fixtures import built

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first one builds the client


def test_a_scanner_in_c(server: TritonServer) -> None:
    """Every error is filled, and emptied where nothing is wrong."""
    done = subprocess.run(
        [built() / "tests" / "c_scanner", server.url, "lucas_kanade"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    served_name = Bundle.load("lucas_kanade").served_name
    *lines, last = done.stdout.splitlines()
    assert last == "ended StreamClosed"
    engine = next(line for line in lines if line.startswith("engine "))
    assert engine.startswith("engine onnxruntime")
    lines.remove(engine)
    absent = lines[lines.index("absent Ok") + 1]
    assert "points" in absent
    lines.remove(absent)
    assert lines == [
        "fits 1 1 0",
        "open without a url CineflowClientError",
        "open Ok",
        "version Ok",
        "ready 1",
        "open without options CineflowClientError",
        "open with dtype 99 CineflowClientError",
        "open with policy -1 CineflowClientError",
        "open with transport 3 CineflowClientError",
        "next without a stream CineflowClientError",
        "error without a stream CineflowClientError",
        "call with dtype 99 CineflowClientError",
        "times of no model CineflowClientError",
        "times of no model ModelNotFound",
        "nothing: 0 0 1 ''",
        "open Ok",
        "next, nothing sent StreamBusy",
        "frame 1",
        "alive Ok",
        "wait Ok",
        "wait Ok",
        "acquire as 99: FrameRejected",
        "submit with beat 7: CineflowClientError",
        "0 -> 1, parts 1",
        "strain 3x64x80",
        "flow of 4 bytes each",
        "tensors 1",
        "absent Ok",
        "reason Ok",
        f"unread 0, {served_name}",
        "wait again CineflowClientError",
        "untrained Ok",
        "times Ok",
        "untrained 0 0, times 1",
        "open with a callback Ok",
        "results 6, errors 1",
        "direct 1 0",
        "next with a callback StreamBusy",
        "next of what has ended StreamClosed",
    ]
