"""What `cineflow verify` found: `report.json` and the sentence at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cineflow.export.check.findings import ERROR, Finding
from cineflow.export.check.parity import Parity
from cineflow.export.verify.beat import BeatParity


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
    def passed(self) -> bool:
        """No lint error, no refusal, and every comparison of its precision within tolerance."""
        sound = all(finding.severity != ERROR for finding in self.findings)
        rows: list[Parity | BeatParity] = [*self.parity, *self.beat]
        decisive = [row for row in rows if row.precision == self.precision]
        return sound and not self.refusals and all(row.passed for row in decisive)

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        if not self.passed:
            return "Not verified: see the red lines."
        if self.not_proven:
            return "No check failed, but some were skipped."
        return "Verified: every comparison is within its tolerance."

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `report.json`."""
        return {
            "served_name": self.served_name,
            "passed": self.passed,
            "verdict": self.verdict,
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
