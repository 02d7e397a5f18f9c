"""The served contract: what crosses the wire between a cineflow server and its clients.

Ports, enums, results, and how a result becomes tensors and comes back, stand here and nowhere else.
The Triton configuration, the backend, the client and the tables of docs/serving.md read this
folder. The client carries a copy, because it is installed without cineflow; a test compares the
two. Standard library and NumPy only. A spec is its JSON form here
(`ModelSpec.to_json`).

results.py   what a stream says about one frame
readings.py  the table of readings
ports.py     the tensors on the wire, and the limits
tensors.py   a result as tensors, and back
direct.py    the messages of a direct connection
"""

from __future__ import annotations

from cineflow_client.served.direct import Messages, Payload, packed, send
from cineflow_client.served.ports import (
    BUDGET,
    COMPUTED,
    CONTRACT,
    DATATYPES,
    DEADLINE,
    DIRECT,
    INDICES,
    KEEP_ALIVE,
    LAST_INDEX,
    LATE_FRAMES,
    MOST_LOST_FRAMES,
    NOTES,
    PERIOD,
    RESUMED,
    ROUND_TRIP,
    STATE,
    TRACEPARENT,
    Port,
    batch_limit,
    call_ports,
    misplaced_points,
    raw_outputs,
    reserved_names,
    stream_inputs,
    stream_outputs,
)
from cineflow_client.served.readings import (
    READINGS,
    Needs,
    Reading,
    has_reading,
    lacking,
)
from cineflow_client.served.results import (
    BeatInfo,
    Cause,
    Deadline,
    Output,
    Quality,
    Result,
    Rhythm,
    Times,
    changed,
)
from cineflow_client.served.tensors import (
    Codec,
    decode,
    described_output,
    encode,
    motion_outputs,
)

__all__ = [
    "BUDGET",
    "COMPUTED",
    "CONTRACT",
    "DATATYPES",
    "DEADLINE",
    "DIRECT",
    "INDICES",
    "KEEP_ALIVE",
    "LAST_INDEX",
    "LATE_FRAMES",
    "MOST_LOST_FRAMES",
    "NOTES",
    "PERIOD",
    "READINGS",
    "RESUMED",
    "ROUND_TRIP",
    "STATE",
    "TRACEPARENT",
    "BeatInfo",
    "Cause",
    "Codec",
    "Deadline",
    "Messages",
    "Needs",
    "Output",
    "Payload",
    "Port",
    "Quality",
    "Reading",
    "Result",
    "Rhythm",
    "Times",
    "batch_limit",
    "call_ports",
    "changed",
    "decode",
    "described_output",
    "encode",
    "has_reading",
    "lacking",
    "misplaced_points",
    "motion_outputs",
    "packed",
    "raw_outputs",
    "reserved_names",
    "send",
    "stream_inputs",
    "stream_outputs",
]
