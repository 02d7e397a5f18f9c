"""`cineflow verify`: everything that can be proven about a bundle on this machine.

run.py        all checks, in order
reference.py  the torch module behind a bundle, or why it is missing
runtimes.py   every form of the bundle that opens here
beat.py       motion and strain composed over a phantom beat
report.py     what was found
page.py       the report as a page (templates/report.html.j2)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cineflow.export._face import lazily

if TYPE_CHECKING:
    from cineflow.export.verify.beat import COMPOSED_TOLERANCE_PX, BeatParity
    from cineflow.export.verify.report import Report
    from cineflow.export.verify.run import verify_bundle

__all__ = [
    "COMPOSED_TOLERANCE_PX",
    "BeatParity",
    "Report",
    "verify_bundle",
]

__getattr__ = lazily(
    __name__,
    {
        "COMPOSED_TOLERANCE_PX": "beat",
        "BeatParity": "beat",
        "Report": "report",
        "verify_bundle": "run",
    },
)
