"""`cineflow bench serve`: the proof of real time.

cases.py    what is measured, and how one case is run
source.py   one source of frames, a process of its own
loop.py     the paced loop, and what its times prove
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.progress import Progress
from rich.table import Table

from cineflow.cli.console import err, go_on, guarded, out
from cineflow.errors import ArgumentError

if TYPE_CHECKING:
    from cineflow.cli.bench.cases import Case, Measured
    from cineflow.cli.pacing import Source
    from cineflow.runtime import Bundle

_COLUMNS = ("p50", "p95", "p99", "p99.9", "max", "jitter", "dropped", "transport", "queue", "model")


def register(app: typer.Typer) -> None:
    bench = typer.Typer(help="Measure what a machine holds.", no_args_is_help=True)
    bench.command("serve")(serve)
    app.add_typer(bench, name="bench")


@guarded
def serve(
    model: Annotated[
        str, typer.Argument(help="A built-in bundle, or a bundle's folder.")
    ] = "lucas_kanade",
    clip: Annotated[
        Path | None,
        typer.Option("--input", help="DICOM, video or volumes to send. Default: a real echo."),
    ] = None,
    given: Annotated[Path | None, typer.Option(help="The model's further inputs, .npz.")] = None,
    rates: Annotated[str, typer.Option(help="Frames per second, with commas.")] = "30,60,120",
    streams: Annotated[int, typer.Option(min=1, help="Streams at once, at the lowest rate.")] = 2,
    seconds: Annotated[float, typer.Option(min=1, help="How long a rate is held.")] = 15.0,
    full: Annotated[
        bool, typer.Option(help="Every rate, number of streams and transport.")
    ] = False,
    case: Annotated[
        list[str] | None, typer.Option(help='Only the case of this name, such as "30 fps".')
    ] = None,
    secure: Annotated[
        Path | None,
        typer.Option(help="Folder of `cineflow certs`: measure with mutual TLS."),
    ] = None,
    out_dir: Annotated[
        Path, typer.Option("--out", help="Folder for report.html and results.json.")
    ] = Path("build/bench-serve"),
    server_dir: Annotated[
        Path | None, typer.Option(help="Folder of the server's wheel, installed there if missing.")
    ] = None,
) -> None:
    """Hold frame rates with a real server, and say which of them hold. About two minutes."""
    import time

    from cineflow.cine import default_clip, read_clip
    from cineflow.cli.bench.cases import Runner, full_cases, standard_cases
    from cineflow.cli.obtain import obtain_server
    from cineflow.cli.outcome import import_client
    from cineflow.cli.pacing import prepare
    from cineflow.export import write_repository
    from cineflow.runtime import Bundle
    from cineflow.serving import TritonServer

    library = import_client()
    paced = _rates(rates)
    cases = (full_cases if full else standard_cases)(paced, streams, seconds)
    if case:
        cases = _named(cases, case)
    bundle = Bundle.load(model)
    cine = default_clip() if clip is None else read_clip(clip)
    binary = obtain_server(server_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cineflow-bench-")))
        repository = write_repository([bundle], scratch / "models")
        began = time.monotonic()
        server = stack.enter_context(TritonServer(repository, binary=binary, secure=secure))
        ready_s = time.monotonic() - began
        client = stack.enter_context(library.Client(server.url, secure=secure))
        source = prepare(client.model(bundle.served_name), cine, given)
        job = _write_source(source, scratch, bundle, secure)
        runner = Runner(client, job, bundle.path)
        bars = stack.enter_context(Progress(console=err, transient=True))
        task = bars.add_task("", total=sum(case.seconds for case in cases))
        measured: list[Measured] = []
        for one in cases:
            bars.update(task, description=one.name)
            measured.append(runner.run(one, go_on))
            bars.advance(task, one.seconds)
        version = server.version
    served = next((one for one in measured if one.server_ms), None)
    facts = [
        ("Model", bundle.served_name),
        ("Frames", f"{'x'.join(map(str, source.frames[0].shape))}, {source.frames[0].dtype}"),
        ("Server", f"Triton {version}"),
        ("From start to ready", f"{ready_s:.1f} s"),
        *(
            [("First frame of the first stream", f"{float(served.warm_up_ms[0][0]):.1f} ms")]
            if served
            else []
        ),
        ("Machine", f"{os.cpu_count()} cores, {_processor()}, {platform.system()}"),
        ("Python", platform.python_version()),
        ("Date", datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
    ]
    command = _command(model, clip, given, paced, streams, seconds, full, case or [], secure)
    _write(out_dir, measured, bundle.served_name, facts, command)
    _print(measured)
    out.print(f"[bold]{out_dir / 'report.html'}[/]")


def _named(cases: list[Case], names: list[str]) -> list[Case]:
    known = [case.name for case in cases]
    if unknown := set(names) - set(known):
        raise ArgumentError(f"--case of: {', '.join(known)}", ", ".join(sorted(unknown)))
    return [case for case in cases if case.name in names]


def _rates(text: str) -> list[float]:
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = []
    if not rates or not all(0 < rate <= 1000 for rate in rates):
        raise ArgumentError("--rates of frames per second, above 0 and up to 1000", repr(text))
    return rates


def _write_source(source: Source, folder: Path, bundle: Bundle, secure: Path | None) -> Any:
    """The frames and further inputs as files, and the job that reads them."""
    from cineflow.cli.bench.source import Job

    np.save(folder / "frames.npy", np.stack(list(source.frames)))
    start, each = source.given.start, source.given.at(1)
    arrays: dict[str, Any] = {f"start.{name}": one for name, one in start.items()}
    arrays |= {f"each.{name}": one for name, one in each.items()}
    job = Job(
        out="",
        mode="",
        frames=str(folder / "frames.npy"),
        model=bundle.served_name,
        secure="" if secure is None else str(secure.resolve()),
    )
    if not arrays:
        return job
    np.savez(folder / "given.npz", **arrays)
    return replace(job, given=str(folder / "given.npz"))


def _processor() -> str:
    """The processor's name, as Linux has it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _command(
    model: str,
    clip: Path | None,
    given: Path | None,
    rates: list[float],
    streams: int,
    seconds: float,
    full: bool,
    cases: list[str],
    secure: Path | None,
) -> str:
    words = ["cineflow", "bench", "serve", model, "--rates", ",".join(f"{one:g}" for one in rates)]
    words += ["--streams", str(streams), "--seconds", f"{seconds:g}"]
    words += [] if clip is None else ["--input", str(clip)]
    words += [] if given is None else ["--given", str(given)]
    words += [] if secure is None else ["--secure", str(secure)]
    words += ["--full"] if full else []
    return shlex.join([*words, *(word for name in cases for word in ("--case", name))])


