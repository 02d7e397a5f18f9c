"""Latency per frame of the default model: in process, through gRPC tensors, through shared memory.

Measured with the same frames, on the same machine and in the same run as bench_opencv.py.
"""

from __future__ import annotations

import pytest

from benchmarks.serving.conftest import Measure
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream
from cineflow.serving import TritonServer
from cineflow_client import Client
from cineflow_client.session import Transport

pytestmark = pytest.mark.benchmark(group="latency per frame, 256x256")


def bench_in_process(measure: Measure, bundle: Bundle) -> None:
    engine = open_engine(bundle)  # as the server does: only the transport differs
    stream = Stream(engine, bundle.spec)
    measure(lambda frame: stream.push(frame).flow)


@pytest.mark.parametrize("transport", ["grpc", "shm"])
def bench_through_triton(measure: Measure, server: TritonServer, transport: Transport) -> None:
    with Client(server.url) as client, client.stream("lucas_kanade", transport) as stream:
        measure(lambda frame: stream.push(frame).flow)
        assert stream.transport == transport
