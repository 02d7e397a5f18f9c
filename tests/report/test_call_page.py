"""The page of a call: by place and as bull's eyes, for any model whose spec names its places."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cineflow.motion.aha import NAMES
from cineflow.report import Provenance, place_tables, score_cells, write_call_report
from cineflow.report.page import figure
from cineflow.report.places import by_place, eyes
from cineflow.served import Output
from cineflow.spec import Axis, Feed, ModelSpec, TensorSpec, Weights

CLASSES = ("calm", "wild")
SEGMENTS = NAMES[:16]
PROVENANCE = Provenance("grader-1234", "seed 0 (untrained)", "", "Triton 2", "gRPC", "cineflow 9")


def spec(trained: bool = False) -> ModelSpec:
    side = Axis("side", 8, 64)
    return ModelSpec(
        "grader",
        "Grades segments.",
        inputs=(
            TensorSpec("films", "float32", (1, 2, 4, side, side), "grey level"),
            TensorSpec("marks", "float32", (1, 2, 3, 2), "px", points_of="films"),
        ),
        outputs=(
            TensorSpec(
                "grades", "float32", (1, 16, 2), "probability",
                tolerance=0.1, role="scores", names=CLASSES, places=SEGMENTS,
            ),
            TensorSpec("grade", "int32", (1, 16), "class", places=SEGMENTS),
            TensorSpec("swing", "float32", (1, 16), "mm", tolerance=0.1, places=SEGMENTS),
            TensorSpec("curves", "float32", (1, 16, 4), "mm", tolerance=0.1, places=SEGMENTS),
            TensorSpec("total", "float32", (1,), "mm", tolerance=0.1),
        ),
        weights=Weights("seed 0", trained=trained),
        feed=Feed("call"),
    )  # fmt: skip


def outputs() -> dict[str, Output]:
    wild = np.linspace(0.05, 0.95, 16, dtype=np.float32)
    arrays = {
        "grades": np.stack([1 - wild, wild], axis=1)[None],
        "grade": (1 + (wild > 0.5)).astype(np.int32)[None],
        "swing": np.arange(16, dtype=np.float32)[None] / 4,
        "curves": np.zeros((1, 16, 4), np.float32),
        "total": np.array([2.5], np.float32),
    }
    return {
        one.name: Output(arrays[one.name], one.unit, "", one.role, one.names, one.places)
        for one in spec().outputs
    }


def test_values_are_found_by_place() -> None:
    values = np.arange(12).reshape(1, 3, 4)
    placed = by_place(Output(values, "1", places=("a", "b", "c")))
    np.testing.assert_array_equal(placed, values[0])
    assert by_place(Output(values, "1")) is None
    assert by_place(Output(np.zeros((2, 3)), "1", places=("a", "b", "c"))) is None


def test_tables_have_the_scores_and_the_numbers_of_each_place() -> None:
    scores, numbers = place_tables(outputs())
    assert scores.places == numbers.places == SEGMENTS
    assert (scores.title, scores.columns) == ("grades [probability]", CLASSES)
    np.testing.assert_allclose(scores.values[15], [0.05, 0.95], atol=1e-6)
    assert numbers.columns == ("grade [class]", "swing [mm]")
    np.testing.assert_allclose(numbers.values[15], [2, 3.75])


def test_scores_are_named_by_place_and_class() -> None:
    output = outputs()["grades"]
    cells = score_cells("grades", output.names, output.unit, output)
    assert cells["grades apical lateral wild [probability]"] == pytest.approx(0.95)
    assert len(cells) == 32


def test_a_bulls_eye_puts_each_place_in_its_segment() -> None:
    given = outputs()
    given["swing"] = Output(given["swing"].values, "mm", places=SEGMENTS[::-1])
    first, second = eyes(given)
    assert (first.title, second.title) == ("grades", "swing"), "equal numbers are shown once"
    assert first.label == "1 calm, 2 wild"
    np.testing.assert_array_equal(first.values[:16], [1] * 8 + [2] * 8)
    assert np.isnan(first.values[16])
    np.testing.assert_allclose(second.values[:16], np.arange(15, -1, -1) / 4)


def test_places_that_are_not_segments_have_no_bulls_eye() -> None:
    assert not list(eyes({"a": Output(np.zeros((1, 2)), "mm", places=("valve", "apex cap"))}))


def test_the_page_holds_everything_and_says_untrained(tmp_path: Path) -> None:
    films = np.zeros((1, 2, 4, 32, 48), np.float32)
    films[0, 1, 0, 10, 20] = 255
    marks = np.full((1, 2, 3, 2), 12.0, np.float32)
    inputs = {"films": films, "marks": marks}
    page = write_call_report(tmp_path / "r.html", outputs(), inputs, spec(), PROVENANCE).read_text()
    for words in (
        "Untrained weights: outputs are meaningless",
        "apical lateral", "swing [mm]", "2.5 <small>mm</small>", "grader-1234",
        "Research use, not for diagnosis", "1 calm, 2 wild", "films 1",
    ):  # fmt: skip
        assert words in page
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(found)))
        for found in re.findall(r"base64,([^\"]+)\"", page)
    ]
    assert len(pictures) == 2 + 2, "two bull's eyes, and the picture of each film"
    assert pictures[3].size == (320, 213)
    assert page.index("outputs are meaningless") < page.index("<main>"), "above everything"
    made = replace(PROVENANCE, weights="trained.pt")
    trained = write_call_report(tmp_path / "t.html", outputs(), inputs, spec(True), made)
    assert "meaningless" not in trained.read_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [(12131.6, "12132"), (-12131.6, "-12132"), (9999.4, "9999"), (0.000123456, "0.0001235")],
)
def test_a_large_number_has_no_exponent(value: float, text: str) -> None:
    assert figure(value) == text
