"""What happened to the streams of a model, one line of JSON for each, in files that rotate.

A line has a time (UTC), the model, the event, the sequence's random id, and the ids of the trace
that the stream belongs to, if any. It never has a frame, a result, or anything of a patient.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from cineflow.served import TRACEPARENT

#: Names the folder of the files.
EVENTS_VARIABLE = "CINEFLOW_EVENTS"
#: Size at which a file is put aside, and how many are kept.
_MOST_BYTES, _KEPT = 4_000_000, 5
#: Stream events of the metrics that have another name here.
_NAMES = {"started": "opened"}
_ENDS = {"refused", "ended", "gone", "expired"}


def event_folder(folder: Path | None) -> dict[str, str]:
    """The environment of a server that writes its events into a folder, which is made if missing.

    Raises:
        OSError: It cannot be made.
    """
    if folder is None:
        return {}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {EVENTS_VARIABLE: str(folder.resolve())}


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Readable by its owner only, in an open folder also: an id is the token of its stream."""

    def _open(self) -> TextIOWrapper:
        created = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return open(created, "a", encoding=self.encoding)


class EventLog:
    """The events of one model. Any thread may write.

    Args:
        folder: Folder of the files, which must be there; None or "" writes nothing.
        model: The served name: `<model>.jsonl` is the present file.
        most_bytes: Size at which a file is put aside.
    """

    def __init__(self, folder: str | None, model: str, most_bytes: int = _MOST_BYTES) -> None:
        self._model = model
        self._traces: dict[int | str, Mapping[str, str]] = {}
        self._handler: _PrivateFile | None = None
        if folder:
            path = Path(folder, f"{model}.jsonl")
            self._handler = _PrivateFile(
                path, maxBytes=most_bytes, backupCount=_KEPT, encoding="utf-8", delay=True
            )
            # A full disk must not fill the server's log as well.
            self._handler.handleError = lambda record: None  # type: ignore[method-assign]

    def begin(self, sequence: int | str, parameters: Mapping[str, Any]) -> None:
        """A stream is about to start. Its trace goes with every event of the sequence."""
        parts = str(parameters.get(TRACEPARENT, "")).split("-")
        if len(parts) == 4 and self._handler is not None:
            self._traces[sequence] = {"trace_id": parts[1][:32], "span_id": parts[2][:16]}

    def stream(self, event: str, sequence: int | str) -> None:
        """Something happened to a stream; see `StreamTable`."""
        self.write(_NAMES.get(event, event), sequence=sequence, **self._traces.get(sequence, {}))
        if event in _ENDS:
            self._traces.pop(sequence, None)

    def write(self, event: str, **more: Any) -> None:
        """Write one line."""
        if self._handler is None:
            return
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "model": self._model, "event": event, **more})
        record = logging.LogRecord("cineflow", logging.INFO, "", 0, line, None, None)
        self._handler.handle(record)

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            self._handler.close()
