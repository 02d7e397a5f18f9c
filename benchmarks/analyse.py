"""How long `cineflow analyse` takes for a real clip, against the clip's own length.

    python -m benchmarks.analyse [--clip FILE] [--repeats 3] [--ray]

The default clip is the 120-frame 480x640 apical view of the package pydicom-data. The limits are
1.5 times real time on two CPU cores, and a report of 15 MB. With --ray it also compares two workers
with one on copies of the pydicom clip; two should be 1.8 times as fast.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.repeat import repeat_line
from cineflow.cine import Cine, read_clip
from cineflow.cli.analyse.archive import analyse_archive
from cineflow.cli.analyse.batch import Places
from cineflow.cli.analyse.files import Settings
from cineflow.cli.analyse.job import Model, analyse_clip
from cineflow.cli.analyse.outputs import Wanted, write_outputs
from cineflow.cli.analyse.wall_file import Drawn
from cineflow.runtime import Bundle, open_engine

#: Limits of the project: times real time, and MB.
MOST_TIMES, MOST_MB = 1.5, 15.0


def default_clip() -> Path:
    """The 120-frame clip of pydicom-data."""
    spec = importlib.util.find_spec("data_store")
    if spec is None or spec.submodule_search_locations is None:
        raise SystemExit("pip install pydicom-data, or name a clip with --clip")
    return Path(next(iter(spec.submodule_search_locations))) / "data/color3d_jpeg_baseline.dcm"


def once(path: Path, model: Model, folder: Path) -> tuple[dict[str, float], Cine]:
    """Seconds of each step, and the clip."""
    times = {}
    start = time.perf_counter()
    clip = read_clip(path)
    times["read"] = time.perf_counter() - start
    start = time.perf_counter()
    found = analyse_clip(clip, model, Drawn())
    times["track and measure"] = time.perf_counter() - start
    start = time.perf_counter()
    write_outputs(folder, found, Wanted())
    times["write"] = time.perf_counter() - start
    return times, found.cine


def workers(count: int, files: int, folder: Path) -> float:
    """Seconds for `files` copies of the small clip on Ray with `count` workers."""
    from pydicom.examples import get_path

    source = Path(str(get_path("ybr_color")))
    clips = folder / "clips"
    clips.mkdir(exist_ok=True)
    import pydicom
    from pydicom.uid import generate_uid

    paths = []
    for number in range(files):
        path = clips / f"{number}.dcm"
        if not path.exists():
            data = pydicom.dcmread(source)
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            data.save_as(path)
        paths.append(path)
    out = folder / f"out{count}"
    out.mkdir()
    start = time.perf_counter()
    rows = analyse_archive(paths, Places(out), "lucas_kanade", Settings(), "local", workers=count)
    seconds = time.perf_counter() - start
    assert all(row["state"] == "done" for row in rows), rows
    return seconds


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clip", type=Path, help="A clip; default: 120 frames of pydicom-data.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ray", action="store_true", help="Also one and two workers on Ray.")
    parser.add_argument("--files", type=int, default=24, help="Clips of the comparison on Ray.")
    chosen = parser.parse_args()
    path = chosen.clip or default_clip()
    bundle = Bundle.load("lucas_kanade")
    start = time.perf_counter()
    model = Model(bundle, open_engine(bundle))
    print(f"engine opened in {time.perf_counter() - start:.2f} s, {os.cpu_count()} CPUs")
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="cineflow-bench-") as scratch:
        folder = Path(scratch)
        for _ in range(chosen.repeats):
            shutil.rmtree(folder / "out", ignore_errors=True)
            times, cine = once(path, model, folder / "out")
            if not best or sum(times.values()) < sum(best.values()):
                best = times
        megabytes = (folder / "out" / "report.html").stat().st_size / 1e6
        length = float(cine.times_ms[-1] - cine.times_ms[0] + cine.frame_period_ms) / 1e3
        print(f"{len(cine)} frames of {cine.size[0]}x{cine.size[1]}, {length:.2f} s")
        for step, seconds in best.items():
            print(f"  {step:20} {seconds:6.2f} s")
        total = sum(best.values())
        print(f"  {'all':20} {total:6.2f} s, {total / length:.2f} times real time "
              f"(limit {MOST_TIMES})")  # fmt: skip
        print(f"  {'report':20} {megabytes:6.2f} MB (limit {MOST_MB:g})")
        if chosen.ray:
            one, two = (workers(count, chosen.files, folder) for count in (1, 2))
            print(f"Ray, {chosen.files} clips: one worker {one:.1f} s, two {two:.1f} s, "
                  f"{one / two:.2f} times as fast")  # fmt: skip
    print(repeat_line())


if __name__ == "__main__":
    main()
