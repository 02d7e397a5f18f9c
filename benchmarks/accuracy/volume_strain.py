"""Strain of volumes by the default tracker, compared with the true strain of the same lines.

    python -m benchmarks.accuracy.volume_strain [--bundle DIR] [--side 64]

Tracks the ventricle phantom with `cineflow analyse`'s own job, with the wall drawn exactly. Radial
strain, which its reports leave out, is measured too: it shows why. Without
--bundle, the recipe is exported for this size first. A phantom is easier than a patient.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.accuracy.strain_error import true_strain, wall_of
from benchmarks.repeat import repeat_line
from cineflow.cine import VolumeCine
from cineflow.cli.analyse.job import Model, analyse_clip, open_model
from cineflow.cli.analyse.wall_file import drawn
from cineflow.motion.strain_curves import measure_lines
from cineflow.phantom import Beat, VentriclePhantom, ventricle

#: Seeds that no setting was chosen with.
SEED = 903
_CASES: tuple[tuple[str, Literal["mr", "ultrasound"], float], ...] = (
    ("MR", "mr", 20.0),
    ("ultrasound", "ultrasound", 40.0),
)


def rows(name: str, phantom: VentriclePhantom, model: Model) -> list[str]:
    """One line of the table for each direction, at end-systole."""
    depth_mm, row_mm, column_mm = phantom.spacing_mm
    clip = VolumeCine(phantom.frames, phantom.times_ms, (depth_mm, row_mm, column_mm),
                      "the phantom's", np.asarray(phantom.sector))  # fmt: skip
    asked = {**wall_of(phantom), "ed": [phantom.ed], "es": [phantom.es]}
    found_strain = analyse_clip(clip, model, drawn(asked)).strain
    wall = drawn(asked).wall_of_volumes(clip.spacing_mm, radial=True)
    assert found_strain is not None
    assert wall is not None
    # A report leaves the radial strain out; here it is measured on the same tracked points.
    strain = measure_lines(
        found_strain.path,
        wall,
        found_strain.beats,
        np.full(len(phantom), np.nan),
        spacing_mm=clip.spacing_mm,
    )
    found, true = 100 * strain.strain[:, phantom.es], 100 * true_strain(strain, phantom)
    true = true[:, phantom.es]
    lines = []
    for direction in strain.directions():
        parts = [k for k, part in enumerate(strain.parts) if part.direction == direction]
        whole = next(k for k in parts if not strain.parts[k].segment)
        segments = [k for k in parts if strain.parts[k].segment]
        off = np.abs(found[segments] - true[segments]).mean()
        lines.append(
            f"| {name} | {direction} | {true[whole]:+.1f} | {found[whole]:+.1f} | {off:.1f} |"
        )
    return lines


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="Of lucas_kanade_3d, for this size.")
    parser.add_argument("--side", type=int, default=64, help="Voxels along each side.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cineflow-bench-") as scratch:
        bundle = chosen.bundle
        if bundle is None:
            from cineflow.export import export_bundle

            bundle = Path(scratch) / "bundle"
            sizes = dict.fromkeys(("depth", "height", "width"), chosen.side)
            export_bundle("lucas_kanade_3d", bundle, sizes=sizes)
        model = open_model(str(bundle))
        print("| phantom | direction | true, % | found, % | mean error of a segment, points |")
        print("|---|---|---|---|---|")
        for name, contrast, rate in _CASES:
            phantom = ventricle(SEED, size=(chosen.side,) * 3, contrast=contrast,
                                beat=Beat(frame_rate_hz=rate))  # fmt: skip
            print("\n".join(rows(name, phantom, model)), flush=True)
    print(repeat_line())


if __name__ == "__main__":
    main()
