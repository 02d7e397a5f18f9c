"""What the server writes down of its streams, and the trace that a stream belongs to."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from cineflow.serving import TritonServer
from cineflow.serving.events import EventLog
from cineflow_client import Client, ServerBusy
from cineflow_client.local_key import GRPC_HEADER, read_key

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"


def events_of(server: TritonServer) -> list[dict[str, Any]]:
    folder = Path(server._command.environment["CINEFLOW_EVENTS"])
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def test_what_happens_to_streams_is_written_down(
    small_server: TritonServer, moving_frames: np.ndarray
) -> None:
    before = len(events_of(small_server))
    with Client(small_server.url) as client:
        first = client.stream("lucas_kanade", traceparent=PARENT)
        first.push(moving_frames[0])
        ids = [first.sequence_id]
        with client.stream("lucas_kanade", resume_s=0) as second:
            second.push(moving_frames[0])
            ids.append(second.sequence_id)
            third = client.stream("lucas_kanade", traceparent=PARENT)
            with pytest.raises(ServerBusy):
                third.push(moving_frames[0])
            ids.append(third.sequence_id)
        time.sleep(1.5)
        first.push(moving_frames[1])  # it idled, and goes on in another sequence
        ids.append(first.sequence_id)
        first.close()
    found = events_of(small_server)[before:]
    traced = {"trace_id": TRACE, "span_id": SPAN}
    wanted: list[tuple[str, int, dict[str, str]]] = [
        ("opened", ids[0], traced),
        ("opened", ids[1], {}),
        ("refused", ids[2], traced),
        ("ended", ids[1], {}),
        ("expired", ids[0], traced),
        ("opened", ids[3], traced),
        ("resumed", ids[3], traced),
        ("ended", ids[3], traced),
    ]
    assert [(one["event"], one["sequence"]) for one in found] == [one[:2] for one in wanted]
    for one, (_, _, trace) in zip(found, wanted, strict=True):
        assert one.keys() == {"time", "model", "event", "sequence", *trace}
        assert {key: one[key] for key in trace} == trace
        assert one["model"].startswith("lucas_kanade-")


def test_a_file_of_events_is_its_owner_s_alone(tmp_path: Path) -> None:
    """An id is the token of its stream."""
    tmp_path.chmod(0o755)
    log = EventLog(str(tmp_path), "model", most_bytes=200)
    for sequence in range(5):
        log.stream("started", sequence)
    log.close()
    files = list(tmp_path.glob("model.jsonl*"))
    assert len(files) > 1
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_files_rotate_and_a_full_disk_harms_nothing(tmp_path: Path) -> None:
    log = EventLog(str(tmp_path), "model", most_bytes=1000)
    for sequence in range(100):
        log.stream("started", sequence)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["model.jsonl", *(f"model.jsonl.{k}" for k in range(1, 6))]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    last = (tmp_path / "model.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["sequence"] == 99
    EventLog("/dev/full/none", "model").stream("started", 1)
    EventLog(None, "model").stream("started", 1)


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An OpenTelemetry collector: its address, and the bodies that it was sent."""
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_address[1]}/v1/traces", bodies
    listening.shutdown()
    listening.server_close()


@pytest.mark.slow
def test_the_trace_reaches_tritons_own_spans(
    server_binary: Any,
    repository: Path,
    moving_frames: np.ndarray,
    collector: tuple[str, list[bytes]],
) -> None:
    address, bodies = collector
    with TritonServer(
        repository,
        binary=server_binary,
        options={"trace-config": "mode=opentelemetry"},
        environment={"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": address},
    ) as server:
        with Client(server.url) as client:
            request = service_pb2.TraceSettingRequest()
            request.settings["trace_level"].value.append("TIMESTAMPS")
            request.settings["trace_rate"].value.append("1")
            client.stub.TraceSetting(request, metadata=[(GRPC_HEADER, str(read_key(server.url)))])
            with client.stream("lucas_kanade", traceparent=PARENT) as stream:
                stream.push(moving_frames[0])
                stream.push(moving_frames[1])
        end = time.monotonic() + 15
        while TRACE.encode() not in b"".join(bodies) and time.monotonic() < end:
            time.sleep(0.2)
    spans = [
        span
        for body in bodies
        for resource in json.loads(body)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    assert any((one["traceId"], one.get("parentSpanId")) == (TRACE, SPAN) for one in spans)
