"""docs/bodies.md: the forms that were tried, as one run measured them."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.export.forms import forms_table

PAGE = Path("docs/bodies.md")

COMMAND = "python -m benchmarks.export --only forms --page"

_PACKAGES = ("onnxruntime", "onnx", "tensorrt-rtx-cu13", "numpy")

_TEXT = """\
# The bodies of our ops, and the forms that were tried

Every `cineflow::` node of an exported graph carries a body of standard operators for runtimes that
lack our library ([how](ops/onnxruntime.md)). Most can be written in several ways; here are those
that were tried. The code of each stands in `benchmarks/export/`, and the command that wrote this
page measures them again:

```text
{command}
```

Run on {date}; {machine};
{versions}.

Height and width are open in ONNX Runtime, as in a bundle by default,
and fixed in TensorRT-RTX. No card was at hand: of TensorRT-RTX there are sizes, no times.

## Warp

All forms give 0 where the flow is not finite or far outside. The body is GridSample by design, so
it is held against the fastest GridSample; the form without it, "gathers", counts in the last column
only. It is faster with one channel. GridSample stays because the warp's convention is fixed as
such, "gathers" loses with several channels, and it is twice as many layers to TensorRT.

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
            machine=machine(),
            versions=", ".join(_versions()),
            **tables,
        ),
        encoding="utf-8",
    )


def machine() -> str:
    """The processor's name, or at least its kind."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _versions() -> list[str]:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {package}")
    return found
