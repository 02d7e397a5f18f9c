"""`cineflow bench serve`: what its times prove, and the command itself on a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.cli.bench.cases import Case, Runner, busy, gpu_load
from cineflow.cli.bench.loop import MOST_EXCUSED, Times, Verdict, empty, judge, paced
from cineflow.cli.bench.source import Job
from cineflow.errors import ArgumentError
from cineflow.serving import TritonServer
from cineflow_client import Client


def times(latencies: list[float], period_s: float = 0.1) -> Times:
    """Frames that leave when they are due, or when the one before has come back."""
    due = period_s * np.arange(len(latencies))
    sent, received = due.copy(), due.copy()
    for k, latency in enumerate(latencies):
        sent[k] = due[k] if k == 0 else max(due[k], received[k - 1])
        received[k] = sent[k] + latency
    return Times(due, sent, received, period_s)


NO_STALLS = np.zeros((0, 2))


def test_a_result_in_time_holds() -> None:
    verdict = judge(times([0.05, 0.09, 0.01]), NO_STALLS)
    assert (verdict.holds, verdict.words()) == (True, "holds, 0 of 3 missed")


def test_the_time_that_a_frame_waits_for_the_one_before_counts() -> None:
    """Frame 1 takes 0.15 s; frame 2 leaves 0.05 s late and takes 0.08 s: both miss."""
    found = times([0.05, 0.15, 0.08, 0.01])
    np.testing.assert_allclose(found.latency_ms, [50, 150, 80, 10])
    assert judge(found, NO_STALLS) == Verdict(4, 2, 0)


@pytest.mark.parametrize(
    ("stall", "excused"),
    [
        ((0.12, 0.18), 1),  # within the frame's time, longer than the overshoot of 0.05 s
        ((0.12, 0.16), 0),  # shorter than the overshoot
        ((0.24, 0.40), 1),  # begins before the result is there
        ((0.26, 0.40), 0),  # begins after it
        ((0.00, 0.09), 0),  # ends before the frame is due
    ],
)
def test_a_miss_is_excused_by_a_stall_that_overlaps_and_covers_it(
    stall: tuple[float, float], excused: int
) -> None:
    verdict = judge(times([0.01, 0.15, 0.01]), np.array([stall]))
    assert (verdict.missed, verdict.excused) == (1 - excused, excused)


def test_many_excuses_void_a_run() -> None:
    count = MOST_EXCUSED + 1
    late = times([0.15, 0.01, 0.01] * count)
    stalls = np.stack([late.due[::3], late.due[::3] + 0.06], axis=1)
    verdict = judge(late, stalls)
    assert verdict.excused == count
    assert verdict.void
    assert not verdict.holds
    assert "void" in verdict.words()
    assert judge(late, stalls[:-1]) == Verdict(3 * count, 1, count - 1)


def test_the_paced_loop_sends_when_a_frame_is_due() -> None:
    start = time.monotonic() + 0.05
    taken: list[int] = []
    found = paced(taken.append, start + 0.02 * np.arange(5), 0.02)
    assert taken == [0, 1, 2, 3, 4]
    assert (found.sent >= found.due).all()
    assert (found.received >= found.sent).all()


def test_the_empty_loop_notes_what_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeps = iter([0.002, 0.05, 0.002])
    real = time.sleep
    monkeypatch.setattr(time, "sleep", lambda _: real(next(sleeps)))
    rounds = iter([False, False, False, True])
    stalls = empty(lambda: next(rounds))
    longest = max(woke - due for due, woke in stalls)
    assert 0.04 < longest < 1.0


@pytest.fixture
def runner(
    server: TritonServer, tmp_path: Path, moving_frames: np.ndarray
) -> Callable[..., Runner]:
    np.save(tmp_path / "frames.npy", moving_frames)

    def make(client: Client) -> Runner:
        name = client.model("lucas_kanade").served_name
        job = Job(out="", mode="", frames=str(tmp_path / "frames.npy"), model=name)
        return Runner(client, job, Path("lucas_kanade"))

    return make


def test_a_case_of_two_sources_on_a_real_server(
    server: TritonServer, runner: Callable[[Client], Runner]
) -> None:
    with Client(server.url) as client:
        before = client.times(client.model("lucas_kanade").served_name)
        found = runner(client).run(Case("a test", "shm", 20.0, 10, streams=2))
        after = client.times(client.model("lucas_kanade").served_name)
    assert [len(one.due) for one in found.times] == [10, 10]
    np.testing.assert_array_equal(found.times[0].due, found.times[1].due)  # one clock
    np.testing.assert_allclose(np.diff(found.times[0].due), 0.05)
    assert found.verdict is not None
    assert found.verdict.frames == 20
    figures = found.figures()
    assert 0 < figures["p50"] <= figures["p99"] <= figures["max"]
    assert "model" not in figures  # of streams at once, Triton does not know it
    # each of the two: the first frame, the watch, the end of the sequence, and a question each
    # second; the rest went directly
    assert 2 * (1 + 2) <= after.requests - before.requests < 2 * 10


def test_a_source_that_fails_says_why(
    server: TritonServer, runner: Callable[[Client], Runner], tmp_path: Path
) -> None:
    np.save(tmp_path / "frames.npy", np.zeros((3, 8, 8), np.uint8))
    with Client(server.url) as client, pytest.raises(ArgumentError, match=r"FrameRejected.*by 16"):
        runner(client).run(Case("a test", "grpc", 20.0, 5))


def test_a_display_drops_what_it_cannot_show(
    server: TritonServer, runner: Callable[[Client], Runner]
) -> None:
    """At a thousand frames per second; what it shows is not late, and the rest is counted."""
    with Client(server.url) as client:
        found = runner(client).run(Case("a test", "shm", 1000.0, 60, newest=True))
    figures = found.figures()
    assert figures["dropped"] == found.dropped > 0
    assert len(found.latency_ms) == 60 - found.dropped > 0
    assert np.isfinite(found.latency_ms).all()
    assert found.verdict is None
    assert np.isfinite(found.times[0].received[-1])  # the newest one is always shown


@pytest.mark.slow
def test_the_load_of_a_gpu_runs_on_another_device() -> None:
    """There is no GPU here, so the same program computes on the CPU."""
    with busy(gpu_load("cpu")) as process:
        time.sleep(5.0)
        assert process.poll() is None
    assert process.returncode == -9


@pytest.mark.parametrize("rates", ["", "a", "30,0", "-5", "1e9", "nan"])
def test_rates_that_are_none(rates: str) -> None:
    ended = CliRunner().invoke(_app(), ["bench", "serve", f"--rates={rates}"])
    assert ended.exit_code == 2
    assert "frames per second" in ended.output


def test_a_case_that_there_is_not() -> None:
    ended = CliRunner().invoke(_app(), ["bench", "serve", "--rates=20", "--case=30 fps"])
    assert ended.exit_code == 2
    assert "20 fps, 2 streams" in ended.output


@pytest.mark.slow
def test_one_case_alone(
    write_dicom: Callable[..., Path], moving_frames: np.ndarray, tmp_path: Path
) -> None:
    clip = write_dicom(moving_frames)
    arguments = ["bench", "serve", "--input", clip, "--rates", "20", "--seconds", "2"]
    arguments += ["--case", "20 fps, 2 streams", "--out", tmp_path]
    ended = CliRunner().invoke(_app(), [*map(str, arguments)])
    assert ended.exit_code == 0, ended.output
    found = json.loads((tmp_path / "results.json").read_text())
    assert [one["name"] for one in found["cases"]] == ["20 fps, 2 streams"]
    assert found["command"].endswith("--case '20 fps, 2 streams'")


@pytest.mark.slow
def test_the_command_writes_a_verdict_for_each_rate(
    write_dicom: Callable[..., Path], moving_frames: np.ndarray, tmp_path: Path
) -> None:
    clip = write_dicom(moving_frames)
    arguments = ["bench", "serve", "--input", clip, "--rates", "20,40", "--seconds", "2"]
    ended = CliRunner().invoke(_app(), [*map(str, arguments), "--out", str(tmp_path / "out")])
    assert ended.exit_code == 0, ended.output
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    paced_cases = {one["name"]: one for one in found["cases"] if one["verdict"]}
    assert set(paced_cases) == {
        "20 fps", "40 fps", "20 fps, 2 streams", "20 fps, every core busy",
        "20 fps next to a greedy stream",
    }  # fmt: skip
    times = paced_cases["40 fps"]["streams_times_s"][0]
    np.testing.assert_allclose(np.diff(times["due"]), 0.025, atol=2e-6)
    assert len(times["received"]) == 80
    page = (tmp_path / "out" / "report.html").read_text()
    for case in found["cases"]:
        assert case["name"] in page
        assert case["verdict"] in page
    assert "cineflow bench serve lucas_kanade --rates 20,40 --streams 2 --seconds 2" in page
    assert "http" not in page.replace("http://www.w3.org", "")
