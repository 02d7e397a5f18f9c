"""`cineflow export`: a recipe to a verified bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperArgument, TyperCommand

from cineflow.cli.check import show_findings
from cineflow.cli.console import err, guarded, out


class _ListsRecipes(TyperCommand):
    """Names the built-in recipes in its help; finding them takes time that other commands save."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from cineflow.export.recipe import builtin_recipes

        (recipe,) = (one for one in self.params if one.name == "recipe")
        assert isinstance(recipe, TyperArgument)
        recipe.help = f"A built-in recipe ({', '.join(builtin_recipes())}) or a file (./mine.py)."
        super().format_help(ctx, formatter)


def register(app: typer.Typer) -> None:
    app.command("export", cls=_ListsRecipes)(export)


@guarded
def export(
    recipe: Annotated[str, typer.Argument(help="A built-in recipe or a recipe file (./mine.py).")],
    out_dir: Annotated[
        Path, typer.Option("--out", help="Bundle to write; it replaces an older bundle there.")
    ],
    variant: Annotated[
        str, typer.Option("--variant", help="Of a recipe that has several: small, paper.")
    ] = "",
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Checkpoint: .safetensors or a state dict.")
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="fp32, or fp16 for features in half precision.")
    ] = "fp32",
    size: Annotated[
        tuple[int, int] | None,
        typer.Option("--size", metavar="H W", help="Fix height and width."),
    ] = None,
    inline: Annotated[
        bool, typer.Option("--inline", help="Also write model-inlined.onnx, without functions.")
    ] = False,
    split_ops: Annotated[
        bool, typer.Option("--split-ops", help="Also write the graph cut at our ops.")
    ] = False,
) -> None:
    """Export a model to ONNX, compare it with torch, and write a bundle."""
    from cineflow.export import export_bundle
    from cineflow.export.check import check_file

    with err.status("export") as status:
        bundle = export_bundle(
            recipe,
            out_dir,
            variant=variant,
            weights=weights,
            precision=precision,
            sizes=dict(zip(("height", "width"), size, strict=True)) if size else None,
            inlined=inline,
            split_ops=split_ops,
            progress=status.update,
        )
    out.print(
        f"{bundle.served_name}  {bundle.onnx_path.stat().st_size / 1024:.0f} KiB, "
        f"weights {escape(bundle.spec.weights.describe())}"
    )
    for row in bundle.manifest["parity"]:
        sizes = " x ".join(map(str, row["sizes"].values())) or "its fixed size"
        unit = "" if row["unit"] == "1" else f" {row['unit']}"
        out.print(
            f"  {row['output']} at {sizes}: {row['runtime']} ({escape(row['kernels'])}) "
            "differs from torch "
            f"by at most {row['worst']:.2g}{unit} (tolerance {row['tolerance']:g})"
        )
    show_findings(check_file(bundle.onnx_path))
    out.print(f"[bold]{out_dir}[/]")
