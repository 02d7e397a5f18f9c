"""What the metrics say, and whether the server says that it is ready."""

from __future__ import annotations

import json
import math
import re
import shutil
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cineflow.cli import _app
from cineflow.serving import TritonServer
from cineflow.serving.rarity import Rarity
from cineflow.serving.scrape import Scrape
from cineflow_client import Client, FrameRejected

ROOT = Path(__file__).resolve().parents[2]
FRAME = np.random.default_rng(0).integers(0, 256, (64, 80)).astype(np.uint8)

# At the head of a model's entry point: it loads for as long as a test wants.
WAITS = """import pathlib
import time

pathlib.Path({began!r}).touch()
while not pathlib.Path({go_on!r}).exists():
    time.sleep(0.01)
"""


def scraped(server: TritonServer) -> str:
    with urllib.request.urlopen(server.metrics_url, timeout=10) as response:
        text: str = response.read().decode()
    return text


def metric(server: TritonServer, name: str, **labels: str) -> float:
    """The sum of a metric over the models of a server."""
    found = [line for line in scraped(server).splitlines() if line.startswith(name + "{")]
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(float(line.split()[-1]) for line in found if all(one in line for one in wanted))


def settled(server: TritonServer, name: str, **labels: str) -> float:
    """The metric once it stays the same: Triton counts a little after its response."""
    last = metric(server, name, **labels)
    while True:
        time.sleep(0.3)
        now = metric(server, name, **labels)
        if now == last:
            return now
        last = now


def test_a_refused_frame_counts_as_a_failure(server: TritonServer) -> None:
    failed = metric(server, "nv_inference_request_failure", reason="BACKEND")
    with Client(server.url) as client, client.stream("lucas_kanade", "grpc") as stream:
        stream.push(FRAME, 5)
        passed = settled(server, "nv_inference_request_success")
        for _ in range(3):
            with pytest.raises(FrameRejected, match="above 5"):
                stream.push(FRAME, 5)
        assert settled(server, "nv_inference_request_success") == passed
        assert stream.push(FRAME, 6).previous == 5
    found = settled(server, "nv_inference_request_failure", reason="BACKEND")
    assert found == failed + 3


def test_a_flood_of_bad_frames_does_not_fill_the_log(server: TritonServer) -> None:
    assert server.log_file is not None
    with Client(server.url) as client, client.stream("lucas_kanade") as stream:
        stream.push(FRAME, 5)
        time.sleep(1.1)  # the errors of other tests no longer count
        before = server.log_file.stat().st_size
        for _ in range(200):
            with pytest.raises(FrameRejected, match="above 5"):
                stream.push(FRAME, 5)
        said = server.log_file.read_text()[before:]
    assert 20 <= said.count("FrameError") < 200


def test_rare_is_what_comes_seldom() -> None:
    now = [0.0]
    rarity = Rarity(2, lambda: now[0])
    assert [rarity.next_is_rare() for _ in range(4)] == [True, True, False, False]
    now[0] = 1.0
    assert [rarity.next_is_rare() for _ in range(3)] == [True, True, False]


def soon(server: TritonServer, wanted: dict[tuple[str, str, str], float]) -> None:
    """Our metrics are passed on once a second."""
    end = time.monotonic() + 10
    while True:
        found = {key: metric(server, key[0], **{key[1]: key[2]}) for key in wanted}
        if found == wanted or time.monotonic() > end:
            assert found == wanted
            return
        time.sleep(0.1)


def test_our_own_metrics(server: TritonServer) -> None:
    time.sleep(1.5)  # what earlier tests did has been passed on
    (served,) = {
        line.partition('model="')[2].partition('"')[0]
        for line in scraped(server).splitlines()
        if line.startswith("cineflow_live_streams{")
    }
    frames, streams = "cineflow_frames_total", "cineflow_streams_total"
    keys = {
        (frames, "result", "computed"): 6,
        (frames, "result", "dropped"): 3,
        (frames, "result", "rejected"): 1,
        (streams, "event", "started"): 1,
        (streams, "event", "ended"): 1,
        ("cineflow_frame_seconds_count", "model", served): 8,  # with the refused one and the END
        ("cineflow_frame_seconds_bucket", "le", "+Inf"): 8,
        ("cineflow_round_trip_seconds_count", "model", served): 6,  # each one is told with the next
    }
    before = {key: metric(server, key[0], **{key[1]: key[2]}) for key in keys}
    live = metric(server, "cineflow_live_streams")
    with Client(server.url) as client, client.stream("lucas_kanade") as stream:
        for index in (0, 1, 2, 3, 7, 8):
            stream.push(FRAME, index)
        with pytest.raises(FrameRejected):
            stream.push(FRAME, 8)
        soon(server, {("cineflow_live_streams", "model", served): live + 1})
    soon(server, {key: before[key] + more for key, more in keys.items()})
    soon(server, {("cineflow_live_streams", "model", served): live})


