"""Writes docs/bodies.md: the forms that were tried, as one run measured them."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.export.forms import forms_table
from benchmarks.processor import processor_and_cores

PAGE = Path("docs/bodies.md")

COMMAND = "python -m benchmarks.export --only forms --page"

_PACKAGES = ("onnxruntime", "onnx", "tensorrt-rtx-cu13", "numpy")

_TEXT = """\
# The bodies of our ops, and the forms that were tried

Every `cineflow::` node of an exported graph carries a body of standard operators, for runtimes that
lack our library ([how](ops/onnxruntime.md)). Most bodies can be written in several ways. This page
compares them; the code of each form is in `benchmarks/export/`. This command measures them again
and rewrites the page:

```text
{command}
```

Run on {date}; {machine};
{versions}.

All values are float32. In ONNX Runtime height and width are dynamic, as in a bundle by default. In
TensorRT-RTX they are fixed. There was no card, so TensorRT-RTX has sizes and no times.

## Warp

All forms return 0 where the flow is not finite or far outside. The body must use GridSample, the
one operator every runtime has a kernel for, so it is compared with the fastest form of GridSample.
The form without it, "gathers", counts only in the last column: it is faster with one channel, but
slower with several, and TensorRT makes twice as many layers of it.

{warp}

## Correlation

Radius 4, mean over channels.

{correlation}
"""


def write_page(forms: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the page from the results of `measure`."""
    tables = {name: forms_table(name, table) for name, table in forms.items()}
    PAGE.write_text(
        _TEXT.format(
            command=COMMAND,
            date=datetime.date.today().isoformat(),
            machine=processor_and_cores(),
            versions=", ".join(_versions()),
            **tables,
        ),
        encoding="utf-8",
    )


def _versions() -> list[str]:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {package}")
    return found
