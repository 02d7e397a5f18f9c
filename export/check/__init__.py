"""What can be wrong with a graph: found in the file, and found by running it.

findings.py  a finding: what is wrong, how bad it is, what to do
lint.py      all rules over a file or a model
rules.py     the rules about inputs, outputs, states and nodes
streaming.py whether a stream can run a model whose feed is frames
targets.py   what each runtime takes: opset, file format, operators, ranks
inputs.py    random inputs in a range that suits each unit
module.py    the torch module that others are compared with: repeatable, finite, as its spec
units.py     how far two results are apart, in what the output means
parity.py    torch against runtimes, or runtimes among themselves
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cineflow.export._face import lazily

if TYPE_CHECKING:
    from cineflow.export.check.findings import ERROR, WARNING, Finding
    from cineflow.export.check.inputs import random_inputs
    from cineflow.export.check.lint import check_file, lint_model, read_onnx, require_no_errors
    from cineflow.export.check.parity import Parity, agreement, compare
    from cineflow.export.check.targets import TARGETS

__all__ = [
    "ERROR",
    "TARGETS",
    "WARNING",
    "Finding",
    "Parity",
    "agreement",
    "check_file",
    "compare",
    "lint_model",
    "random_inputs",
    "read_onnx",
    "require_no_errors",
]

__getattr__ = lazily(
    __name__,
    {
        "ERROR": "findings",
        "TARGETS": "targets",
        "WARNING": "findings",
        "Finding": "findings",
        "Parity": "parity",
        "agreement": "parity",
        "check_file": "lint",
        "compare": "parity",
        "lint_model": "lint",
        "random_inputs": "inputs",
        "read_onnx": "lint",
        "require_no_errors": "lint",
    },
)
