"""docs/ops: one page per op. The committed script makes the pictures from the ops."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from PIL import Image

from tests.op_calls import OPS

PAGES = Path(__file__).resolve().parents[2] / "docs" / "ops"
EACH_OP = pytest.mark.parametrize("name", OPS)
LARGEST = 150_000  # bytes of a picture


@EACH_OP
def test_the_page_has_all_its_parts(name):
    text = (PAGES / f"{name}.md").read_text()
    parts = ["| tensor |", "## NumPy", "## torch", "## CuPy", "## ONNX"]
    assert [part for part in parts if part not in text] == []
    before_the_table = text[: text.index("| tensor |")]
    assert f"](img/{name}.webp)" in before_the_table or "```text" in before_the_table
    assert f"cineflow.{OPS[name].node} " in text
    assert f"({name}.md)" in (PAGES / "README.md").read_text()


def test_every_picture_stands_on_its_page():
    pictures = [file.name for file in (PAGES / "img").iterdir()]
    pages = {name: (PAGES / f"{Path(name).stem}.md").read_text() for name in pictures}
    assert pictures
    assert [name for name, page in pages.items() if f"](img/{name})" not in page] == []
    assert [name for name in pictures if (PAGES / "img" / name).stat().st_size > LARGEST] == []


@pytest.mark.slow
def test_the_script_makes_every_picture(tmp_path):
    pytest.importorskip("matplotlib")
    runpy.run_path(str(PAGES / "figures.py"))["main"](tmp_path)
    made = {file.name: Image.open(file).size for file in tmp_path.iterdir()}
    shown = {file.name: Image.open(file).size for file in (PAGES / "img").iterdir()}
    assert made == shown
