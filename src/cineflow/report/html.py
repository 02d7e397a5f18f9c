"""The report: one self-contained page with the tracked cine, its curves and its figures."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from cineflow.cine import Cine
from cineflow.cine.sector import covers_the_frame
from cineflow.errors import ArgumentError
from cineflow.motion.closure import Beat
from cineflow.motion.quality_rule import SUSPECT_PX
from cineflow.report.charts import HEIGHT, WIDTH, Chart, bars, curve
from cineflow.report.judgement import beat_rows, beginnings, part_charts
from cineflow.report.latency import Latency
from cineflow.report.palette import STOPS, brighten, colour_range, css_stops
from cineflow.report.trace import Trace

#: Pictures may take this many bytes of the page before base64.
_PICTURE_BUDGET = 3_500_000
#: Frames the page animates; a longer clip keeps its figures and shows its beginning.
_MOST_FRAMES = 300
#: Displacement is sent to the page in steps of this many pixels.
_STEP_PX = 1 / 32


@dataclass(frozen=True)
class Provenance:
    """What made the motion; every field is shown.

    Attributes:
        model: Name of the model as it was served.
        weights: Where its numbers come from ("none: training-free").
        engine: What executed it.
        server: Name and version of the server ("" when in process).
        transport: How frames travelled.
        software: cineflow's version.
    """

    model: str
    weights: str
    engine: str
    server: str
    transport: str
    software: str


@dataclass(frozen=True)
class Closure:
    """Loop closure: the mean in px with its beat, or the reason why there is none."""

    mean_px: float | None
    beat: Beat | None
    reason: str = ""


def write_report(
    path: str | Path,
    cine: Cine,
    trace: Trace,
    latency: Latency,
    closure: Closure,
    provenance: Provenance,
) -> Path:
    """Write the page.

    Args:
        path: The .html file to write; its folder is made.
        cine: The clip, in the pixels of `trace`.
        trace: Its tracked motion, a result for every frame.
        latency: How long each frame took.
        closure: Loop closure over one beat.
        provenance: What made it.

    Returns:
        `path`.

    Raises:
        ArgumentError: Clip, trace and latency are not of the same length.
    """
    lengths = {len(cine), len(trace.quality), latency.each_ms.size}
    if len(lengths) > 1:
        raise ArgumentError(
            f"a result and a latency for each of {len(cine)} frames",
            f"{len(trace.quality)} results, {latency.each_ms.size} latencies",
        )
    environment = Environment(
        loader=PackageLoader("cineflow.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    unit = _Unit.of(cine)
    page = environment.get_template("report.html.j2").render(
        cine=cine,
        trace=trace,
        latency=latency,
        closure=closure,
        provenance=provenance,
        unit=unit,
        charts=_charts(cine, trace, latency, unit),
        part_charts=part_charts(trace),
        beats=beat_rows(trace),
        renewals=[beat for beat in trace.beats if beat.cause != "start"],
        chart_size=(WIDTH, HEIGHT),
        ramp=css_stops(),
        movie=_movie(cine, trace, unit),
        whole_frame=covers_the_frame(cine.sector),
        shown_frames=min(len(cine), _MOST_FRAMES),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


@dataclass(frozen=True)
class _Unit:
    """The unit lengths are shown in, and how long a pixel is in it along (x, y)."""

    name: str
    per_px: tuple[float, float]

    @classmethod
    def of(cls, cine: Cine) -> _Unit:
        if cine.spacing_mm is None:
            return cls("px", (1.0, 1.0))
        return cls("mm", (cine.spacing_mm[1], cine.spacing_mm[0]))

    def length(self, vectors: np.ndarray) -> np.ndarray:
        """Length of vectors [..., 2] (x, y) px in this unit."""
        return np.asarray(
            np.hypot(vectors[..., 0] * self.per_px[0], vectors[..., 1] * self.per_px[1])
        )


def _charts(cine: Cine, trace: Trace, latency: Latency, unit: _Unit) -> list[Chart]:
    charts = []
    if trace.points.shape[1]:
        moved = unit.length(trace.points - trace.points[0])
        low, middle, high = np.percentile(moved, [10, 50, 90], axis=1)
        charts.append(
            curve(
                f"Displacement of the wall points, {unit.name}",
                "Median of the points since the first frame; the band holds 80 % of them.",
                middle,
                band=(low, high),
                marks=beginnings(trace),
                digits=1,
            )
        )
    charts.append(
        curve(
            "Quality per frame, 0 to 1",
            "How far to trust each frame's motion, from its expected error: 1 without error, 1/2 "
            f"at {SUSPECT_PX:g} px, which told failed frames from good ones best.",
            trace.quality,
            top=1.0,
            marks=beginnings(trace),
        )
    )
    expected = trace.parts["expected_error_px"]
    if not np.isnan(expected).all():
        charts.append(
            curve(
                "Expected error per frame, px",
                "What frames like these were off by on phantoms, in pixels of the picture that "
                "the model saw. No label is behind it, and clutter that stands still or motion "
                "across the plane escapes it.",
                expected,
                limit=(SUSPECT_PX, f"suspect from {SUSPECT_PX:g} px"),
                marks=beginnings(trace),
            )
        )
    charts.append(
        bars(
            "Latency per frame, ms",
            "From push to result, the clip paced at its own rate. "
            f"{latency.warm_up_frames} warm-up frames went before and are not counted; "
            "frame 0 has none before it and is not tracked.",
            latency.each_ms,
            latency.period_ms,
            f"deadline {latency.period_ms:.1f} ms",
        )
    )
    return charts


def _movie(cine: Cine, trace: Trace, unit: _Unit) -> dict[str, Any]:
    """What the page's script draws: pictures, points and mesh, in pixels of the cropped frame."""
    count = min(len(cine), _MOST_FRAMES)
    top, bottom, left, right = sector_box(cine)
    offset = np.array([left, top], np.float32)
    shown = unit.length(trace.displacement[:count])[:, trace.shown]
    moved = unit.length(trace.points[:count] - trace.points[:1])
    full, clipped = colour_range(np.concatenate([shown.ravel(), moved.ravel(), [0.0]]))
    steps = np.round(trace.displacement[:count] / _STEP_PX).clip(-32767, 32767).astype("<i2")
    blanked = np.where(cine.sector, cine.frames[:count], 0)
    return {
        "size": [right - left, bottom - top],
        "frames": _encode(brighten(blanked[:, top:bottom, left:right])),
        "times": np.round(cine.times_ms[:count], 3).tolist(),
        "points": np.round(trace.points[:count] - offset, 2).tolist(),
        "nodes": (trace.nodes - offset).tolist(),
        "shown": trace.shown.astype(int).tolist(),
        "steps": base64.b64encode(steps.tobytes()).decode(),
        "step_px": _STEP_PX,
        "unit": unit.name,
        "per_px": list(unit.per_px),
        "full": full,
        "clipped": clipped,
        "ramp": [list(stop) for stop in STOPS],
        "quality": np.round(trace.quality[:count], 3).tolist(),
        "reference": trace.reference[:count].tolist(),
        "beat": trace.beat[:count].tolist(),
    }


def sector_box(cine: Cine, margin: int = 6) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the sector with a margin, within the frame, px."""
    rows, columns = np.nonzero(cine.sector)
    height, width = cine.size
    return (
        max(0, int(rows.min()) - margin),
        min(height, int(rows.max()) + 1 + margin),
        max(0, int(columns.min()) - margin),
        min(width, int(columns.max()) + 1 + margin),
    )


def _encode(frames: np.ndarray) -> list[str]:
    """Frames uint8 [T, H, W] as WebP data URIs, coarser until they fit the budget."""
    for quality, share in ((86, 1.0), (70, 1.0), (60, 0.7), (50, 0.5), (40, 0.35)):
        encoded = [_webp(frame, quality, share) for frame in frames]
        if sum(map(len, encoded)) <= _PICTURE_BUDGET:
            break
    return [f"data:image/webp;base64,{base64.b64encode(data).decode()}" for data in encoded]


def _webp(frame: np.ndarray, quality: int, share: float) -> bytes:
    image = Image.fromarray(frame)
    if share < 1:
        image = image.resize((round(image.width * share), round(image.height * share)))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()
