"""Draws the animations of docs/phantoms.md and the bull's eye of docs/motion/measurements.md.

    python docs/img/phantoms.py [--out docs/img]

Every phantom has a fixed seed, so the pictures are reproducible.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cineflow.motion.aha import segment_means
from cineflow.phantom import Beat, Region, ventricle
from cineflow.phantom.io import KINDS, make, save
from cineflow.report.bullseye import bullseye


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/img"))
    out: Path = parser.parse_args().out
    for kind in KINDS:
        save(make(kind, seed=1), out / f"phantom-{kind}.webp")
    for kind in ("short-axis", "ventricle"):
        save(make(kind, seed=1, contrast="mr"), out / f"phantom-{kind}-mr.webp")
    draw_bullseye(out / "bullseye.png")


def draw_bullseye(path: Path) -> None:
    """True peak circumferential strain of a ventricle with a nearly akinetic inferior wall."""
    territory = Region(centre_deg=180.0, width_deg=100.0, contraction=0.2, heights=(0.2, 0.8))
    phantom = ventricle(beat=Beat(frame_rate_hz=10.0), regions=(territory,))
    around = 100.0 * phantom.strain(phantom.es)[1]
    values = segment_means(around, phantom.segments())
    values[16] = np.nan  # fibres do not run around the cap
    figure = bullseye(values, "peak circumferential strain, % (Lagrangian)", limits=(-25.0, 5.0))
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
