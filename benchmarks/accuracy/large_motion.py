"""Does the tracker lose large motion, and would a correlation stage help?

    python -m benchmarks.accuracy.large_motion [--out build/bench] [--docs]

Measures the pair error by the true motion of the pixel, on the tuning geometries at falling frame
rates. It compares the committed graph alone, the graph behind a correlation stage, and the peers.
The stage finds the best whole displacement of every point within 16 px, at a quarter of the
resolution, by normalised correlation under a Gaussian window. Held-out phantoms are not used.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from benchmarks.accuracy.cases import tuning
from benchmarks.accuracy.measure import Tracker
from benchmarks.accuracy.methods import OURS, bundle, peers
from benchmarks.accuracy.output import arguments, publish
from cineflow.ops import warp
from cineflow.phantom import Beat, ShortAxisPhantom

FRAME_RATES = (50.0, 25.0, 12.5)
#: Pixels by their true motion between the two frames, px.
_EDGES = (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, np.inf)
_GEOMETRIES, _FIRST_SEED = 5, 350
#: Correlation stage: frame px per px of its resolution; its reach and window in the latter.
_SCALE, _REACH, _SIGMA = 4, 4, 4.0


def after_correlation(track: Tracker) -> Tracker:
    """`track` on the current frame warped back by a correlation stage."""

    def both(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        coarse = correlate(previous, current)
        near = warp(current.astype(np.float32)[None, None], coarse[None], border="clamp")[0, 0]
        rest = np.asarray(track(previous, near), np.float32)
        return rest + warp(coarse[None], rest[None], border="clamp")[0]

    return both


def correlate(previous: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Whole displacement with the best windowed correlation, enlarged, f32 [2, H, W] px."""
    rows, columns = previous.shape
    small = (columns // _SCALE, rows // _SCALE)
    a, b = (
        cv2.resize(frame.astype(np.float32), small, interpolation=cv2.INTER_AREA)
        for frame in (previous, current)
    )
    steps = [(x, y) for y in range(-_REACH, _REACH + 1) for x in range(-_REACH, _REACH + 1)]
    likeness = np.stack([_likeness(a, _shifted(b, x, y)) for x, y in steps])
    best = np.asarray(steps, np.float32)[likeness.argmax(axis=0)]
    smooth = cv2.GaussianBlur(_SCALE * best, (0, 0), 2.0)
    return np.ascontiguousarray(cv2.resize(smooth, (columns, rows)).transpose(2, 0, 1))


def _shifted(picture: np.ndarray, x: int, y: int) -> np.ndarray:
    """The value of p + (x, y) at p; the border is repeated outside."""
    wide = np.pad(picture, _REACH, mode="edge")
    rows, columns = picture.shape
    return wide[_REACH + y : _REACH + y + rows, _REACH + x : _REACH + x + columns]


def _likeness(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Normalised correlation of two pictures under a Gaussian window around each pixel."""

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), _SIGMA))

    ma, mb = mean(a), mean(b)
    spread = (mean(a * a) - ma * ma) * (mean(b * b) - mb * mb)
    return np.asarray((mean(a * b) - ma * mb) / np.sqrt(np.maximum(spread, 1.0)))


def by_motion(methods: dict[str, Tracker], frame_rate: float) -> dict[str, list[float | None]]:
    """Mean pair error of the wall's pixels by their motion, px; None for an empty bin.

    "share" is the percentage of pixels in each bin.
    """
    count = np.zeros(len(_EDGES) - 1)
    total = {name: np.zeros(len(count)) for name in methods}
    for index, case in enumerate(tuning()[:_GEOMETRIES]):
        beat = Beat(frame_rate_hz=frame_rate, beats=0.7)
        phantom = ShortAxisPhantom(_FIRST_SEED + index, **{**case.settings, "beat": beat})
        for k, (a, b) in enumerate(pairwise(phantom.frames)):
            truth, wall = phantom.flow(k, k + 1), phantom.myocardium(k)
            bins = np.digitize(np.hypot(*truth)[wall], _EDGES) - 1
            count += np.bincount(bins, minlength=len(count))
            for name, track in methods.items():
                error = np.hypot(*(track(a, b) - truth))[wall]
                total[name] += np.bincount(bins, weights=error, minlength=len(count))
        print(f"{frame_rate:g} frames/s, {case.name}", flush=True)
    rows: dict[str, list[float | None]] = {"share": [100.0 * c / count.sum() for c in count]}
    for name, sums in total.items():
        rows[name] = [s / c if c else None for s, c in zip(sums, count, strict=True)]
    return rows


def table(results: dict[float, dict[str, list[float | None]]]) -> str:
    """Markdown: one row per frame rate and method."""
    spans = [
        f"{a:g} to {b:g}" if np.isfinite(b) else f"{a:g} and more" for a, b in pairwise(_EDGES)
    ]
    lines = [f"| frames/s | px per pair: | {' | '.join(spans)} |", "|---" * (2 + len(spans)) + "|"]
    for rate, rows in results.items():
        for name, values in rows.items():
            form = "{:.0f} %" if name == "share" else "{:.2f}"
            cells = ["–" if v is None or v == 0 else form.format(v) for v in values]
            label = "share of the wall" if name == "share" else name
            lines.append(f"| {rate:g} | {label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    given = arguments(__doc__).parse_args()
    ours, others = bundle(), peers()
    methods = {
        OURS: ours,
        f"{OURS} after correlation": after_correlation(ours),
        **{name: others[name] for name in ("OpenCV DIS", "OpenCV Farneback")},
    }
    results = {rate: by_motion(methods, rate) for rate in FRAME_RATES}
    publish(given, "accuracy_large_motion", table(results), results, "motion/accuracy.md")


if __name__ == "__main__":
    main()
