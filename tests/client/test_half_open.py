"""A connection that goes silent without an end: a pulled cable, a proxy that hangs."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from cineflow.serving import TritonServer
from cineflow_client import Client, ServerDied

FRAME = np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8)


class Proxy:
    """Passes TCP connections on to a server. Once silent, it keeps them and passes nothing on."""

    def __init__(self, url: str) -> None:
        host, _, port = url.rpartition(":")
        self._target = host, int(port)
        self._silent = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> None:
        self._silent.set()

    def speak(self) -> None:
        """New connections work again; the old ones stay dead."""
        self._silent = threading.Event()

    def close(self) -> None:
        for one in [self._listener, *self._open]:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self._open += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(
                    target=self._pass_on, args=(*pair, self._silent), daemon=True
                ).start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket, silent: threading.Event) -> None:
        try:
            while data := source.recv(65536):
                if silent.is_set():
                    return  # both sockets stay open: nobody is told
                sink.sendall(data)
        except OSError:
            return


@pytest.fixture
def proxy(server: TritonServer) -> Iterator[Proxy]:
    between = Proxy(server.url)
    yield between
    between.close()


def test_a_silent_connection_ends_its_streams_and_the_next_stream_works(proxy: Proxy) -> None:
    with Client(proxy.url, timeout_s=60.0) as client:
        stream = client.stream("lucas_kanade", "grpc", resume_s=0)
        stream.push(FRAME)
        proxy.fall_silent()
        with pytest.raises(ServerDied):  # by itself, long before the stream's timeout of 60 s
            stream.push(FRAME)
        proxy.speak()
        with client.stream("lucas_kanade", "grpc") as again:
            assert again.push(FRAME).current == 0
        with Client(proxy.url) as another:
            assert another.is_ready()


@pytest.mark.slow
def test_a_stream_that_is_frozen_stays(server: TritonServer) -> None:
    """Pings of an idle stream are not taken for an attack ("too many pings")."""
    with Client(server.url) as client, client.stream("lucas_kanade") as stream:
        stream.push(FRAME)
        time.sleep(45)
        assert stream.push(FRAME).current == 1
