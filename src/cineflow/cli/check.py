"""`cineflow check` and `cineflow import`: an ONNX file that was not exported here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cineflow.cli.console import BAD_INPUT, guarded, out
from cineflow.errors import ArgumentError

if TYPE_CHECKING:
    from cineflow.export.check import Finding

File = Annotated[Path, typer.Argument(help="An ONNX file.")]


def register(app: typer.Typer) -> None:
    app.command("check")(check)
    app.command("import")(import_)


@guarded
def check(file: File) -> None:
    """Report what will go wrong with an ONNX file, one finding and its remedy per line.

    Exit code 2 if a finding is an error.
    """
    from cineflow.export.check import ERROR, check_file

    findings = check_file(file)
    show_findings(findings)
    if not findings:
        out.print("nothing found")
    if any(finding.severity == ERROR for finding in findings):
        raise typer.Exit(BAD_INPUT)


def show_findings(findings: Iterable[Finding]) -> None:
    """One line per finding: severity, message, remedy, rule."""
    for finding in findings:
        colour = "red" if finding.severity == "error" else "yellow"
        out.print(
            f"[{colour}]{finding.severity}[/] {escape(finding.message)}. {escape(finding.remedy)}. "
            f"[dim]{finding.rule}[/]"
        )


@guarded
def import_(
    file: File,
    spec: Annotated[
        Path | None, typer.Option("--spec", help="The model's spec, YAML; see --draft-spec.")
    ] = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Bundle to write.")] = None,
    draft: Annotated[
        bool,
        typer.Option(
            "--draft-spec",
            help="Write a first spec to --spec (or print it), with every guess marked.",
        ),
    ] = False,
) -> None:
    """Make a bundle of an ONNX file that was not exported here."""
    from cineflow.export.bundle import import_bundle

    if draft:
        _draft(file, spec)
        return
    if spec is None or out_dir is None:
        raise ArgumentError(
            "--spec SPEC.yaml and --out BUNDLE",
            f"--spec {spec}, --out {out_dir}",
            "`cineflow import FILE.onnx --draft-spec --spec SPEC.yaml` writes a spec to start from",
        )
    bundle = import_bundle(file, spec, out_dir, progress=lambda said: out.print(escape(said)))
    out.print(
        f"{bundle.served_name}  [bold]{out_dir}[/]  "
        f"weights {escape(bundle.spec.weights.describe())}"
    )


def _draft(file: Path, spec: Path | None) -> None:
    from cineflow.export.bundle.draft import GUESS, draft_spec

    text = draft_spec(file)
    if spec is None:
        typer.echo(text, nl=False)
        return
    if spec.exists():
        raise ArgumentError("a new file as --spec", f"{spec}, which exists", "Name another file")
    spec.write_text(text, encoding="utf-8")
    out.print(f"[bold]{spec}[/]  {text.count(GUESS) - 1} guesses to correct")
