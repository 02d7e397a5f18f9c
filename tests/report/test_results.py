"""Files for programs: arrays of every frame, and a table of numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cineflow.report import ResultFile, write_csv
from cineflow.report.results import _SPOOLED_BYTES


def test_rows_come_back_as_they_went_also_from_the_disk(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    large = [random.random((2, 200, 100), np.float32) for _ in range(5)]
    assert sum(array.nbytes for array in large) > _SPOOLED_BYTES
    results = ResultFile()
    for frame, field in enumerate(large):
        results.add(frame, {"flow": field, "label": np.int64([frame])})
    results.write(tmp_path / "r.npz", {"unit": "px"})
    with np.load(tmp_path / "r.npz") as file:
        np.testing.assert_array_equal(file["flow"], large)
        np.testing.assert_array_equal(file["label"], np.arange(5)[:, None])
        np.testing.assert_array_equal(file["flow.frame"], np.arange(5))
        assert json.loads(str(file["about"])) == {"unit": "px"}


def test_an_output_that_comes_with_some_frames_says_which(tmp_path: Path) -> None:
    results = ResultFile()
    for frame in range(6):
        results.add(frame, {"x": np.float32([frame])} if frame % 3 == 2 else {})
    results.write(tmp_path / "r.npz", {})
    with np.load(tmp_path / "r.npz") as file:
        np.testing.assert_array_equal(file["x.frame"], [2, 5])
        np.testing.assert_array_equal(file["x"], [[2], [5]])


def test_rows_of_different_sizes_are_filled_and_named(tmp_path: Path) -> None:
    results = ResultFile()
    results.add(0, {"areas": np.float32([1, 2])})
    results.add(1, {"areas": np.float32([3, 4, 5])})
    results.write(tmp_path / "r.npz", {})
    with np.load(tmp_path / "r.npz") as file:
        np.testing.assert_array_equal(file["areas"], [[1, 2, 0], [3, 4, 5]])
        np.testing.assert_array_equal(file["areas.shape"], [[2], [3]])


def test_a_missing_number_is_an_empty_cell(tmp_path: Path) -> None:
    write_csv(
        tmp_path / "s.csv", [{"frame": 0, "a [px]": None}, {"frame": 1, "a [px]": 0.1, "b": 2}]
    )
    assert (tmp_path / "s.csv").read_text().splitlines() == ["frame,a [px],b", "0,,", "1,0.1,2"]


def test_a_name_is_no_formula_for_a_spreadsheet(tmp_path: Path) -> None:
    """A model names its outputs as it likes; a negative number stays a number."""
    path = tmp_path / "rows.csv"
    rows = [{"=HYPERLINK(1) [px]": -1.5, "@x [1]": 2, "part": "+1"}]
    write_csv(path, rows)  # type: ignore[arg-type]
    assert path.read_text() == "'=HYPERLINK(1) [px],'@x [1],part\n-1.5,2,'+1\n"
