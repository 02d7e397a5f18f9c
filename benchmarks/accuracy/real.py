"""Loop closure on real clips. Their motion is unknown, except that a heart returns after a beat.

    python -m benchmarks.accuracy.real [--out build/bench] [--docs]

Uses the clip of the pydicom wheel and, if pydicom-data is installed, its four-second parent. A
tracker that reports no motion closes every loop, and a sliding probe leaves one open correctly. The
table therefore includes zero flow and the shift of the whole picture, measured without a tracker.
Below it are the beats that a stream finds in each clip, with drift and quality.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.accuracy.measure import Tracker
from benchmarks.accuracy.methods import OURS, bundle, peers
from benchmarks.accuracy.output import arguments, publish
from cineflow.cine import Cine, default_clip, read_cine
from cineflow.motion.closure import find_beat, picture_shift
from cineflow.motion.compose import compose
from cineflow.motion.metrics import loop_closure
from cineflow.runtime import Bundle, open_engine
from cineflow.runtime.stream import Stream

_TISSUE_GREY = 30
PARENT = "color3d_jpeg_baseline.dcm"
#: Frames of a beat: the parent repeats every 27, about 67 beats/min at 30 frames/s.
_KNOWN_PERIOD = {"ybr_color": 27}


@dataclass(frozen=True, eq=False)
class RealBeat:
    """One beat of a clip.

    Attributes:
        clip: Name and size of the clip.
        start, end: Frames one beat apart.
        frames: u8 [end - start + 1, H, W].
        tissue: Bright tissue inside the sector, bool [H, W].
        shift_px: Shift (x, y) of the whole last picture against the first, whole pixels.
    """

    clip: str
    start: int
    end: int
    frames: np.ndarray
    tissue: np.ndarray
    shift_px: tuple[int, int]


def clips() -> Iterator[tuple[str, Cine]]:
    """The clips that are installed."""
    yield "ybr_color", default_clip()
    path = parent_path()
    if path is not None:
        yield "color3d", read_cine(path)


def parent_path() -> Path | None:
    """The parent's file in pydicom-data; None if that is not installed. Does not download."""
    from pydicom.data import get_testdata_file

    found = get_testdata_file(PARENT, download=False)
    return None if found is None else Path(found)


def beats(name: str, cine: Cine) -> list[RealBeat]:
    """Every whole beat of a clip, counted from the most similar frames one beat apart.

    A clip hardly longer than a beat does not show its period. The short clip uses its parent's.
    """
    pair, _ = find_beat(cine.frames, np.asarray(cine.times_ms), cine.sector)
    if name in _KNOWN_PERIOD:
        lag = _KNOWN_PERIOD[name]
        inside = cine.frames[:, cine.sector].astype(np.int16)
        first = int(np.abs(inside[lag:] - inside[:-lag]).mean(axis=1).argmin())
    elif pair is not None:
        lag, first = pair.end - pair.start, pair.start
    else:
        return []
    tissue = (cine.frames.mean(axis=0) > _TISSUE_GREY) & cine.sector
    label = f"{name}, {cine.size[0]} x {cine.size[1]}"
    return [
        RealBeat(
            label,
            start,
            start + lag,
            cine.frames[start : start + lag + 1],
            tissue,
            picture_shift(cine.frames[start], cine.frames[start + lag], cine.sector),
        )
        for start in range(first % lag, len(cine) - lag, lag)
    ]


def closures(methods: Mapping[str, Tracker], beat: RealBeat) -> dict[str, tuple[float, float]]:
    """Displacement left after the beat, and the largest within it, mean over the tissue, px."""
    found = {}
    for name, track in methods.items():
        u = np.zeros((2, *beat.frames.shape[1:]), np.float32)
        path = []
        for a, b in zip(beat.frames[:-1], beat.frames[1:], strict=True):
            u = compose(u, np.asarray(track(a, b), np.float32))
            path.append(loop_closure(u, beat.tissue))
        found[name] = (path[-1], max(path))
    return found


def loop_closures(methods: Mapping[str, Tracker]) -> dict[str, float]:
    """Displacement left after the one beat of the pydicom wheel's clip, px, by method."""
    (beat,) = beats("ybr_color", default_clip())
    return {name: left for name, (left, _) in closures(methods, beat).items()}


def table(rows: list[tuple[RealBeat, dict[str, tuple[float, float]]]]) -> str:
    """One row per beat and clip: displacement left, and in brackets the largest within it, px."""
    names = list(rows[0][1])
    lines = [
        f"| clip | frames | picture shift | {' | '.join(names)} |",
        "|---" * (3 + len(names)) + "|",
    ]
    for beat, found in rows:
        best = min(left for name, (left, _) in found.items() if name != "zero flow")
        cells = [
            f"**{left:.2f}** ({most:.1f})" if left == best else f"{left:.2f} ({most:.1f})"
            for left, most in found.values()
        ]
        shift = f"({beat.shift_px[0]}, {beat.shift_px[1]})"
        lines.append(
            f"| {beat.clip} | {beat.start} to {beat.end} | {shift} | {' | '.join(cells)} |"
        )
    return "\n".join(lines) + "\n"


def streamed(name: str, cine: Cine) -> str:
    """The beats that a stream without triggers finds in a clip, one line each."""
    model = Bundle.load("lucas_kanade")
    stream = Stream(open_engine(model), model.spec)
    results = [stream.push(frame) for frame in cine.frames]
    lines = [f"{name}, streamed without triggers:"]
    for before, now in pairwise(results):
        beat, at = now.beat_info, results[now.reference].quality_parts
        if now.reference == before.reference or beat is None or at is None:
            continue
        drift = "unknown" if beat.drift_px is None else f"{beat.drift_px:.1f} px"
        lines.append(
            f"- end-diastole at frame {now.reference}, {beat.delay_frames} frames late, "
            f"drift {drift}; quality {at.index:.2f}, expected error {at.expected_error_px:.2f} px"
        )
    if len(lines) == 1:
        lines.append("- no beat found, the first frame stays the reference")
    return "\n".join(lines) + "\n"


def main() -> None:
    given = arguments(__doc__).parse_args()
    methods = {OURS: bundle(), **peers()}
    rows = [(beat, closures(methods, beat)) for name, cine in clips() for beat in beats(name, cine)]
    text = "\n".join([table(rows), *(streamed(name, cine) for name, cine in clips())])
    data = [
        {"clip": b.clip, "start": b.start, "end": b.end, "shift_px": b.shift_px, "px": found}
        for b, found in rows
    ]
    publish(given, "accuracy_real", text, data, "motion/real_clips.md")


if __name__ == "__main__":
    main()
