"""Runs that begin ahead of the stream change nothing but the time."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from cineflow.errors import FrameError
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.ahead import running_ahead
from cineflow.runtime.stream import Stream


class Watched:
    """An engine that notes the threads that it ran in."""

    def __init__(self, engine) -> None:
        self.engine, self.threads = engine, []
        self.name, self.model, self.kernels = engine.name, engine.model, engine.kernels
        self.concurrent = True

    def run(self, inputs):
        self.threads.append(threading.current_thread())
        return self.engine.run(inputs)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load("lucas_kanade")


@pytest.fixture(scope="module")
def engine(bundle: Bundle):
    return open_engine(bundle, threads=1)


def flows(bundle: Bundle, engine, frames, told, workers: int) -> list[np.ndarray]:
    with running_ahead(engine, bundle.spec, iter(told), workers) as ahead:
        stream = Stream(ahead, bundle.spec)
        return [stream.push(frame).flow for frame in frames]


def test_results_are_the_same_and_every_run_is_in_another_thread(
    bundle: Bundle, engine, moving_frames: np.ndarray
) -> None:
    frames = moving_frames[:7, :64, :80]
    plain, watched = Watched(engine), Watched(engine)
    wanted = flows(bundle, plain, frames, frames, 1)
    assert set(plain.threads) == {threading.current_thread()}
    found = flows(bundle, watched, frames, frames, 2)
    np.testing.assert_array_equal(found, wanted)
    assert len(watched.threads) == 6
    assert threading.current_thread() not in watched.threads
    assert not [one for one in threading.enumerate() if one.name.startswith("ahead")]


def test_frames_that_were_not_told_are_still_tracked_rightly(
    bundle: Bundle, engine, moving_frames: np.ndarray
) -> None:
    frames = moving_frames[:5, :64, :80]
    wanted = flows(bundle, engine, frames, frames, 1)
    np.testing.assert_array_equal(flows(bundle, engine, frames, frames[:3], 2), wanted)
    np.testing.assert_array_equal(flows(bundle, engine, frames, frames[::-1], 2), wanted)


def test_a_refused_frame_is_refused_by_the_stream(
    bundle: Bundle, engine, moving_frames: np.ndarray
) -> None:
    frames = list(moving_frames[:3, :64, :80].astype(np.float32))
    frames[2] = np.full_like(frames[2], np.nan)
    with pytest.raises(FrameError, match="finite"):
        flows(bundle, engine, frames, frames, 2)
