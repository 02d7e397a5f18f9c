"""`cineflow top`: a server's streams, latencies and deadlines, live in the terminal."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from cineflow.cli.console import go_on, guarded, out
from cineflow.errors import ArgumentError

if TYPE_CHECKING:
    from cineflow.serving.scrape import Scrape

_FRAMES, _STREAMS = "cineflow_frames_total", "cineflow_streams_total"
_ROUND_TRIP, _MODEL = "cineflow_round_trip_seconds", "cineflow_frame_seconds"
_LEAST_WIDTH = 160
_SHARES = (0.5, 0.95, 0.99)


def register(app: typer.Typer) -> None:
    app.command("top")(top)


@guarded
def top(
    address: Annotated[
        str, typer.Argument(help="Address of a server's metrics: HOST:PORT, or its URL.")
    ] = "127.0.0.1:8002",
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="Print the sums since the server started, and end.")
    ] = False,
) -> None:
    """Streams, latencies and late frames of a server, until Ctrl-C."""
    from cineflow.serving.scrape import read_metrics

    url = _url(address)
    if once:
        table = view(read_metrics(url, time.monotonic()), None)
        Console(width=max(out.width, _LEAST_WIDTH)).print(table)  # whole also in a pipe
        return
    before: Scrape | None = None
    now = read_metrics(url, time.monotonic())
    with Live(view(now, None), console=out, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            go_on()
            before, now = now, read_metrics(url, time.monotonic())
            live.update(view(now, before), refresh=True)


def _url(address: str) -> str:
    if address.startswith(("http://", "https://")):
        return address
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ArgumentError(
            "the address of a server's metrics, HOST:PORT or http://HOST:PORT/metrics",
            repr(address),
            "`cineflow serve` prints it; --metrics-port sets it.",
        )
    return f"http://{address}/metrics"


def view(now: Scrape, before: Scrape | None) -> Table:
    """The table of one moment.

    Args:
        now: The metrics.
        before: Those of a moment before: rates and quantiles are of the time since then. None:
            sums and quantiles since the server started.
    """
    since = "since the start" if before is None else f"in {now.at_s - before.at_s:.1f} s"
    table = Table(
        *("model", "live", "frames" if before is None else "frames/s", "late", "dropped"),
        *("rejected", "refused", "gone", "expired"),
        *("p50 ms", "p95", "p99", "model p99", "quality"),
        box=None,
        pad_edge=False,
        caption=f"{since}; p50 to p99 from push to result, as the clients say",
        caption_justify="left",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for model in now.models():
        table.add_row(model, *_cells(now, before, model))
    return table


def _cells(now: Scrape, before: Scrape | None, model: str) -> list[str]:
    def more(name: str, **labels: str) -> float:
        old = 0.0 if before is None else before.total(name, model=model, **labels)
        return max(now.total(name, model=model, **labels) - old, 0.0)

    frames = more(_FRAMES, result="computed")
    rate = f"{frames:.0f}" if before is None else f"{frames / (now.at_s - before.at_s):.1f}"
    late = more(_FRAMES, result="late")
    each = [1e3 * now.quantile(_ROUND_TRIP, share, before, model=model) for share in _SHARES]
    each.append(1e3 * now.quantile(_MODEL, 0.99, before, model=model))
    judged = more("cineflow_quality_count")
    quality = more("cineflow_quality_sum") / judged if judged else math.nan
    return [
        f"{now.total('cineflow_live_streams', model=model):.0f}",
        rate,
        f"[red]{late:.0f}[/]" if late else "0",
        *(f"{more(_FRAMES, result=result):.0f}" for result in ("dropped", "rejected")),
        *(f"{more(_STREAMS, event=event):.0f}" for event in ("refused", "gone", "expired")),
        *("–" if math.isnan(value) else f"{value:.1f}" for value in each),
        "–" if math.isnan(quality) else f"{quality:.2f}",
    ]
