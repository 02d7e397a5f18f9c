"""Many clips, one after the other: a bad file never stops the rest, and all are accounted for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cineflow.cine import MissingFileError, read_clip
from cineflow.cli.analyse.job import Model, Progress, analyse_clip
from cineflow.cli.analyse.outputs import USE, Wanted, figures, write_outputs, written_files
from cineflow.cli.analyse.wall_file import SUFFIX, Drawn, read_wall
from cineflow.errors import CineflowError
from cineflow.motion.strain import Convention

#: File of one clip's folder that says it is complete.
DONE = "summary.json"
#: Suffixes that are never clips; others are left to the readers.
_NOT_CLIPS = {".json", ".csv", ".txt", ".html", ".md", ".xml", ".pdf"}


@dataclass(frozen=True)
class Settings:
    """What is done with every clip.

    Attributes:
        drawn: What the user drew; a file `CLIP.wall.json` next to a clip wins.
        given: A .npz file with the model's further inputs.
        convention: Of the strain.
        wanted: What is written.
    """

    drawn: Drawn = field(default_factory=Drawn)
    given: Path | None = None
    convention: Convention = "lagrangian"
    wanted: Wanted = field(default_factory=Wanted)


def clips_of(paths: Sequence[Path]) -> list[Path]:
    """The files, and all files below the folders, sorted; those that cannot be clips are left out.

    Raises:
        MissingFileError: A path leads nowhere.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (one for one in sorted(path.rglob("*")) if one.is_file())
            found += [one for one in inside if _may_be_a_clip(one)]
        elif path.exists():
            found.append(path)
        else:
            raise MissingFileError("a clip or a folder", f"nothing at {path}", "Check the path.")
    return list(dict.fromkeys(found))


def _may_be_a_clip(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() not in _NOT_CLIPS


def key_of(path: Path, bundle_hash: str) -> str:
    """Name of a clip's folder: the same clip with the same model always has the same one.

    It is made of the DICOM object's SOP instance UID (of the bytes of other files), as
    a hash that does not show the UID, and of the bundle's hash.
    """
    return f"{_identity(path)[:16]}-{bundle_hash[:8]}"


def _identity(path: Path) -> str:
    import pydicom

    try:
        with _no_warnings():
            header = pydicom.dcmread(
                path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"]
            )
        return hashlib.sha256(str(header.SOPInstanceUID).encode()).hexdigest()
    except Exception:  # not DICOM, or damaged: its bytes are its identity
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()


def analyse_to(
    path: Path,
    folder: Path,
    model: Model,
    settings: Settings,
    *,
    dicom: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Analyse one clip into a folder, whatever happens. The folder appears when it is complete.

    Args:
        path: The clip.
        folder: Where the files go. A complete one of an earlier run is taken as it is.
        model: Runs in this process.
        settings: What is done.
        dicom: Folder of the DICOM objects; None for none.
        progress: Called after each frame.

    Returns:
        What became of it: `state` is "done", "already done", "refused" (the input's fault, with
        `reason`) or "failed" (ours).
    """
    before = _complete(folder)
    if before is not None:
        return before | {"state": "already done"}
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        with _no_warnings():
            row = _analyse(path, part, model, settings, dicom, progress)
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left
        part.rename(folder)
        for left in folder.parent.glob(f".{folder.name}.*.part"):
            shutil.rmtree(left, ignore_errors=True)  # of a worker that was killed
        return row
    except CineflowError as error:
        return {"state": "refused", "reason": without_name(_words(error), path)}
    except OSError as error:
        return {"state": "refused", "reason": without_name(error.strerror or "unreadable", path)}
    except Exception as error:  # one bad file never stops the rest
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        # A message that nobody wrote for users may hold anything of the file.
        return {"state": "failed", "reason": f"{type(error).__name__} in {where}: please report it"}
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _analyse(
    path: Path,
    part: Path,
    model: Model,
    settings: Settings,
    dicom: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    started = time.perf_counter()
    own_wall = path.with_name(path.name + SUFFIX)
    drawn = read_wall(own_wall) if own_wall.is_file() else settings.drawn
    clip = read_clip(path)
    found = analyse_clip(
        clip,
        model,
        drawn,
        given=settings.given,
        fields=settings.wanted.fields,
        convention=settings.convention,
        progress=progress,
    )
    write_outputs(part, found, settings.wanted)
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
    row["files"] = [*written_files(part), DONE]
    write_json(part / DONE, row)
    return row


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """The DICOM libraries' warnings quote tags, a patient's name among them. None is printed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _complete(folder: Path) -> dict[str, Any] | None:
    try:
        row = json.loads((folder / DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return row if isinstance(row, dict) and row.get("state") == "done" else None


def analyse_all(
    clips: Sequence[Path],
    out: Path,
    model: Model,
    settings: Settings,
    *,
    dicom: Path | None = None,
    progress: Callable[[int], Progress],
) -> Iterator[dict[str, Any]]:
    """Analyse clips one by one; yields what became of each.

    Args:
        clips: The files.
        out: Folder of all output; each clip has a folder in it, named by `key_of`.
        model: Runs in this process.
        settings: What is done.
        dicom: Folder of the DICOM objects; None for none.
        progress: Of the clip with this number.
    """
    for number, path in enumerate(clips):
        key = key_of(path, model.bundle.hash)
        folder = out / key
        objects = None if dicom is None else dicom / key
        row = analyse_to(path, folder, model, settings, dicom=objects, progress=progress(number))
        yield {"number": number + 1, "folder": key, **row}


def write_json(path: Path, value: Any) -> None:
    """Write JSON that people can also read."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _words(error: CineflowError) -> str:
    return f"{type(error).__name__}: {error}"


def without_name(text: str, path: Path) -> str:
    """A message without the file's name, which is often the patient's, and without its tags."""
    for name in (str(path), str(path.parent), path.name, path.stem):
        if len(name) > 2:
            text = text.replace(name, "the clip")
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
        with _no_warnings():
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_IDENTITY))
            values = " ".join(str(element.value) for element in header)
    except Exception:  # not DICOM, or damaged: there are no tags to quote
        return set()
    return {word for word in re.split(r"[\s^=\\\[\]',]+", values) if len(word) > 2}
