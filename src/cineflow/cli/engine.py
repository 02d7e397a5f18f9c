"""`cineflow engine`: build TensorRT engines and manage their store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cineflow.cli.console import err, guarded, out

Store = Annotated[
    Path | None,
    typer.Option("--store", help="Engine store; default: $CINEFLOW_ENGINES or the cache."),
]


def register(app: typer.Typer) -> None:
    engine = typer.Typer(no_args_is_help=True, help="Build and manage TensorRT engines.")
    for command in (build, list_, inspect, prune):
        engine.command(command.__name__.rstrip("_"))(command)
    app.add_typer(engine, name="engine")


@guarded
def build(
    bundle: Annotated[str, typer.Argument(help="A bundle, or the name of a built-in one.")],
    sm: Annotated[str, typer.Option("--sm", help="Compute capabilities: 86,89,120.")],
    runtime: Annotated[
        str, typer.Option("--runtime", help="tensorrt-rtx or tensorrt.")
    ] = "tensorrt-rtx",
    precision: Annotated[
        str | None, typer.Option("--precision", help="fp32 or fp16; default: the bundle's.")
    ] = None,
    split_ops: Annotated[
        bool, typer.Option("--split-ops", help="One engine per segment between our ops.")
    ] = False,
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", help="AXIS=SMALLEST:TYPICAL:LARGEST, once per dynamic axis."),
    ] = None,
    memory_gib: Annotated[float, typer.Option("--memory", help="Memory of the card, GiB.")] = 8.0,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Also build existing engines.")
    ] = False,
    store: Store = None,
) -> None:
    """Build engines ahead of time. TensorRT-RTX does not need a GPU for that."""
    from cineflow.errors import ArgumentError
    from cineflow.export.engines import build_engines, parse_profile
    from cineflow.runtime import Bundle
    from cineflow.runtime.store import EngineStore

    try:
        capabilities = list(dict.fromkeys(int(part) for part in sm.split(",")))
    except ValueError as error:
        raise ArgumentError(
            "compute capabilities as in --sm 86,89,120",
            repr(sm),
            "Capability 8.6 is 86: `nvidia-smi --query-gpu=compute_cap --format=csv` on the card",
        ) from error
    loaded = Bundle.load(bundle)
    with err.status("build"):
        engines = build_engines(
            loaded,
            runtime,
            capabilities,
            precision=precision,
            split_ops=split_ops,
            profile=parse_profile(profile) if profile else None,
            memory_bytes=round(memory_gib * 2**30),
            store=EngineStore(store),
            rebuild=rebuild,
        )
    for engine, built in engines:
        assert engine.key is not None  # an engine that was just loaded has its key
        out.print(
            f"{engine.folder.name}  {engine.key.model}  SM {engine.key.capability}  "
            f"{engine.key.precision}  {_size(engine.bytes)}  " + ("built" if built else "was there")
        )
    if precision not in (None, loaded.precision):
        out.print(f'Opened only on request: open_engine(bundle, precision="{precision}")')


@guarded
def list_(store: Store = None) -> None:
    """List the engines of the store.

    The hash is that of the graph: an engine of the bundle lucas_kanade-1a2b3c4d shows 1a2b3c4d.
    """
    from cineflow.runtime.store import EngineStore

    kept = EngineStore(store)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("id", "model", "hash", "runtime", "SM", "precision", "size", "state"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("id", "hash", "size"))
    for engine in kept.engines():
        known = ["?"] * 5
        if (key := engine.key) is not None:
            runtime = f"{key.flavour} {key.version}"
            known = [key.model, key.onnx_sha256[:8], runtime, key.capability, key.precision]
        table.add_row(engine.folder.name[:12], *known, _size(engine.bytes), engine.fault or "sound")
    out.print(table)
    out.print(str(kept.root))


@guarded
def inspect(
    engine_id: Annotated[str, typer.Argument(metavar="ID", help="The id, or its beginning.")],
    store: Store = None,
) -> None:
    """Show what one engine was built for, as JSON."""
    from cineflow.runtime.store import EngineStore

    engine = EngineStore(store).find(engine_id)
    key = json.loads(engine.key.to_json()) if engine.key else None
    state = {"path": str(engine.plan_path), "bytes": engine.bytes, "fault": engine.fault}
    out.print_json(json.dumps({"key": key} | state))


@guarded
def prune(
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="Keep only engines of these bundles (once per bundle)."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed, and remove nothing.")
    ] = False,
    store: Store = None,
) -> None:
    """Remove faulty engines; with --keep, also those of other bundles."""
    from cineflow.runtime import Bundle
    from cineflow.runtime.store import EngineStore

    hashes = {sha for name in keep or [] for sha in Bundle.load(name).graph_hashes()}
    wanted = (lambda e: e.key is not None and e.key.onnx_sha256 in hashes) if keep else None
    for engine in EngineStore(store).prune(wanted, dry_run=dry_run):
        what = "would remove" if dry_run else "removed"
        model = engine.key.model if engine.key is not None else "?"
        why = engine.fault or "of another bundle"
        out.print(f"{what} {engine.folder.name[:12]}  {model}  {_size(engine.bytes)}  {why}")


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
