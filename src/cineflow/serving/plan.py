"""What a server's program, its supervisor and its models' processes tell each other.

Standard library only: the supervisor starts quickly.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

#: A file of `vitals.py` starts with this; the model's name follows.
PULSE = struct.Struct("<qqq")


class Pulse(NamedTuple):
    """Monotonic times in ns of a model's process.

    Attributes:
        beat_ns: Its last sign of life.
        busy_since_ns: When the oldest request that runs began; 0 without one.
        owed: How many frames have no response yet that are computed outside of Triton's call.
    """

    beat_ns: int
    busy_since_ns: int
    owed: int


@dataclass(frozen=True)
class Plan:
    """What to run, how to watch it, and what to leave behind: nothing.

    Attributes:
        command: The server's command line, without the models to load.
        parent: Process id of the program that wants the server; when it is gone, so is the server.
        log: File that takes the server's output.
        shared_memory_prefix: Start of the names of this server's segments in /dev/shm.
        grace_s: Seconds between asking the server to end and killing it.
        streams_s: Seconds of these that streams get to end. It is killed then if one is live.
        remove: Folders and files to remove when the program is gone and cannot do it.
        preload: Library that the server loads first. It takes the server's hidden arguments from
            the environment.
        repository: Folder of model folders.
        scratch: Folder that lives as long as the program's server; see `Scratch`.
        http_port: Where the server says whether it is ready.
        key_file: File with what the server knows its own user by; for the control of its models.
        restarts: How often the server is started again within ten minutes, or one of its models
            loaded again.
        stall_s: Seconds without a pulse after which a model's process counts as stalled.
        hang_s: Seconds after which a request counts as hanging.
        ready_s: Seconds that a restarted server gets until it is ready.
    """

    command: list[str]
    parent: int
    log: str
    shared_memory_prefix: str
    grace_s: float
    streams_s: float
    remove: list[str]
    preload: str
    repository: str
    scratch: str
    http_port: int
    key_file: str
    restarts: int
    stall_s: float
    hang_s: float
    ready_s: float

    def to_json(self) -> str:
        """This plan as the command-line argument that `main` reads."""
        return json.dumps(asdict(self))


class Scratch(NamedTuple):
    """The files that the program, this process and the server share.

    Attributes:
        models: Models to load with the next start: JSON, a list; absent if all are loaded.
        started: Exists once the program has seen its server ready.
        state: The present `State`.
        vitals: Folder of the files that `vitals.py` writes.
        made: Names of the folders that the server makes elsewhere, one per line.
    """

    models: Path
    started: Path
    state: Path
    vitals: Path
    made: Path

    @classmethod
    def of(cls, folder: str | Path) -> Scratch:
        """The files of a scratch folder."""
        return cls(*(Path(folder, name) for name in cls._fields))


class State(NamedTuple):
    """What the supervisor last did.

    Attributes:
        pid: Process id of the present server.
        restarts: How often it was started again.
        reason: Why it was the last time, or a model loaded again; empty if neither was.
        reloads: How often a model was loaded again.
    """

    pid: int
    restarts: int
    reason: str
    reloads: int = 0


def note(log: str, text: str) -> None:
    """Add a line of the supervisor's to the server's log."""
    with open(log, "ab") as file:
        file.write(f"cineflow: {text}\n".encode())
