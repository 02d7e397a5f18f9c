"""Regenerate what the repository commits: the built-in bundles and `triton_repo/`.

    python -m cineflow.export.builtin

Run it after a change to a built-in model or its recipe. A test compares the committed files with a
fresh export.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from cineflow.export.bundle import export_bundle
from cineflow.export.triton import write_committed
from cineflow.runtime.bundle import BUILTIN_DIR

#: Models whose bundle ships inside the package.
SHIPPED = ("lucas_kanade",)

REPOSITORY = Path(__file__).resolve().parent.parent / "triton_repo"


def main() -> None:
    """Export every shipped model and write the repository from them."""
    bundles = [export_bundle(name, BUILTIN_DIR / name, progress=print) for name in SHIPPED]
    shutil.rmtree(REPOSITORY, ignore_errors=True)
    for bundle in bundles:
        write_committed(bundle, REPOSITORY)
    print(f"wrote {REPOSITORY}")


if __name__ == "__main__":
    main()
