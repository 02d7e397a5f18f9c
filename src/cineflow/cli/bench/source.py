"""One source of frames, in a process of its own: what a scanner is to the server.

It reads one line of JSON (`Job`), says "ready" when its stream has run a few frames, reads the time
of the first frame, and writes its times to a file. An idle process of the same kind runs the empty
loop.

    python -m cineflow.cli.bench.source < job
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cineflow.cli.bench.loop import Sent, displayed, empty, paced

if TYPE_CHECKING:
    from cineflow_client import Pending
    from cineflow_client.session import Transport
    from cineflow_client.waiting import Policy

#: Frames before the measurement: a runtime plans its memory on the first it sees.
WARM_UP_FRAMES = 10
#: Frames of a greedy source on their way at once; a stream's default.
_IN_FLIGHT = 4


@dataclass(frozen=True)
class Job:
    """What one process does.

    Attributes:
        out: The .npz file that it writes.
        mode: "empty", "greedy", "in process", "grpc" or "shm".
        count: Frames.
        period_s: From one frame to the next; 0: the next one when the last has come back.
        pause_every: After how many frames the source pauses; 0: never.
        pause_s: For how long.
        newest: Whether the source is a display, which drops frames instead of being late.
        frames: The .npy file with the frames; sent there and back, so that nothing jumps.
        given: The .npz file with the model's further inputs, named "start.<name>" and
            "each.<name>"; "" without any.
        target: Address of the server, or folder of the bundle in process.
        model: Served name.
        secure: Folder of the client's certificates; "" for a plain connection.
    """

    out: str
    mode: str
    count: int = 0
    period_s: float = 0.0
    pause_every: int = 0
    pause_s: float = 0.0
    newest: bool = False
    frames: str = ""
    given: str = ""
    target: str = ""
    model: str = ""
    secure: str = ""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    def due(self, start_s: float) -> np.ndarray:
        """When each frame is due, if the first one is at `start_s`."""
        due = start_s + self.period_s * np.arange(self.count)
        if self.pause_every:
            due += self.pause_s * (np.arange(self.count) // self.pause_every)
        return due


class Frames:
    """The arguments of `push` for frame k: the frames there and back, and the further inputs."""

    def __init__(self, job: Job) -> None:
        self._frames = np.load(job.frames, mmap_mode="r")
        self._turn = [*range(len(self._frames)), *range(len(self._frames) - 2, 0, -1)]
        given = dict(np.load(job.given)) if job.given else {}
        self._start = {name[6:]: one for name, one in given.items() if name.startswith("start.")}
        self._each = {name[5:]: one for name, one in given.items() if name.startswith("each.")}

    def __getitem__(self, k: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        frame = np.asarray(self._frames[self._turn[k % len(self._turn)]])
        return frame, (self._start if k == 0 else {}) | self._each


@contextlib.contextmanager
def opened(job: Job, computed_ms: list[float]) -> Iterator[Callable[[int], Any]]:
    """A stream; the function sends frame k and waits for its result.

    For a display it does not wait, and returns the frame in flight. `computed_ms` takes the time
    that the computation of each frame took at the server.
    """
    frames = Frames(job)
    if job.mode == "in process":
        from cineflow.runtime import Bundle, open_engine
        from cineflow.runtime.stream import Stream

        bundle = Bundle.load(job.target)
        here = Stream(open_engine(bundle), bundle.spec)

        def push_here(k: int) -> object:
            frame, given = frames[k]
            return here.push(frame, given=given)

        yield push_here
        return
    from cineflow_client import Client, FrameDropped

    transport: Transport = "grpc" if job.mode == "grpc" else "shm"
    policy: Policy = "newest" if job.newest else "every"
    with (
        Client(job.target, secure=job.secure or None) as client,
        client.stream(job.model, transport, policy=policy) as there,
    ):

        def note(sent: Pending) -> None:
            with contextlib.suppress(FrameDropped):
                times = sent.result().times
                computed_ms.extend([] if times is None else [times.compute_ms])

        def submit_there(k: int) -> object:
            frame, given = frames[k]
            sent = there.submit(frame, given=given)
            sent.add_done_callback(note)
            return sent

        if job.newest:
            yield submit_there
            return

        def push_there(k: int) -> object:
            frame, given = frames[k]
            result = there.push(frame, given=given)
            computed_ms.extend([] if result.times is None else [result.times.compute_ms])
            return result

        yield push_there


def _greedy(job: Job, ended: Callable[[], bool]) -> int:
    """Send as fast as results come, with every slot in flight; returns how many came."""
    from cineflow_client import Client

    frames = Frames(job)
    count = 0
    with Client(job.target, secure=job.secure or None) as client, client.stream(job.model) as there:
        frame, given = frames[0]
        there.push(frame, given=given)
        print("ready", flush=True)
        waiting: deque[Pending] = deque()
        while not ended():
            frame, given = frames[count + 1]  # what comes once came with the first one
            waiting.append(there.submit(frame, given=given, wait_s=60.0))
            if len(waiting) == _IN_FLIGHT:
                waiting.popleft().result()
            count += 1
    return count


def _told_to_end() -> Callable[[], bool]:
    """Whether a line has come on stdin since."""
    ended = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.readline()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    return ended.is_set


def _was_dropped(frame: Sent) -> bool:
    from cineflow_client import FrameDropped

    try:
        frame.result()
    except FrameDropped:
        return True
    return False


def main() -> None:
    job = Job(**json.loads(sys.stdin.readline()))
    if job.mode == "empty":
        print("ready", flush=True)
        np.savez(job.out, stalls=empty(_told_to_end()))
        return
    if job.mode == "greedy":
        np.savez(job.out, frames=_greedy(job, _told_to_end()))
        return
    computed_ms: list[float] = []
    with opened(job, computed_ms) as push:
        warm = paced(
            lambda k: push(k).result() if job.newest else push(k), np.zeros(WARM_UP_FRAMES), 0.0
        )
        print("ready", flush=True)
        start_s = float(sys.stdin.readline())

        def send(k: int) -> Any:
            return push(WARM_UP_FRAMES + k)

        due = job.due(start_s)
        if job.newest:
            times = displayed(send, _was_dropped, due, job.period_s)
        else:
            times = paced(send, due, job.period_s)
    np.savez(
        job.out,
        due=times.due,
        sent=times.sent,
        received=times.received,
        warm_up_ms=warm.latency_ms,
        computed_ms=computed_ms,
    )


if __name__ == "__main__":
    main()
