"""What the C++ client does beyond the cases: policies, forks, padding, the C face."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cineflow.serving import TritonServer
from cineflow_client import (
    CertificateUnusable,
    CineflowClientError,
    FrameDropped,
    FrameRejected,
    ModelNotFound,
    ServerUnavailable,
    StreamBusy,
    StreamClosed,
)
from tests.client_cpp.driver import CppClient, Driver
from tests.client_cpp.fixtures import built, driver, frames

__all__ = ["driver", "frames"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the first one builds the client


@pytest.fixture
def client(driver: Driver, server: TritonServer) -> CppClient:
    return CppClient(driver, server.url)


def test_the_newest_frame_goes_first(client: CppClient, frames: np.ndarray) -> None:
    stream = client.stream("lucas_kanade", policy="newest", slots=1)
    numbers = [stream.submit(frames[k % 36]) for k in range(40)]
    assert numbers == list(range(40))
    results, dropped = [], 0
    while len(results) + dropped < 40:
        try:
            came = stream.next(20)
        except FrameDropped:
            dropped += 1
        else:
            assert came is not None
            results.append(came)
    assert results[-1][0] == 39  # the last one waits, and no newer one comes
    assert dropped > 0
    assert stream.about().dropped == f"{dropped}"
    gaps = sum(int(tensors["indices"][5]) for _, tensors in results)
    assert gaps == dropped - results[0][0]  # those before the first result leave no gap
    stream.close()


def test_a_frame_past_its_deadline_is_dropped(client: CppClient, frames: np.ndarray) -> None:
    stream = client.stream("lucas_kanade", policy="deadline", deadline_ms=1, slots=1)
    for k in range(6):
        stream.submit(frames[k])
    dropped = 0
    for _ in range(6):
        try:
            assert stream.next(20) is not None
        except FrameDropped:
            dropped += 1
    assert dropped > 0
    assert stream.about().dropped == f"{dropped}"
    stream.close()


def test_every_frame_or_a_refusal(client: CppClient, frames: np.ndarray) -> None:
    stream = client.stream("lucas_kanade", slots=2)
    stream.submit(frames[0])
    stream.submit(frames[1])
    with pytest.raises(StreamBusy, match="2 frames in flight"):
        any(stream.submit(frame) < 0 for frame in frames)  # until one is refused
    stream.submit(frames[0], wait_s=20)
    stream.close()


def test_frames_of_another_size_are_padded(driver: Driver, server: TritonServer) -> None:
    """As the Python client pads them, in both transports, bytes and floats in turn."""
    from cineflow_client import Client

    clip = np.random.default_rng(0).integers(0, 256, (4, 100, 150)).astype(np.uint8)
    for transport in ("shm", "grpc"):
        stream = CppClient(driver, server.url, floats=True).stream("lucas_kanade", transport)
        with Client(server.url) as python, python.stream("lucas_kanade", "grpc") as twin:
            for k, frame in enumerate(clip):
                sent = frame if k % 2 else frame.astype(np.float32)
                here = twin.push(sent)
                there = stream.push(sent)
                assert there["flow"].shape == (2, 100, 150)
                np.testing.assert_array_equal(there["flow"], here.flow)
                np.testing.assert_array_equal(there["displacement"], here.displacement)
        stream.close()


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (np.zeros((64, 80), np.float32), "float32 frames only"),
        (np.zeros((64, 96), np.uint8), "64x80"),
    ],
)
def test_a_frame_that_does_not_fit(client: CppClient, frame: np.ndarray, words: str) -> None:
    stream = client.stream("lucas_kanade")
    good = np.full((64, 80), 7, np.uint8)
    stream.push(good)
    with pytest.raises(FrameRejected, match=words):
        stream.push(frame)
    assert stream.push(good)["indices"][0] == 1
    stream.close()


def test_floats_of_another_scale(driver: Driver, server: TritonServer) -> None:
    stream = CppClient(driver, server.url, floats=True).stream("lucas_kanade")
    ramp = np.linspace(0, 1, 64 * 80, dtype=np.float32).reshape(64, 80)
    for wrong, words in ((ramp, "scaled to 0..1"), (500 * ramp, "values from 0 to 500")):
        with pytest.raises(FrameRejected, match=words):
            stream.push(wrong)
    assert stream.push(255 * ramp)["indices"][0] == 0
    stream.close()


def test_a_forked_child_touches_nothing(
    driver: Driver, client: CppClient, frames: np.ndarray
) -> None:
    stream = client.stream("lucas_kanade")
    stream.push(frames[0])
    assert stream.ask("fork") == ["0"]
    assert stream.push(frames[1])["indices"][0] == 1
    stream.close()


def test_what_cannot_be_opened(driver: Driver, server: TritonServer, client: CppClient) -> None:
    frame = np.zeros((64, 80), np.uint8)
    with pytest.raises(ModelNotFound):
        client.stream("no_such_model").push(frame)
    with pytest.raises(FrameRejected, match="a height of"):
        client.stream("lucas_kanade").push(np.zeros((8, 80), np.uint8))
    with pytest.raises(CineflowClientError, match="readings on request of strain, state"):
        client.stream("lucas_kanade", readings=("flow",)).push(frame)
    with pytest.raises(CineflowClientError, match="2 positive numbers"):
        client.stream("lucas_kanade", spacing_mm=(0.3, -1.0)).push(frame)
    with pytest.raises(CineflowClientError, match="deadline_ms"):
        client.stream("lucas_kanade", policy="deadline").push(frame)
    for url in ("127.0.0.1", "host:99999", "/a:1"):
        with pytest.raises(ServerUnavailable, match="host:port"):
            driver.ask("client", url)
    nowhere = CppClient(driver, "127.0.0.1:1", timeout_s=2)
    with pytest.raises(ServerUnavailable, match="cineflow serve"):
        nowhere.stream("lucas_kanade").push(frame)
    driver.ask("client", server.url)
    assert driver.ask("ready")[0] == ["yes"]


def test_when_a_frame_passed_where(client: CppClient, frames: np.ndarray) -> None:
    """The clocks of client and server are one here, so the offset must allow for 0."""
    stream = client.stream("lucas_kanade")
    for k, frame in enumerate(frames[:4]):
        before_s = time.monotonic()
        tensors = stream.push(frame, time_ms=33.0 * k)
        captured_ms, sent_s, started_s, computed_s, received_s, offset_s, error_s = stream.said[
            "times"
        ]
        assert captured_ms == 33.0 * k
        assert before_s < sent_s < started_s < computed_s < received_s < time.monotonic()
        assert abs(offset_s) <= error_s
    assert "deadline" not in tensors
    stream.close()


def test_a_rate_and_a_budget(client: CppClient, frames: np.ndarray) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    stream = client.stream("lucas_kanade", rate=0.1, budget_ms=9000, traceparent=trace)
    for frame in frames[:3]:
        told = stream.push(frame)["deadline"]
    holds, expected_ms, load, late_frames = told
    assert holds == 1
    assert expected_ms > 0
    assert load > 0
    assert late_frames == 0
    stream.close()
    late = client.stream("lucas_kanade", rate=30, budget_ms=0.001)
    for count, frame in enumerate(frames[:3], start=1):
        assert late.push(frame)["deadline"][3] == count
    assert late.about().late_frames == "3"
    late.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rate": 30}, "a rate with a budget_ms"),
        ({"rate": -1, "budget_ms": 33}, "a rate above 0"),
        ({"rate": 30, "budget_ms": 1e9}, "a budget_ms above 0"),
        ({"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"}, "a traceparent"),
    ],
)
def test_what_cannot_be_declared(client: CppClient, options: dict[str, Any], words: str) -> None:
    with pytest.raises(CineflowClientError, match=words):
        client.stream("lucas_kanade", **options).push(np.zeros((64, 80), np.uint8))


def test_certificates_that_do_not_do(driver: Driver, certificates: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(certificates, tmp_path / "certs")
    (folder / "client.key").chmod(0o644)
    with pytest.raises(CertificateUnusable, match="permissions 0644"):
        CppClient(driver, "127.0.0.1:1", secure=folder)
    (folder / "ca.crt").write_text("no PEM")
    (folder / "client.key").chmod(0o600)
    with pytest.raises(CertificateUnusable, match="PEM with a CERTIFICATE"):
        CppClient(driver, "127.0.0.1:1", secure=folder)
    (folder / "ca.crt").unlink()
    with pytest.raises(CertificateUnusable, match=r"the file .*ca\.crt"):
        CppClient(driver, "127.0.0.1:1", secure=folder)


def test_another_depth_begins_another_stream(client: CppClient, frames: np.ndarray) -> None:
    """With the settings of the one before."""
    stream = client.stream("lucas_kanade", readings=("strain",), rate=1, budget_ms=5000)
    stream.push(frames[0])
    other = stream.another((64, 96), (0.5, 0.5))
    tensors = other.push(np.ascontiguousarray(frames[1][:64, :96]))
    assert tensors["indices"][:2].tolist() == [0, 0]
    assert tensors["strain"].shape == (3, 64, 96)
    assert "deadline" in tensors
    assert other.unit == "mm"
    with pytest.raises(StreamClosed):
        stream.push(frames[1])
    with pytest.raises(FrameRejected, match="a height of"):
        other.another((8, 96))
    with pytest.raises(StreamClosed):  # it has ended all the same
        other.push(np.ascontiguousarray(frames[1][:64, :96]))
    stream.close()
    other.close()


@pytest.fixture
def programs() -> Path:
    return built()


#: What docs/client_cpp.md says of `submit`: processor time of the sender, us. 35 were measured.
SUBMIT_P99_US = 100


@pytest.mark.parametrize(
    "how",
    [
        "128 160 1500 every poll",
        "128 160 1500 newest callback",
        "100 150 400 newest poll float32",  # padded
        "128 160 400 deadline poll uint8 grpc",
    ],
)
def test_a_sender_allocates_nothing(programs: Path, server: TritonServer, how: str) -> None:
    """Counted by an allocator's hook, after 64 frames; and `submit` keeps its bound."""
    done = subprocess.run(
        [programs / "tests/real_time", server.url, "lucas_kanade", *how.split()],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    said = done.stdout.split()
    found = dict(zip(said[:8:2], map(int, said[1:8:2]), strict=True))
    sent = int(how.split()[2]) + 64
    assert found == {"frames": sent, "results": sent, "errors": 0, "allocations": 0}
    _, p99_us, _ = map(float, said[said.index("submit_cpu_us") + 1 :][:3])
    assert p99_us < SUBMIT_P99_US
    assert said[-2:] == ["direct", "0" if "grpc" in how else "1"]


def test_the_example_in_c(programs: Path, server: TritonServer) -> None:
    done = subprocess.run(
        [programs / "track_clip", server.url, "lucas_kanade"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    assert lines[-1].startswith("6 -> 7, quality ")
    assert lines[-1].endswith("flow 2x256x256")
    failed = subprocess.run(
        [programs / "track_clip", server.url, "no_such_model"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert failed.returncode == 1
    assert failed.stderr.startswith("ModelNotFound: wanted the model 'no_such_model'")


def test_the_scanner(programs: Path, server: TritonServer) -> None:
    done = subprocess.run(
        [programs / "scanner_sim", server.url, "lucas_kanade", "1"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(",")[0].strip() for line in lines] == ["30 fps", "60 fps", "120 fps"]
    assert all("missed deadlines" in line and "ring" in line for line in lines)
