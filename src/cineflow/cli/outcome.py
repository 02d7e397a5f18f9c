"""The output of a streamed clip: a report, a summary for programs, a few lines for people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

import cineflow
from cineflow.cli.pacing import WARM_UP_FRAMES, Tracked, spec_of
from cineflow.errors import MissingDependencyError
from cineflow.report import Provenance, write_picture, write_report

if TYPE_CHECKING:
    from cineflow_client import ModelInfo


def import_client() -> Any:
    """The module `cineflow_client`, which is a separate distribution.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        import cineflow_client
    except ImportError as error:
        raise MissingDependencyError(
            "the distribution cineflow-client",
            str(error),
            "In a clone: `pip install ./client '.[serve,client]'`",
        ) from error
    return cineflow_client


@dataclass(frozen=True, eq=False)
class Outcome:
    """A streamed clip, with the model and server that tracked it.

    Attributes:
        tracked: The paced stream.
        fps: Frames per second that the same stream sustains unpaced.
        model: The model, as the server describes it.
        server_version: Triton's version.
        engine: What executed the model.
    """

    tracked: Tracked
    fps: float
    model: ModelInfo
    server_version: str
    engine: str

    @property
    def weights(self) -> str:
        """The origin of the model's weights, in words."""
        return spec_of(self.model).weights.describe()

    def summary(self) -> dict[str, Any]:
        """The figures, for programs; times in ms, lengths in px, spacing in mm (row, column)."""
        figures = self.tracked.latency.summary()
        cine, closure = self.tracked.cine, self.tracked.closure
        return {
            "frames": figures.frames,
            "p50_ms": round(figures.p50_ms, 3),
            "p95_ms": round(figures.p95_ms, 3),
            "p99_ms": round(figures.p99_ms, 3),
            "max_ms": round(figures.max_ms, 3),
            "fps": round(self.fps, 2),
            "missed_deadlines": figures.missed_deadlines,
            "repeated_frames": list(self.tracked.repeats),
            "frame_period_ms": round(cine.frame_period_ms, 3),
            "server_version": self.server_version,
            "engine": self.engine,
            "model": self.model.served_name,
            "weights": self.weights,
            "loop_closure_px": None if closure.mean_px is None else round(closure.mean_px, 3),
            "spacing": None if cine.spacing_mm is None else list(cine.spacing_mm),
            "spacing_reason": cine.spacing_reason,
        }

    def write(self, folder: Path) -> None:
        """Write report.html, motion.webp and summary.json into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        tracked = self.tracked
        write_report(
            folder / "report.html",
            tracked.cine,
            tracked.trace,
            tracked.latency.summary(),
            tracked.closure,
            Provenance(
                model=self.model.served_name,
                weights=self.weights,
                engine=self.engine,
                server=f"Triton {self.server_version}",
                transport=_TRANSPORTS.get(tracked.transport, tracked.transport),
                software=f"cineflow {cineflow.__version__}",
            ),
            fps=self.fps,
            warm_up_frames=WARM_UP_FRAMES,
        )
        write_picture(folder / "motion.webp", tracked.cine, tracked.trace)
        text = json.dumps(self.summary(), indent=2)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")

    def print(self, console: Console) -> None:
        """A few lines for people."""
        cine, latency = self.tracked.cine, self.tracked.latency.summary()
        for note in cine.notes:
            console.print(f"note  {note}")
        grid = Table.grid(padding=(0, 3))
        grid.add_row(
            "latency",
            f"p50 {latency.p50_ms:.1f} ms, p95 {latency.p95_ms:.1f} ms, "
            f"p99 {latency.p99_ms:.1f} ms, max {latency.max_ms:.1f} ms",
        )
        late = f"{latency.missed_deadlines} of {latency.frames} frames later than "
        grid.add_row("deadline", late + f"{cine.frame_period_ms:.1f} ms")
        grid.add_row("unpaced", f"{self.fps:.0f} frames per second")
        grid.add_row("loop closure", self._closure())
        spacing = cine.spacing_mm
        grid.add_row(
            "spacing",
            cine.spacing_reason
            if spacing is None
            else f"{spacing[0]:.4g} x {spacing[1]:.4g} mm per pixel (row, column)",
        )
        grid.add_row("weights", self.weights)
        grid.add_row("served by", f"Triton {self.server_version}, {self.engine}")
        console.print(grid)

    def _closure(self) -> str:
        closure = self.tracked.closure
        if closure.mean_px is None or closure.beat is None:
            return closure.reason
        return f"{closure.mean_px:.2f} px, frame {closure.beat.start} to {closure.beat.end}"


_TRANSPORTS = {"shm": "gRPC, frames through system shared memory", "grpc": "gRPC tensors"}
