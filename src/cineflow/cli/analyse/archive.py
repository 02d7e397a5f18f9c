"""The same analysis over an archive, on Ray Data.

Blocks carry the names of files and never their pixels: a worker reads a file, writes its results
and returns one small row. Results are keyed by SOP instance and bundle (`batch.key_of`), so a run
that was stopped goes on where it was, and a worker that dies costs the clip that it had.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cineflow.cli.analyse.batch import Settings, analyse_to, key_of
from cineflow.cli.analyse.job import Model
from cineflow.errors import ArgumentError, MissingDependencyError
from cineflow.runtime import Bundle, open_engine

#: An address that means: start Ray on this machine, for this run.
LOCAL = "local"
#: What a row keeps of a clip; the rest is in the clip's own summary.json.
_KEPT = ("number", "folder", "state", "reason", "frames", "mean_quality", "seconds")
#: CPUs that Ray Data itself needs next to the workers; without one it waits for ever.
_OWN_CPUS = 1
#: More blocks than this do not balance the load any better.
_MOST_BLOCKS = 10_000


class Worker:
    """Analyses one file after the other; Ray keeps one in each of its processes.

    Args:
        model: Name or folder of the bundle, as every node sees it.
        out: Folder of the output, as every node sees it.
        settings: What is done with every clip.
        dicom: Folder of the DICOM objects; None for none.
        threads: CPU threads of the engine.
    """

    def __init__(
        self, model: str, out: str, settings: Settings, dicom: str | None, threads: int
    ) -> None:
        bundle = Bundle.load(model)
        self._model = Model(bundle, open_engine(bundle, threads=threads))
        self._out = Path(out)
        self._dicom = None if dicom is None else Path(dicom)
        self._settings = settings

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        """What became of the file `item["path"]`."""
        path = Path(item["path"])
        row: dict[str, Any] = {"number": item["number"], "folder": ""}
        try:
            key = key_of(path, self._model.bundle.hash)
        except OSError as error:  # gone since the names were listed
            row |= {"state": "refused", "reason": error.strerror or "unreadable"}
        else:
            objects = None if self._dicom is None else self._dicom / key
            row |= {"folder": key}
            row |= analyse_to(path, self._out / key, self._model, self._settings, dicom=objects)
        # A block is a table: every row has every column.
        kept = {name: row.get(name) for name in _KEPT}
        return kept | {"reason": kept["reason"] or "", "seconds": float(kept["seconds"] or 0.0)}


def analyse_archive(
    paths: Sequence[Path],
    out: Path,
    model: str,
    settings: Settings,
    address: str,
    *,
    dicom: Path | None = None,
    workers: int | None = None,
    threads: int = 1,
    progress: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Analyse files on a Ray cluster.

    Args:
        paths: The files, by names that every node can open.
        out: Folder of all output, which every node can write.
        model: A built-in bundle, or a bundle's folder that every node can read.
        settings: What is done with every clip.
        address: Of the cluster ("auto", "ray://host:10001", "host:6379"), or `LOCAL`.
        dicom: Folder of the DICOM objects; None for none.
        workers: Workers at once; None for as many as there are CPUs.
        threads: CPUs of each worker.
        progress: Called for each clip that has come back.

    Returns:
        What became of each file, in their order.

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
        where = None if dicom is None else str(dicom.resolve())
        worker: Any = Worker  # Ray's types know functions only
        analysed = names.map(
            worker,
            fn_constructor_args=(model, str(out.resolve()), settings, where, threads),
            compute=ray.data.ActorPoolStrategy(size=count),
            num_cpus=threads,
        )
        rows = []
        for row in analysed.iter_rows():
            rows.append({name: value for name, value in row.items() if value not in (None, "")})
            progress()
    finally:
        ray.shutdown()
    return sorted(rows, key=lambda row: int(row["number"]))


def _connect(ray: Any, address: str, cpus: int) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address == LOCAL:
            ray.init(num_cpus=cpus, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ArgumentError(
            f"a Ray cluster at {address}, or `--ray {LOCAL}`",
            f"{type(error).__name__}: {str(error)[:160]}",
            "`ray start --head` starts one",
        ) from error
