"""The same analysis over an archive, on Ray Data.

Blocks carry the names of files and never their pixels: a worker reads a file, writes its results
and returns small rows. Results are keyed by SOP instance, bytes and settings (`files.key_of`), so a
run that was stopped goes on where it was, and a worker that dies costs the clip that it had.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cineflow import _C
from cineflow.cli.analyse.batch import Places, analyse_file
from cineflow.cli.analyse.files import Settings
from cineflow.cli.analyse.job import open_model
from cineflow.errors import ArgumentError, MissingDependencyError
from cineflow.runtime import Bundle

#: An address that means: start Ray on this machine, for this run.
LOCAL = "local"
#: What a row keeps of a clip; the rest is in the clip's own summary.json.
_KEPT = (
    "number",
    "part",
    "parts",
    "folder",
    "state",
    "reason",
    "frames",
    "mean_quality",
    "seconds",
)
#: CPUs that Ray Data itself needs next to the workers; without one it waits for ever.
_OWN_CPUS = 1
#: More blocks than this do not balance the load any better.
_MOST_BLOCKS = 10_000


class Worker:
    """Analyses one file after the other; Ray keeps one in each of its processes.

    Args:
        model: Name or folder of the bundle, as every node sees it.
        places: Where the files go, as every node sees it.
        settings: What is done with every clip.
        threads: CPUs that it may use.
    """

    def __init__(self, model: str, places: Places, settings: Settings, threads: int) -> None:
        import cv2

        # A worker keeps to its own CPUs: those of the others are busy with their clips.
        cv2.setNumThreads(threads)
        _C.set_thread_count(threads)
        self._model = open_model(model, threads)
        self._places = places
        self._settings = settings

    def __call__(self, item: dict[str, Any]) -> list[dict[str, Any]]:
        """What became of each cine of the file `item["path"]`."""
        rows = analyse_file(Path(item["path"]), self._places, self._model, self._settings)
        return [self._kept(row | {"number": item["number"]}) for row in rows]

    @staticmethod
    def _kept(row: dict[str, Any]) -> dict[str, Any]:
        # A block is a table: every row has every column.
        kept = {name: row.get(name) for name in _KEPT}
        return kept | {"reason": kept["reason"] or "", "seconds": float(kept["seconds"] or 0.0)}


def analyse_archive(
    paths: Sequence[Path],
    places: Places,
    model: str,
    settings: Settings,
    address: str,
    *,
    workers: int | None = None,
    threads: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Analyse files on a Ray cluster.

    Args:
        paths: The files, by names that every node can open.
        places: Where the files go: folders that every node can write.
        model: A built-in bundle, or a bundle's folder that every node can read.
        settings: What is done with every clip.
        address: Of the cluster ("auto", "ray://host:10001", "host:6379"), or `LOCAL`.
        workers: Workers at once; None for as many as there are CPUs.
        threads: CPUs of each worker.
        progress: Called for each file that has come back.

    Returns:
        What became of each cine, in the order of the files.

    Raises:
        MissingDependencyError: Ray is not installed.
        ArgumentError: The cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingDependencyError(
            "the package ray with its data library", str(error), "`pip install 'cineflow[ray]'`"
        ) from error
    Bundle.load(model)  # a wrong name fails here and not in every worker
    count = workers or max(1, (os.cpu_count() or 1) // threads)
    _connect(ray, address, count * threads + _OWN_CPUS)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = False
        items = [{"number": k + 1, "path": str(path.resolve())} for k, path in enumerate(paths)]
        names = ray.data.from_items(items, override_num_blocks=min(len(items), _MOST_BLOCKS))
        dicom = None if places.dicom is None else places.dicom.resolve()
        there = Places(places.out.resolve(), dicom)
        worker: Any = Worker  # Ray's types know functions only
        analysed = names.flat_map(
            worker,
            fn_constructor_args=(model, there, settings, threads),
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=threads,
        )
        rows = []
        seen = set()
        for row in analysed.iter_rows():
            rows.append({name: value for name, value in row.items() if _is_known(value)})
            if row["number"] not in seen:
                seen.add(row["number"])
                progress()
    finally:
        ray.shutdown()
    return sorted(rows, key=lambda row: (int(row["number"]), int(row.get("part", 0))))


def _is_known(value: Any) -> bool:
    # A column of whole numbers that is empty in some rows may come back as NaN.
    return value not in (None, "") and value == value


def _connect(ray: Any, address: str, cpus: int) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address == LOCAL:
            # Ray gives its workers the lowest priority; on a busy machine they would wait for ever.
            os.environ.setdefault("RAY_worker_niceness", "0")
            ray.init(num_cpus=cpus, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ArgumentError(
            f"a Ray cluster at {address}, or `--ray {LOCAL}`",
            f"{type(error).__name__}: {str(error)[:160]}",
            "`ray start --head` starts one",
        ) from error
