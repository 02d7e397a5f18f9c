"""The output of a streamed clip: a report, files for programs, a few lines for people."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import cineflow
from cineflow.cli.pacing import Streamed, warm_up_frames
from cineflow.errors import MissingDependencyError
from cineflow.report import (
    Provenance,
    write_csv,
    write_overlay,
    write_picture,
    write_planes,
    write_readings_report,
    write_report,
)
from cineflow.report.arrays import described_arrays
from cineflow.report.scalars import FIRST

if TYPE_CHECKING:
    from cineflow_client import ModelInfo


def import_client() -> Any:
    """The module `cineflow_client`, which is a separate distribution.

    Its warning of untrained weights is off: the commands say it in their own words.

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
    warnings.simplefilter("ignore", cineflow_client.UntrainedWeights)
    return cineflow_client


@dataclass(frozen=True, eq=False)
class Outcome:
    """A streamed clip, with the model and server that it was streamed to.

    Attributes:
        streamed: The paced stream.
        fps: Frames per second that the same stream sustains unpaced.
        model: The model, as the server describes it.
        server_version: Triton's version.
    """

    streamed: Streamed
    fps: float
    model: ModelInfo
    server_version: str

    @property
    def weights(self) -> str:
        """The origin of the model's weights, in words."""
        return self.streamed.spec.weights.describe()

    @property
    def provenance(self) -> Provenance:
        """What computed the results."""
        transport = self.streamed.transport
        return Provenance(
            model=self.model.served_name,
            weights=self.weights,
            engine=self.streamed.collected.engine,
            server=f"Triton {self.server_version}",
            transport=_TRANSPORTS.get(transport, transport),
            software=f"cineflow {cineflow.__version__}",
        )

    def summary(self) -> dict[str, Any]:
        """The figures, for programs; times in ms, lengths in px, spacing in mm ([slice,] row,
        column)."""
        figures = self.streamed.latency.summary()
        cine, closure = self.streamed.cine, self.streamed.closure
        spacing = self.streamed.spacing_mm
        return {
            "frames": figures.frames,
            "p50_ms": round(figures.p50_ms, 3),
            "p95_ms": round(figures.p95_ms, 3),
            "p99_ms": round(figures.p99_ms, 3),
            "max_ms": round(figures.max_ms, 3),
            "fps": round(self.fps, 2),
            "missed_deadlines": figures.missed_deadlines,
            "repeated_frames": list(self.streamed.repeats),
            "frame_period_ms": round(cine.frame_period_ms, 3),
            "server_version": self.server_version,
            "engine": self.streamed.collected.engine,
            "model": self.model.served_name,
            "weights": self.weights,
            "loop_closure_px": None if closure.mean_px is None else round(closure.mean_px, 3),
            "spacing": None if spacing is None else list(spacing),
            "spacing_reason": cine.spacing_reason,
        }

    def write(self, folder: Path) -> None:
        """Write into `folder`: report.html, motion.webp, summary.json, scalars.csv, result.npz.

        A model that gives the points of a whole window also has curves.csv, with the lengths of
        every frame.
        """
        folder.mkdir(parents=True, exist_ok=True)
        streamed, collected = self.streamed, self.streamed.collected
        figures = streamed.latency.summary()
        picture = folder / "motion.webp"
        if collected.trace is not None:
            write_report(
                folder / "report.html",
                streamed.cine,
                collected.trace,
                figures,
                streamed.closure,
                self.provenance,
                fps=self.fps,
                warm_up_frames=warm_up_frames(streamed.spec),
            )
            write_picture(picture, streamed.cine, collected.trace)
        if collected.readings is not None:
            if collected.panels:
                write_planes(picture, collected.panels)
            else:
                write_overlay(picture, streamed.cine, collected.readings)
            write_readings_report(
                folder / "report.html",
                streamed.cine,
                collected.readings,
                streamed.spec,
                picture,
                figures,
                self.provenance,
                fps=self.fps,
                warm_up_frames=warm_up_frames(streamed.spec),
                panels=collected.panels,
            )
        write_csv(folder / "scalars.csv", collected.rows)
        if collected.readings is not None and collected.readings.curves is not None:
            write_csv(folder / "curves.csv", collected.readings.curves.rows)
        if collected.arrays is not None:
            collected.arrays.write(folder / "result.npz", self._about())
        text = json.dumps(self.summary(), indent=2)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")

    def _about(self) -> dict[str, Any]:
        """Units and provenance of result.npz."""
        streamed, collected = self.streamed, self.streamed.collected
        spacing = streamed.spacing_mm
        return {
            "use": "Research use, not for diagnosis",
            **asdict(self.provenance),
            "clip": streamed.cine.name,
            "frames": len(streamed.cine),
            "times_ms": streamed.cine.times_ms.tolist(),
            "picture": _picture(streamed),
            "spacing_mm": None if spacing is None else list(spacing),
            "spacing_reason": streamed.cine.spacing_reason,
            "burned_in": streamed.cine.burned_in,
            "notes": list(streamed.cine.notes),
            "arrays": described_arrays(streamed.spec, collected.unit),
            "absent": {
                name: {"reason": reason, "frames": count}
                for name, (reason, count) in collected.absent.items()
            },
        }

    def print(self, console: Console) -> None:
        """A few lines for people."""
        cine, latency = self.streamed.cine, self.streamed.latency.summary()
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
        if self.streamed.collected.trace is not None:
            grid.add_row("loop closure", self._closure())
        for name, value in self.streamed.collected.rows[-1].items():
            if name not in FIRST:
                grid.add_row(escape(name), f"{value:.6g} in the last frame")
        readings = self.streamed.collected.readings
        if readings is not None and readings.curves is not None:
            for measure in readings.curves.measures:
                grid.add_row(escape(measure.name), f"{measure.value:.4g}")
        spacing = self.streamed.spacing_mm
        axes = ", ".join(("slice", "row", "column")[-len(spacing or ()) :])
        grid.add_row(
            "spacing",
            cine.spacing_reason
            if spacing is None
            else f"{' x '.join(f'{step:.4g}' for step in spacing)} mm per pixel ({axes})",
        )
        grid.add_row("weights", self.weights)
        grid.add_row("served by", f"Triton {self.server_version}, {self.streamed.collected.engine}")
        console.print(grid)

    def _closure(self) -> str:
        closure = self.streamed.closure
        if closure.mean_px is None or closure.beat is None:
            return closure.reason
        return f"{closure.mean_px:.2f} px, frame {closure.beat.start} to {closure.beat.end}"


def _picture(streamed: Streamed) -> dict[str, Any]:
    """From the clip's pixels to those of the arrays, for programs that read result.npz."""
    if streamed.volumes is not None:
        return {
            "meaning": "Arrays are in voxels of the volume that the model saw: the file's volume "
            "(source) padded to `model` behind, below and on the right; each is (depth, height, "
            "width)",
            "source": streamed.volumes.source,
            "model": streamed.volumes.model,
        }
    return {
        "meaning": "Arrays are in pixels of the picture that the model saw: the clip's picture "
        "(source) resized to `content`, then padded on the right and below to `model`; each is "
        "(height, width)",
        **asdict(streamed.geometry),
    }


_TRANSPORTS = {"shm": "gRPC, frames through system shared memory", "grpc": "gRPC tensors"}
