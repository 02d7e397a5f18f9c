"""The table of ops that tests/ops, tests/core and tests/export read: one file per op.

    warp.py, correlation.py, ...   one op each: its row `OP`, and `VOLUME` where it takes volumes
    _op.py                         `Op`, the type of a row, and `Call`, one op on some arrays
    _values.py                     random values, memory layouts and options that several rows share
    _agree.py                      compares a result with the reference

Plain NumPy: a machine with a GPU may lack Hypothesis, torch and ONNX. To add an op, copy
`csrc/template/tests/op_calls/identity.py` to this folder under the op's name.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import runpy
from pathlib import Path

from tests.op_calls._agree import agree, alike
from tests.op_calls._op import Call, Op, make_call

__all__ = ["OPS", "ROWS", "VOLUMES", "Call", "Op", "agree", "alike", "make_call", "template_op"]

TEMPLATE = Path(__file__).resolve().parents[2] / "csrc/template"


def _find_rows(attribute: str) -> dict[str, Op]:
    """That attribute of every module that has it, by the op's label."""
    rows = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("_"):
            continue
        row = getattr(importlib.import_module(f"{__name__}.{module.name}"), attribute, None)
        if row is not None:
            assert row.name == module.name, f"{row.name} stands in {module.name}.py"
            rows[row.label] = row
    return rows


def template_op() -> Op:
    """The row of the template op, with the template's own reference."""
    row: Op = runpy.run_path(str(TEMPLATE / "tests/op_calls/identity.py"))["OP"]
    reference = runpy.run_path(str(TEMPLATE / "python/reference/identity.py"))[row.name]
    return dataclasses.replace(row, reference=lambda inputs, options: reference(**inputs))


#: Every op of `cineflow.ops` by its name, on images.
OPS = _find_rows("OP")

#: The ops that take volumes, on volumes: "warp-3d".
VOLUMES = _find_rows("VOLUME")

#: Both.
ROWS = OPS | VOLUMES
