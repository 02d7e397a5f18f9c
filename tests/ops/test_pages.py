"""docs/ops: one page per op, with a picture that the committed script makes from the op itself."""

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
    parts = [f"](img/{name}.webp)", "| tensor |", "## NumPy", "## torch", "## CuPy", "## ONNX"]
    assert [part for part in parts if part not in text] == []
    assert f"cineflow.{OPS[name].node} " in text
    assert f"({name}.md)" in (PAGES / "README.md").read_text()


def test_the_script_makes_every_picture(tmp_path):
    pytest.importorskip("matplotlib")
    runpy.run_path(str(PAGES / "figures.py"))["main"](tmp_path)
    made = {file.name: Image.open(file).size for file in tmp_path.iterdir()}
    shown = {file.name: Image.open(file).size for file in (PAGES / "img").iterdir()}
    assert made == shown
    assert set(shown) == {f"{name}.webp" for name in OPS}
    assert [file.name for file in (PAGES / "img").iterdir() if file.stat().st_size > LARGEST] == []
