"""What `cineflow verify` found: `report.json` and the sentence at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from cineflow.export.check.findings import ERROR, Finding
from cineflow.export.check.parity import Parity
from cineflow.export.verify.beat import BeatParity

#: One comparison: of an output, or of the motion over a beat.
Row: TypeAlias = Parity | BeatParity


@dataclass(frozen=True)
class Line:
    """What all comparisons of one runtime say together.

    Attributes:
        runtime: Engine name.
        kernels: What ran our own ops.
        precision: Storage type of the features.
        counted: Whether the verdict counts these comparisons.
        rows: The comparisons.
    """

    runtime: str
    kernels: str
    precision: str
    counted: bool
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether every comparison is within its tolerance."""
        return all(row.passed for row in self.rows)

    @property
    def said(self) -> str:
        """How many comparisons, and the one that is furthest from its tolerance, in words."""
        failed = [row for row in self.rows if not row.passed]
        count = _many(len(self.rows), "comparison")
        summary = f"{len(failed)} of {count} out of tolerance" if failed else f"{count}"
        return f"{summary}; {max(failed or self.rows, key=lambda row: row.share_of_tolerance).said}"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Report:
    """The result of `verify_bundle`.

    Attributes:
        served_name: Model and content.
        summary: Graph figures: operators, parameters, multiply-adds, bytes.
        findings: Lint, errors first.
        parity: Each runtime against torch, or against the first runtime without a recipe.
        beat: Composed motion of a phantom beat per runtime; empty for models without flow.
        targets: Target -> the reasons `against` it and their `source`.
        timings_ms: Engine and kernels -> median of one run at the typical size; None where it
            fails.
        reference: What the runtimes were compared with.
        recipe: What made the torch module; "" if torch was not compared.
        not_proven: Checks that were skipped, and what they need.
        precision: Of the bundle; rows of another precision are for information.
        refusals: Runtimes that work here but do not open or run this bundle.
    """

    served_name: str
    summary: dict[str, Any]
    findings: Sequence[Finding]
    parity: Sequence[Parity]
    beat: Sequence[BeatParity]
    targets: dict[str, dict[str, Any]]
    timings_ms: dict[str, float | None]
    reference: str
    recipe: str
    not_proven: Sequence[str]
    precision: str
    refusals: Sequence[str]

    @property
    def counted(self) -> list[Row]:
        """The comparisons that decide: those in the precision of the bundle."""
        return [row for row in self._rows if row.precision == self.precision]

    @property
    def passed(self) -> bool:
        """No lint error, no refusal, and every comparison that counts within its tolerance."""
        sound = not (self._errors or self.refusals)
        return sound and all(row.passed for row in self.counted)

    @property
    def verdict(self) -> str:
        """The result in one or two sentences: what failed, and what was not counted and why."""
        return " ".join(filter(None, (self._result(), self._not_counted())))

    @property
    def lines(self) -> list[Line]:
        """One line per runtime, in the order in which they were compared."""
        groups: dict[tuple[str, str, str], list[Row]] = {}
        for row in self._rows:
            groups.setdefault((row.runtime, row.kernels, row.precision), []).append(row)
        return [
            Line(*key, counted=key[2] == self.precision, rows=tuple(rows))
            for key, rows in groups.items()
        ]

    @property
    def _rows(self) -> list[Row]:
        return [*self.parity, *self.beat]

    @property
    def _errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == ERROR]

    def _result(self) -> str:
        count = _many(len(self.counted), "comparison")
        if self.passed:
            if self.not_proven:
                skipped = len(self.not_proven)
                were = "was" if skipped == 1 else "were"
                return f"No check failed ({count} within tolerance), but {skipped} {were} skipped."
            return f"Verified: {count} within tolerance."
        failed = sum(not row.passed for row in self.counted)
        problems = {
            f"{failed} of {count} out of tolerance": failed,
            _many(len(self._errors), "error") + " in the bundle": len(self._errors),
            _many(len(self.refusals), "refusal") + " by a runtime": len(self.refusals),
        }
        return f"Not verified: {', '.join(text for text, number in problems.items() if number)}."

    def _not_counted(self) -> str:
        others = [row for row in self._rows if row.precision != self.precision]
        if not others:
            return ""
        precisions = ", ".join(sorted({row.precision for row in others}))
        count = _many(len(others), "comparison")
        failed = sum(not row.passed for row in others)
        return (
            f"Not counted: {count} in {precisions}, because the bundle is in {self.precision}"
            f"{f'; {failed} of them out of tolerance' if failed else ''}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `report.json`."""
        return {
            "served_name": self.served_name,
            "passed": self.passed,
            "verdict": self.verdict,
            "lines": [
                {
                    "runtime": line.runtime,
                    "kernels": line.kernels,
                    "precision": line.precision,
                    "counted": line.counted,
                    "passed": line.passed,
                    "said": line.said,
                }
                for line in self.lines
            ],
            "not_proven": list(self.not_proven),
            "reference": self.reference,
            "recipe": self.recipe,
            "precision": self.precision,
            "refusals": list(self.refusals),
            "summary": self.summary,
            "findings": [asdict(finding) for finding in self.findings],
            "parity": [row.to_dict() for row in self.parity],
            "beat": [row.to_dict() for row in self.beat],
            "targets": self.targets,
            "timings_ms": dict(self.timings_ms),
        }