def test_ready_stays_ready_while_a_model_loads(
    server_binary: Any, repository: Path, tmp_path: Path
) -> None:
    models = shutil.copytree(repository, tmp_path / "models")
    (hashed,) = models.glob("lucas_kanade-*")
    other = shutil.copytree(hashed, models / "other")
    config = other / "config.pbtxt"
    config.write_text(config.read_text().replace(f'name: "{hashed.name}"', 'name: "other"', 1))
    began, go_on = tmp_path / "began", tmp_path / "go on"
    entry = other / "1" / "model.py"
    entry.write_text(WAITS.format(began=str(began), go_on=str(go_on)) + entry.read_text())
    with (
        TritonServer(models, binary=server_binary, models=["lucas_kanade"]) as server,
        Client(server.url) as client,
        client.stream("lucas_kanade") as live,
    ):
        live.push(FRAME)
        loading = threading.Thread(target=server.load, args=("other",))
        loading.start()
        try:
            while loading.is_alive() and not began.exists():
                time.sleep(0.01)
            for index in range(1, 21):
                assert client.is_ready()
                assert server.ready
                assert live.push(FRAME).current == index
            assert loading.is_alive()
        finally:
            go_on.touch()
            loading.join()
        assert client.models()["other"] == "READY"


# -- who reads them ------------------------------------------------------------------------------


def test_the_dashboard_asks_for_what_there_is(server: TritonServer) -> None:
    page = json.loads((ROOT / "deploy" / "grafana" / "cineflow.json").read_text())
    queries = [target["expr"] for panel in page["panels"] for target in panel["targets"]]
    queries += [one["query"] for one in page["templating"]["list"] if one["type"] == "query"]
    assert len(queries) > 10
    there = Scrape.of(scraped(server), 0.0).values
    asked = {name for query in queries for name in re.findall(r"\b(?:cineflow|nv)_\w+", query)}
    assert asked - there.keys() == set()
    assert {name for name in there if name.startswith("cineflow_")} >= {"cineflow_live_streams"}
    for query in queries:  # labels and their values exist as well
        for name, labels in re.findall(r"(\w+)\{([^}]*)\}", query):
            known = {pair for key in there[name] for pair in key}
            for label, sign, value in re.findall(r'(\w+)(=~?)"([^"]*)"', labels):
                assert label in dict(known), query
                assert sign == "=~" or (label, value) in known, query


def test_top_prints_the_sums(server: TritonServer) -> None:
    with Client(server.url) as client, client.stream("lucas_kanade") as stream:
        for _ in range(3):
            stream.push(FRAME)
        address = server.metrics_url.split("/")[2]
        ended = CliRunner().invoke(_app(), ["top", address, "--once"], env={"COLUMNS": "200"})
        for _ in range(30):
            if " 0 " not in ended.output.splitlines()[1][:60]:
                break
            time.sleep(0.1)
            ended = CliRunner().invoke(_app(), ["top", address, "--once"], env={"COLUMNS": "200"})
    assert ended.exit_code == 0, ended.output
    head, row = ended.output.splitlines()[:2]
    assert head.split()[:4] == ["model", "live", "frames", "late"]
    cells = row.split()
    assert cells[0].startswith("lucas_kanade-")
    assert int(cells[1]) >= 1
    assert int(cells[2]) >= 3
    assert all(float(cell) > 0 for cell in cells[9:13])  # p50, p95, p99, model p99
    assert 0 < float(cells[13]) <= 1


@pytest.mark.parametrize(
    ("address", "said"),
    [("8002", "HOST:PORT"), ("127.0.0.1:1", "metrics at"), ("http://[", "metrics at")],
)
def test_top_without_a_server(address: str, said: str) -> None:
    ended = CliRunner().invoke(_app(), ["top", address, "--once"])
    assert ended.exit_code == 2
    assert said in ended.output


def test_a_quantile_is_that_of_prometheus() -> None:
    page = "\n".join(
        f'h_bucket{{model="{model}",le="{end}"}} {count}'
        for model, scale in (("a", 1), ("b", 0))
        for end, count in (("1", 2 * scale), ("2", 6 * scale), ("+Inf", 8 * scale))
    )
    now = Scrape.of(page, 1.0)
    assert now.quantile("h", 0.5, None, model="a") == pytest.approx(1.5)
    assert now.quantile("h", 0.125, None, model="a") == pytest.approx(0.5)
    assert now.quantile("h", 0.99, None, model="a") == 2.0  # above the last finite end
    assert math.isnan(now.quantile("h", 0.5, None, model="b"))
    assert math.isnan(now.quantile("h", 0.5, now, model="a"))  # nothing since