def _write(
    folder: Path,
    measured: Sequence[Measured],
    model: str,
    facts: list[tuple[str, str]],
    command: str,
) -> None:
    from cineflow.report.rates import RateRow, write_rates

    rows = []
    cases = []
    for one in measured:
        verdict, each = one.verdict, one.latency_ms
        words = "" if verdict is None else verdict.words()
        paced = bool(one.case.fps) and not one.case.pause_every and not one.case.newest
        rows.append(
            RateRow(
                one.case.name,
                len(each),
                one.figures(),
                words,
                verdict is not None and verdict.holds,
                each,
                1e3 / one.case.fps if paced else None,
            )
        )
        cases.append(
            {
                **vars(one.case),
                "verdict": words,
                "ms": one.figures(),
                "streams_times_s": [
                    {
                        "due": times.due.round(6).tolist(),
                        "sent": times.sent.round(6).tolist(),
                        "received": [
                            None if math.isnan(one) else one
                            for one in times.received.round(6).tolist()
                        ],
                    }
                    for times in one.times
                ],
                "stalls_s": one.stalls.round(6).tolist(),
                "warm_up_ms": [times.round(3).tolist() for times in one.warm_up_ms],
            }
        )
    found = {"command": command, "facts": dict(facts), "cases": cases}
    (folder / "results.json").write_text(json.dumps(found))
    write_rates(folder / "report.html", rows, model=model, facts=facts, command=command)


def _cell(name: str, figures: dict[str, Any]) -> str:
    if name not in figures:
        return "–"
    return str(figures[name]) if name == "dropped" else f"{figures[name]:.1f}"


def _print(measured: Sequence[Measured]) -> None:
    table = Table("case", *_COLUMNS, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for one in measured:
        figures = one.figures()
        cells = (_cell(name, figures) for name in _COLUMNS)
        table.add_row(one.case.name, *cells)
    out.print("latency from push to result, ms; queue and model are means at the server")
    out.print(table)
    for one in measured:
        if (verdict := one.verdict) is not None:
            colour = "green" if verdict.holds else "red"
            out.print(f"[{colour}]{one.case.name}: {verdict.words()}[/]", highlight=False)
