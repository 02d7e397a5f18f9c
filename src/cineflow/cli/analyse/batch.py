"""Many clips, one after the other: a bad file never stops the rest, and all are accounted for."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cineflow.cine import count_cines, read_clip
from cineflow.cli.analyse.files import Settings, drawn_in, key_of, no_warnings, stamp_of
from cineflow.cli.analyse.job import Model, Progress, analyse_clip
from cineflow.cli.analyse.outputs import USE, figures, write_outputs, written_files
from cineflow.errors import ArgumentError, CineflowError

#: File of one clip's folder that says it is complete.
DONE = "summary.json"


@dataclass(frozen=True)
class Places:
    """Where the files of all clips go; each has a folder by its key.

    Attributes:
        out: Folder of all output.
        dicom: Folder of the DICOM objects; None for none.
    """

    out: Path
    dicom: Path | None = None


def analyse_file(
    path: Path,
    places: Places,
    model: Model,
    settings: Settings,
    progress: Progress = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Analyse every cine of a file or folder, whatever happens.

    Args:
        path: The clip.
        places: Where the files go. A complete folder of an earlier run is taken as it is.
        model: Runs in this process.
        settings: What is done.
        progress: Called after each frame.

    Returns:
        What became of each cine: `state` is "done", "already done", "refused" (the input's fault,
        with `reason`) or "failed" (ours); `folder` is its key, or "" if there are no results. A row
        of several cines has `part` and `parts`.
    """
    try:
        with no_warnings():
            count = count_cines(path)
    except Exception as error:  # one bad file never stops the rest
        return [_not_done(error, path)]
    if count == 1:
        return [_analyse_part(path, None, places, model, settings, progress)]
    return [
        _analyse_part(path, part, places, model, settings, progress)
        | {"part": part, "parts": count}
        for part in range(count)
    ]


def _analyse_part(
    path: Path,
    part: int | None,
    places: Places,
    model: Model,
    settings: Settings,
    progress: Progress,
) -> dict[str, Any]:
    """Analyse one cine into its folder, which appears when it is complete."""
    made = None
    try:
        stamp = stamp_of(path)
        with no_warnings():
            key = key_of(path, model.bundle.hash, settings, part)
        folder = places.out / key
        objects = None if places.dicom is None else places.dicom / key
        before = _complete(folder)
        if before is not None and (objects is None or objects.is_dir()):
            return before | {"state": "already done", "folder": key}
        made = folder.with_name(f".{key}.{os.getpid()}.part")
        with no_warnings():
            row = _analyse(path, part, made, model, settings, objects, progress)
        _require_unchanged(path, stamp, objects)
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left
        made.rename(folder)
        for left in folder.parent.glob(f".{key}.*.part"):
            shutil.rmtree(left, ignore_errors=True)  # of a worker that was killed
        return row | {"folder": key}
    except Exception as error:  # one bad file never stops the rest
        return _not_done(error, path)
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def _require_unchanged(path: Path, stamp: list[tuple[int, int]], objects: Path | None) -> None:
    """The key has a hash of the bytes, so a clip that is still being written has no result."""
    if stamp_of(path) != stamp:
        if objects is not None:
            shutil.rmtree(objects, ignore_errors=True)
        raise ArgumentError(
            "a clip that stays as it is",
            "one that changed while it was read",
            "Run the command again once it is complete.",
        )


def _not_done(error: Exception, path: Path) -> dict[str, Any]:
    if isinstance(error, CineflowError):
        state, reason = "refused", without_name(f"{type(error).__name__}: {error}", path)
    elif isinstance(error, OSError):
        state, reason = "refused", without_name(error.strerror or "unreadable", path)
    else:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        # A message that nobody wrote for users may hold anything of the file.
        state, reason = "failed", f"{type(error).__name__} in {where}: please report it"
    return {"state": state, "folder": "", "reason": reason}


def _analyse(
    path: Path,
    part: int | None,
    made: Path,
    model: Model,
    settings: Settings,
    dicom: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    started = time.perf_counter()
    found = analyse_clip(
        read_clip(path, part=part),
        model,
        drawn_in(path, settings, part),
        given=settings.given,
        fields=settings.wanted.fields,
        convention=settings.convention,
        progress=progress,
    )
    write_outputs(made, found, settings.wanted)
    row: dict[str, Any] = {"state": "done", **figures(found)}
    if dicom is not None:
        from cineflow.cli.analyse.objects import write_objects

        row["dicom"] = write_objects(path, dicom, found)
    seconds = time.perf_counter() - started
    times = found.cine.times_ms
    length_s = float(times[-1] - times[0] + found.cine.frame_period_ms) / 1e3
    row |= {
        "seconds": round(seconds, 2),
        "times_real_time": round(seconds / length_s, 2),
        "model": model.served_name,
        "bundle_hash": model.bundle.hash,
        "engine": found.provenance.engine,
        "software": found.provenance.software,
        "use": USE,
    }
    if part is not None:
        row["part"] = part
    row["files"] = [*written_files(made), DONE]
    write_json(made / DONE, row)
    return row


def _complete(folder: Path) -> dict[str, Any] | None:
    try:
        row = json.loads((folder / DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row if isinstance(row, dict) and row.get("state") == "done" else None


def analyse_all(
    clips: Sequence[Path],
    places: Places,
    model: Model,
    settings: Settings,
    *,
    progress: Callable[[int], Progress],
) -> Iterator[list[dict[str, Any]]]:
    """Analyse clips one by one; yields what became of each: a row for each of its cines.

    Args:
        clips: The clips.
        places: Where the files go.
        model: Runs in this process.
        settings: What is done.
        progress: Of the clip with this number.
    """
    for number, path in enumerate(clips):
        rows = analyse_file(path, places, model, settings, progress(number))
        yield [{"number": number + 1, **row} for row in rows]


def write_json(path: Path, value: Any) -> None:
    """Write JSON that people can also read."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def without_name(text: str, path: Path) -> str:
    """A message without the file's name, which is often the patient's, and without its tags."""
    for name in (str(path), path.name, str(path.parent), path.stem):
        if len(name) > 2:
            # A plain word, such as "times", is also one of ours: it counts as part of a path only.
            plain = name.isalpha() and name.islower()
            after = r"(?=[./\\]\w)" if plain else r"(?!\w)"
            text = re.sub(rf"(?<!\w){re.escape(name)}{after}", "the clip", text)
    for word in _identity_words(path):
        text = re.sub(re.escape(word), "...", text, flags=re.IGNORECASE)
    return text


#: Tags that identify a patient or a person; their values may be quoted by a library's message.
_IDENTITY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "OtherPatientIDs",
    "AccessionNumber",
    "InstitutionName",
    "ReferringPhysicianName",
    "OperatorsName",
    "PerformingPhysicianName",
    "StudyID",
)


def _identity_words(path: Path) -> set[str]:
    """Words of the identity in a file's tags, of three letters or more."""
    import pydicom

    try:
        if path.is_dir():
            path = min(one for one in path.iterdir() if one.is_file())
        if not path.is_file():  # a pipe would be waited for
            return set()
        with no_warnings():
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_IDENTITY))
            values = " ".join(str(element.value) for element in header)
    except Exception:  # not DICOM, or damaged: there are no tags to quote
        return set()
    return {word for word in re.split(r"[\s^=\\\[\]',]+", values) if len(word) > 2}
