"""How long `cineflow analyse` takes for a real clip, against the clip's own length.

    python -m benchmarks.analyse [--clip FILE] [--repeats 3] [--ray]

The default clip is the 120-frame 480x640 apical view of the package pydicom-data. The limits are
1.5 times real time on two CPU cores for the whole command, and a report of 15 MB. The steps of the
command are timed in processes of their own. With --ray it also compares two workers with one on
copies of the pydicom clip, each worker with one thread; two should be 1.8 times as fast.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.repeat import repeat_line

#: Limits of the project: times real time, MB, and how much faster two workers are than one.
MOST_TIMES, MOST_MB, LEAST_FASTER = 1.5, 15.0, 1.8
#: Clips that a worker on Ray has read before its time begins to count.
_WARM = 2


def default_clip() -> Path:
    """The 120-frame clip of pydicom-data."""
    spec = importlib.util.find_spec("data_store")
    if spec is None or spec.submodule_search_locations is None:
        raise SystemExit("pip install pydicom-data, or name a clip with --clip")
    return Path(next(iter(spec.submodule_search_locations))) / "data/color3d_jpeg_baseline.dcm"


def environment(folder: Path) -> dict[str, str]:
    """Ours, with compiled modules kept in a folder, as an installed package has them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}


def command(path: Path, out: Path) -> tuple[float, dict[str, float]]:
    """Wall seconds of the whole command, from its start to its end, and its summary's figures."""
    began = time.perf_counter()
    program = "from cineflow.cli import main; main()"
    subprocess.run(
        [sys.executable, "-c", program, "analyse", str(path), "--out", str(out)],
        check=True,
        stdout=subprocess.DEVNULL,
        env=environment(out.parent),
    )
    seconds = time.perf_counter() - began
    (row,) = json.loads((out / "summary.json").read_text())["clips"]
    assert row["state"] == "done", row
    page = out / row["folder"] / "report.html"
    return seconds, {"megabytes": page.stat().st_size / 1e6, "frames": row["frames"],
                     "length_s": row["seconds"] / row["times_real_time"]}  # fmt: skip


def steps(path: Path, out: Path) -> None:
    """Print wall and CPU seconds of each step of this process as JSON."""
    found: dict[str, tuple[float, float]] = {}
    wall, cpu = time.perf_counter(), time.process_time()

    def done(step: str) -> None:
        nonlocal wall, cpu
        found[step] = time.perf_counter() - wall, time.process_time() - cpu
        wall, cpu = time.perf_counter(), time.process_time()

    from cineflow.cine import read_clip
    from cineflow.cli.analyse.job import analyse_clip, open_model
    from cineflow.cli.analyse.outputs import Wanted, write_outputs
    from cineflow.cli.analyse.wall_file import Drawn

    done("import")
    model = open_model("lucas_kanade")
    done("open the engine")
    clip = read_clip(path)
    done("read")
    analysis = analyse_clip(clip, model, Drawn())
    done("track and measure")
    write_outputs(out, analysis, Wanted())
    done("write")
    print(json.dumps(found))


def timed_steps(path: Path, out: Path) -> dict[str, tuple[float, float]]:
    """The seconds of `steps` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.analyse", "--steps", str(out), "--clip", str(path)],
        check=True,
        capture_output=True,
        text=True,
        env=environment(out.parent),
    )
    found: dict[str, tuple[float, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def copies(count: int, folder: Path) -> list[Path]:
    """Copies of the pydicom clip with SOP instance UIDs of their own."""
    import pydicom
    from pydicom.examples import get_path
    from pydicom.uid import generate_uid

    folder.mkdir()
    paths = []
    for number in range(count):
        data = pydicom.dcmread(get_path("ybr_color"))
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.save_as(folder / f"{number}.dcm")
        paths.append(folder / f"{number}.dcm")
    return paths


def on_ray(paths: list[Path], count: int, out: Path) -> tuple[float, float]:
    """Seconds for clips on Ray with `count` workers of one thread: from start to end, and of the
    clips after the first two of each worker."""
    from cineflow.cli.analyse.archive import analyse_archive
    from cineflow.cli.analyse.batch import Places
    from cineflow.cli.analyse.files import Settings

    out.mkdir()
    began = time.perf_counter()
    rows = analyse_archive(
        paths, Places(out), "lucas_kanade", Settings(), "local", workers=count, threads=1
    )
    seconds = time.perf_counter() - began
    assert all(row["state"] == "done" for row in rows), rows
    done = sorted(one.stat().st_mtime for one in out.glob("*/summary.json"))
    left = len(done) - _WARM * count
    return seconds, (done[-1] - done[_WARM * count - 1]) / left * len(done)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clip", type=Path, help="A clip; default: 120 frames of pydicom-data.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ray", action="store_true", help="Also one and two workers on Ray.")
    parser.add_argument("--files", type=int, default=48, help="Clips of the comparison on Ray.")
    parser.add_argument("--steps", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    path = chosen.clip or default_clip()
    if chosen.steps:
        steps(path, chosen.steps)
        return
    with tempfile.TemporaryDirectory(prefix="cineflow-bench-") as scratch:
        folder = Path(scratch)
        runs: list[float] = []
        facts: dict[str, float] = {}
        stepped: list[dict[str, tuple[float, float]]] = []
        for _ in range(chosen.repeats):
            seconds, facts = command(path, folder / "command")
            runs.append(seconds)
            stepped.append(timed_steps(path, folder / "steps"))
            shutil.rmtree(folder / "command")
        length = facts["length_s"]
        print(f"{facts['frames']} frames, {length:.2f} s, {os.cpu_count()} CPUs")
        print(f"{'step':20} {'seconds':>8} {'CPU seconds':>12}")
        best = min(stepped, key=lambda one: sum(wall for wall, _ in one.values()))
        for step, (wall, cpu) in best.items():
            print(f"{step:20} {wall:8.2f} {cpu:12.2f}")
        print(f"{'the whole command':20} {min(runs):8.2f}   {min(runs) / length:.2f} times real "
              f"time (limit {MOST_TIMES})")  # fmt: skip
        print(f"{'report':20} {facts['megabytes']:8.2f} MB (limit {MOST_MB:g})")
        if chosen.ray:
            paths = copies(chosen.files, folder / "clips")
            (whole, one), (both, two) = (on_ray(paths, n, folder / f"ray{n}") for n in (1, 2))
            print(f"Ray, {chosen.files} clips, workers of one thread: one {one:.1f} s, two "
                  f"{two:.1f} s, {one / two:.2f} times as fast (limit {LEAST_FASTER}); with Ray's "
                  f"own start and end {whole:.1f} and {both:.1f} s")  # fmt: skip
    print(repeat_line())


if __name__ == "__main__":
    main()
