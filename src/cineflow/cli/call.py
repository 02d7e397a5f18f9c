"""`cineflow call`: the arrays of one study through a model that takes calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from cineflow.cli.console import SECURE_HELP, guarded, out


def register(app: typer.Typer) -> None:
    app.command("call")(call)


@guarded
def call(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="An alias, a served name, or a bundle's folder.")
    ],
    url: Annotated[str, typer.Option(help="host:port of the server's gRPC interface.")],
    inputs: Annotated[
        Path, typer.Option("--input", help="The model's inputs by name, .npz (numpy.savez).")
    ],
    secure: Annotated[Path | None, typer.Option(help=SECURE_HELP)] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File for the outputs by name, .npz.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="File for a page of the outputs, .html.")
    ] = None,
) -> None:
    """Run a model that takes calls once, on a running server."""
    import cineflow
    from cineflow.cli import pacing
    from cineflow.cli.given import in_spec_type, read_arrays
    from cineflow.cli.notes import weights_notes
    from cineflow.cli.outcome import import_client
    from cineflow.errors import ArgumentError
    from cineflow.report import Provenance, write_arrays, write_call_report
    from cineflow.report.arrays import described_output
    from cineflow.spec import ModelSpec

    client_library = import_client()
    name = _served_name(model)
    arrays = read_arrays(inputs)
    with client_library.Client(url, timeout_s=pacing.RESULT_S, secure=secure) as client:
        info = client.model(name)
        spec = ModelSpec.from_json(json.dumps(info.spec))
        if spec.feed.streams:
            raise ArgumentError(
                "a model that takes calls",
                f"{info.served_name}, which takes a stream of frames",
                f"`cineflow stream CLIP --url {url} --model {spec.name}`",
            )
        known = {tensor.name: tensor for tensor in spec.inputs}
        cast = {
            key: in_spec_type(known[key], array) if key in known else array
            for key, array in arrays.items()
        }
        outputs = client.call(info.served_name, **cast)
        version = client.server_version()
    _print(outputs)
    for note in weights_notes(spec):
        out.print(note, markup=False, style="bold")
    if spec.view:
        out.print(f"This model is for {spec.view}. The pictures were not checked.", markup=False)
    out.print(
        f"{info.served_name}, weights {spec.weights.describe()}, served by Triton {version}",
        markup=False,
    )
    if out_file is not None:
        about = {
            "use": "Research use, not for diagnosis",
            "model": info.served_name,
            "weights": spec.weights.describe(),
            "server": f"Triton {version}",
            "software": f"cineflow {cineflow.__version__}",
            "arrays": {item["name"]: described_output(item) for item in info.spec["outputs"]},
        }
        values = {key: output.values for key, output in outputs.items()}
        write_arrays(out_file, values, about)
        out.print(f"[bold]{out_file}[/]")
    if report is not None:
        provenance = Provenance(
            model=info.served_name,
            weights=spec.weights.describe(),
            engine="",
            server=f"Triton {version}",
            transport="gRPC",
            software=f"cineflow {cineflow.__version__}",
        )
        write_call_report(report, outputs, cast, spec, provenance)
        out.print(f"[bold]{report}[/]")


def _served_name(model: str) -> str:
    """The name to ask the server for: that of a bundle's content where `model` is its folder."""
    from cineflow.runtime import Bundle

    return Bundle.load(model).served_name if Path(model).is_dir() else model


def _print(outputs: Mapping[str, Any]) -> None:
    """Scores and single numbers, by place where they have places; of others type and shape."""
    from cineflow.report import place_tables, score_cells

    tables = place_tables(outputs)
    for table in tables:
        out.print(table.title, style="bold", markup=False, highlight=False)
        rows = Table(box=None, padding=(0, 2, 0, 0))
        rows.add_column("", no_wrap=True)
        for column in table.columns:
            rows.add_column(escape(column), justify="right")
        for place, values in zip(table.places, table.values, strict=True):
            rows.add_row(escape(place), *(f"{value:.3g}" for value in values))
        out.print(rows)
    in_table = {name for table in tables for name in table.outputs}
    grid = Table.grid(padding=(0, 3))
    for name, output in outputs.items():
        if name in in_table:
            continue
        if output.role == "scores":
            for cell, value in score_cells(name, output.names, output.unit, output).items():
                grid.add_row(escape(cell), f"{value:.4g}")
        elif output.values.size == 1:
            unit = "" if output.unit == "1" else f" {escape(output.unit)}"
            grid.add_row(escape(name), f"{output.values.item():.4g}{unit}")
        else:
            shape = list(output.values.shape)
            words = f"{output.values.dtype.name} {shape}, {output.unit}"
            grid.add_row(escape(name), escape(words))
    out.print(grid)
