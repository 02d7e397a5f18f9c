"""One verdict: it counts every comparison shown, or says which it does not count and why."""

from __future__ import annotations

import math

from cineflow.export.check import ERROR, Finding, Parity
from cineflow.export.verify import BeatParity, Report
from cineflow.export.verify.page import render
from cineflow.spec import ModelSpec, TensorSpec


def row(worst: float = 0.001, precision: str = "fp32", **other: object) -> Parity:
    values = {"kernels": "bodies", "unit": "px", "mean": 0.0, "tolerance": 0.01, "spread": 1.0}
    fixed = {"runtime": "onnxruntime", "output": "flow", "sizes": {"width": 64}, "inputs": 1}
    return Parity(**{**fixed, **values, **other, "worst": worst, "precision": precision})


def report(*parity: Parity, **other: object) -> Report:
    summary = {"weights": "none", "sizes": {}, "precision": "fp32", "parameters": 0}
    summary |= {"multiply_adds": 0, "file_bytes": 0, "operators": {}}
    empty = {"findings": (), "beat": (), "targets": {}, "timings_ms": {}, "not_proven": ()}
    named = {"served_name": "net-12345678", "reference": "torch", "recipe": "", "refusals": ()}
    values = {**empty, **named, "summary": summary, "precision": "fp32"}
    return Report(**{**values, **other, "parity": parity})


def test_every_comparison_is_counted() -> None:
    beat = BeatParity("onnxruntime", "bodies", "fp32", 64, 64, 0.001, 0.01, 5.0)
    found = report(row(), row(0.002), beat=[beat])
    assert found.passed
    assert found.verdict == "Verified: 3 comparisons within tolerance."


def test_a_row_that_is_not_counted_is_said_with_its_reason() -> None:
    found = report(row(), row(0.5, "fp16"), row(0.001, "fp16"))
    assert found.passed
    assert found.verdict == (
        "Verified: 1 comparison within tolerance. Not counted: 2 comparisons in fp16, because "
        "the bundle is in fp32; 1 of them out of tolerance."
    )
    single, half = found.lines
    assert (single.counted, half.counted) == (True, False)


def test_a_verdict_names_all_that_failed() -> None:
    wrong = Finding(ERROR, "files", "model.onnx is missing", "Copy it again")
    found = report(row(0.5), row(), findings=[wrong], refusals=["tensorrt: no memory"])
    assert not found.passed
    assert found.verdict == (
        "Not verified: 1 of 2 comparisons out of tolerance, 1 error in the bundle, "
        "1 refusal by a runtime."
    )


def test_a_skipped_check_is_in_the_verdict() -> None:
    found = report(row(), not_proven=["torch was not compared"])
    assert found.verdict == "No check failed (1 comparison within tolerance), but 1 was skipped."


def test_one_line_per_runtime_says_its_worst_comparison() -> None:
    labels = row(0.2, output="labels", unit="of the pixels", dice={"wall": 0.8, "blood": 0.95})
    (line,) = report(row(), row(0.002), labels).lines
    assert not line.passed
    assert line.said == (
        "1 of 3 comparisons out of tolerance; labels at 64 differs by at most 0.2 of the pixels "
        "(tolerance 0.01), lowest Dice 0.8 (wall)"
    )


def test_another_highest_score_fails_within_tolerance() -> None:
    scores = row(0.001, output="scores", unit="probability", ranks_changed=1)
    assert not scores.passed
    assert "a different highest class in 1 row" in report(scores).lines[0].said


def test_what_is_not_finite_is_worst() -> None:
    (line,) = report(row(0.5), row(math.inf)).lines
    assert "differs by at most inf" in line.said


def test_the_page_has_the_details() -> None:
    labels = row(0.002, output="labels", dice={"wall": 0.8}, frames=8)
    half = row(0.5, "fp16")
    output = TensorSpec("labels", "int64", (1, 4), "class")
    page = render(report(labels, half).to_dict(), ModelSpec("net", "s", (), (output,)))
    assert "Dice of wall 0.8, 8 frames" in page
    assert "Not counted:" in page
    assert 'class="n bad"' not in page
