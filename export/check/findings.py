"""A lint finding."""

from __future__ import annotations

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Finding:
    """One thing to fix.

    Attributes:
        severity: "error" (wrong results, or no engine) or "warning" (fails in some runtime).
        rule: Short name of the rule.
        message: What is wrong.
        remedy: What to do about it.
    """

    severity: str
    rule: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.message}. {self.remedy}. [{self.rule}]"
