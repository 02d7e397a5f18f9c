"""Every file of pydicom and pydicom-data: read rightly, or refused for its true reason.

`corpus.tsv` says for each file what must become of it. The mean grey level is that of the first
stored frame before anything is blanked. It was worked out with pydicom's own arrays, windows and
tables in float64. For codes that pydicom does not decode here, it is from the same picture in
another transfer syntax, and for JPEG of more than 8 bits from GDCM (in SimpleITK).
"""

from __future__ import annotations

import csv
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pydicom
import pytest

from cineflow.cine import errors, read_cine
from cineflow.cine.dicom.frames import find_frames
from cineflow.cine.dicom.header import open_pixels, open_tags
from cineflow.cine.dicom.pixels import Shown, read_grey

with (Path(__file__).parent / "corpus.tsv").open(newline="") as table:
    ROWS = list(csv.DictReader(table, delimiter="\t"))


def path_of(row: dict[str, str]) -> Path:
    if row["package"] == "pydicom":
        return Path(pydicom.__file__).parent / "data" / row["file"]
    store = pytest.importorskip("data_store")  # pydicom-data, one of the peers
    return Path(store.__file__).parent / "data" / row["file"]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=[pytest.mark.slow] if row["tier"] else [], id=row["file"])
        for row in ROWS
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_file_is_read_rightly_or_refused_for_its_true_reason(row: dict[str, str]) -> None:
    path = path_of(row)
    if row["outcome"] == "cine":
        clip = read_cine(path)
        assert "x".join(map(str, clip.frames.shape)) == row["shape"]
        np.testing.assert_allclose(np.diff(clip.times_ms), float(row["period_ms"]), rtol=1e-5)
        spacing = [float(step) for step in row["spacing_mm"].strip("-").split(",") if step]
        assert list(clip.spacing_mm or ()) == pytest.approx(spacing, rel=1e-5)
    else:
        with pytest.raises(getattr(errors, row["outcome"])) as caught:
            read_cine(path)
        assert type(caught.value).__name__ == row["outcome"]
        assert row["says"].strip() in caught.value.got
    if row["mean"] != "-":
        with ExitStack() as files:
            opened = open_pixels(*open_tags(files.enter_context(path.open("rb"))))
            first = read_grey([Shown(find_frames(opened), 0)]).frames[0]
        assert first.mean() == pytest.approx(float(row["mean"]), abs=0.3)


def test_the_table_names_every_file() -> None:
    skipped = {".py", ".pyc", ".json", ".md", ".txt", ".csv", ".xml"}
    folders = {"pydicom": Path(pydicom.__file__).parent / "data"}
    folders["pydicom-data"] = Path(pytest.importorskip("data_store").__file__).parent / "data"
    there = {
        (package, path.relative_to(folder).as_posix())
        for package, folder in folders.items()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in skipped
    }
    assert there == {(row["package"], row["file"]) for row in ROWS}
